import { FenceEntity, type Database } from '#libs/db';

/**
 * Which of the databases that came out of one another may work: each recovery has the number after the last one's, and
 * it lies in the portal's repository before the recovered database is there. A database that never was recovered has 0.
 */
export interface Fence {
  ordinal: number;
  /** Id of the recovery. */
  recovery: string;
  at: Date;
}

/** Of a database: its newest recovery's. */
export type OwnFence = Pick<Fence, 'ordinal'> & { recovery: string | null };

/** The recovery that took the place of that database; null where none did. Of two made side by side the later one counts. */
export function replacedBy([newest]: readonly Fence[], own: OwnFence): Fence | null {
  return newest !== undefined &&
    (newest.ordinal > own.ordinal || (newest.ordinal === own.ordinal && newest.recovery !== own.recovery))
    ? newest
    : null;
}

export async function ownFence(database: Database): Promise<OwnFence> {
  const rows = await database.query<{ ordinal: number; recovery: string }[]>(
    'select ordinal, id as recovery from recoveries order by ordinal desc, recovered_at desc limit 1',
  );
  return rows[0] ?? { ordinal: 0, recovery: null };
}

/** The recovery that took this database's place, as far as an agent wrote it down here. */
export async function keptFence({ manager }: Database, own: OwnFence): Promise<Fence | null> {
  const kept = await manager.find(FenceEntity, { order: { ordinal: 'DESC' }, take: 1 });
  return replacedBy(
    kept.map(({ ordinal, recoveryId, at }) => ({ ordinal, recovery: recoveryId, at })),
    own,
  );
}
