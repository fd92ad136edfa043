import type { Database } from '#libs/db';

/** A stack that was upgraded in a rollout under way and is on its release still. */
export interface Soaking {
  rolloutId: string;
  tenantId: string;
  /** Id of the operation that brought it there. */
  upgrade: string;
}

/** Null of a stack that no rollout watches. */
export async function soakingOf(database: Database, tenantId: string): Promise<Soaking | null> {
  const [row] = await database.query<Soaking[]>(
    `select s.rollout_id as "rolloutId", s.tenant_id as "tenantId", s.operation_id as upgrade
       from rollout_stacks s
       join rollouts r on r.id = s.rollout_id and r.state not in ('aborted', 'done')
       join tenants t on t.id = s.tenant_id and t.release_id = r.release_id
      where s.tenant_id = $1 and s.state = 'done' and s.operation_id is not null`,
    [tenantId],
  );
  return row ?? null;
}

/** Writes down what is wrong with its bots, null where nothing is, and since when. True where that is another than before. */
export async function noteBots(
  database: Database,
  { rolloutId, tenantId, upgrade }: Soaking,
  { wrong, now }: { wrong: string | null; now: Date },
): Promise<boolean> {
  const [, changed] = await database.query<[unknown, number]>(
    `update rollout_stacks
        set bots_since = case when (bots_wrong is null) = ($4::text is null) then bots_since else $5 end, bots_wrong = $4
      where rollout_id = $1 and tenant_id = $2 and operation_id = $3 and state = 'done' and bots_wrong is distinct from $4`,
    [rolloutId, tenantId, upgrade, wrong, now],
  );
  return changed === 1;
}
