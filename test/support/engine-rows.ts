import type { EngineFigures } from '#libs/contracts';
import type { Database } from '#libs/db';

/** What an agent says that works well, of this moment. */
export function engineFigures(change: Partial<EngineFigures> = {}): EngineFigures {
  const at = new Date().toISOString();
  return {
    at,
    pass: { at, seconds: 1.84, stacks: 412 },
    reconcileLagSeconds: 42,
    routes: { at, rendered: 412, served: 412 },
    proxyRepairs: { files: 3, restarts: 1 },
    routeLagMs: 340,
    acme: {
      certificates: [{ name: 'portal', issued: { left: 3, of: 4 }, failed: { left: 4, of: 4 }, nextAt: null }],
      shared: { left: 198, of: 200 },
    },
    ...change,
  };
}

export const OWNER = 'local@host-a#0b8d9d44-9c5e-4a44-8a39-0a5d6a1f0b11';
export const STANDS_BY = 'local@host-b#7a1f0b11-9c5e-4a44-8a39-0b8d9d440a5d';

/** An engine with the agent that works on it, heard of just now, and one that would take over. */
export async function engineWithAgents(database: Database, id: string, figures = engineFigures()): Promise<void> {
  await database.query(
    `insert into engines (id, kind, capacity, created_at, seen_at, figures)
     values ($1, 'docker', '{"memoryMb": 8192, "cpus": 4}', now(), now(), $2)
     on conflict (id) do update set seen_at = excluded.seen_at, figures = excluded.figures`,
    [id, figures],
  );
  await database.query(
    `insert into engine_leases (engine_id, owner, fencing, taken_at, expires_at)
     values ($1, $2, 1, now() - interval '1 hour', now() + interval '1 minute')
     on conflict (engine_id) do update set expires_at = excluded.expires_at`,
    [id, OWNER],
  );
  await database.query(
    `insert into engine_stand_bys (engine_id, owner, since, seen_at)
     values ($1, $2, now() - interval '1 hour', now()), ($1, 'one that died', now(), now() - interval '1 minute')
     on conflict (engine_id, owner) do update set seen_at = excluded.seen_at`,
    [id, STANDS_BY],
  );
}
