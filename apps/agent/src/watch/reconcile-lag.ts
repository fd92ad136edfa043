import type { Database } from '#libs/db';

/** Since the whole engine was last looked at, or the stack looked at longest ago was, whichever is longer. */
export async function reconcileLagSeconds(
  database: Database,
  { engineId, passedAt, now }: { engineId: string; passedAt: Date | null; now: Date },
): Promise<number> {
  const [row] = await database.query<{ oldest: Date | null }[]>(
    'select min(coalesce(checked_at, created_at)) as oldest from tenants where engine_id = $1',
    [engineId],
  );
  const looks = [passedAt, row?.oldest ?? null].filter((at) => at !== null);
  return Math.max(0, ...looks.map((at) => (now.getTime() - at.getTime()) / 1_000));
}
