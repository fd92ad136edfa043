import {
  type Actor,
  DomainError,
  engineFiguresSchema,
  type EngineStanding,
  type FleetOverview,
  type HoldReason,
  type OperationKind,
  type StackStatus,
} from '#libs/contracts';
import type { Database } from '#libs/db';
import { requireActor } from './authorise.js';
import { headline, type ObservedState } from './domain/headline.js';

const AS_WANTED: readonly StackStatus[] = ['running', 'stopped', 'asleep'];

interface StackRow {
  desired: 'running' | 'stopped' | 'hibernated' | 'deleted';
  observed: ObservedState;
  checked_at: Date | null;
  holds: HoldReason[];
  kind: OperationKind | null;
  operation_state: 'queued' | 'running' | null;
}

interface EngineRow {
  id: string;
  seen_at: Date;
  figures: unknown;
  owner: string | null;
  taken_at: Date;
  expires_at: Date;
  held: boolean;
  stand_by: { owner: string; since: string; seenAt: string }[];
}

/** An agent that stands by says so every ten seconds. */
const STANDS_BY_SECONDS = 30;

/** The fleet at one moment, for the console's first page and the command line: five statements, whatever its size. */
export class FleetOverviewQuery {
  constructor(
    private readonly database: Database,
    private readonly now: () => Date,
  ) {}

  async read(actor: Actor): Promise<FleetOverview> {
    if (requireActor(actor).kind !== 'operator') {
      throw new DomainError('FORBIDDEN');
    }
    const now = this.now();
    const [stacks, operations, users, outbox, engines] = await Promise.all([
      this.stacks(now),
      this.operations(now),
      this.users(),
      this.outbox(now),
      this.engines(),
    ]);
    return { at: now.toISOString(), stacks, operations, users, outbox, engines };
  }

  /** Whether a lease is held is told by the clock it is taken by, the database's. */
  private async engines(): Promise<EngineStanding[]> {
    const rows: EngineRow[] = await this.database.query(
      `select e.id, e.seen_at, e.figures, l.owner, l.taken_at, l.expires_at, l.expires_at > now() as held,
              coalesce((select json_agg(json_build_object('owner', s.owner, 'since', s.since, 'seenAt', s.seen_at)
                                        order by s.since)
                          from engine_stand_bys s
                         where s.engine_id = e.id and s.seen_at > now() - make_interval(secs => $1)), '[]') as stand_by
         from engines e left join engine_leases l on l.engine_id = e.id order by e.id`,
      [STANDS_BY_SECONDS],
    );
    const time = (text: string): string => new Date(text).toISOString();
    return rows.map((row) => ({
      engine: row.id,
      seenAt: row.seen_at.toISOString(),
      lease:
        row.owner === null
          ? null
          : {
              owner: row.owner,
              takenAt: row.taken_at.toISOString(),
              expiresAt: row.expires_at.toISOString(),
              held: row.held,
            },
      standBy: row.stand_by.map(({ owner, since, seenAt }) => ({ owner, since: time(since), seenAt: time(seenAt) })),
      // An agent of another release may say other things: then they are not known.
      figures: engineFiguresSchema.safeParse(row.figures).data ?? null,
    }));
  }

  private async stacks(now: Date): Promise<FleetOverview['stacks']> {
    const rows: StackRow[] = await this.database.query(`
      select t.desired, t.observed, t.checked_at, o.kind, o.state as operation_state,
             array(select h.reason from holds h where h.tenant_id = t.id) as holds
        from tenants t
        left join operations o on o.tenant_id = t.id and o.exclusive and o.state in ('queued', 'running')`);
    const byStatus: Partial<Record<StackStatus, number>> = {};
    for (const row of rows) {
      const status = headline({
        desired: row.desired,
        holds: row.holds,
        observed: row.observed,
        checkedAt: row.checked_at,
        operation: row.kind && { kind: row.kind, started: row.operation_state === 'running' },
        now,
      });
      byStatus[status] = (byStatus[status] ?? 0) + 1;
    }
    const asWanted = AS_WANTED.reduce((sum, status) => sum + (byStatus[status] ?? 0), 0);
    return { total: rows.length, asWanted, byStatus };
  }

  private async operations(now: Date): Promise<FleetOverview['operations']> {
    const [row]: [Record<'queued' | 'running' | 'overdue' | 'failed' | 'done', number> & { oldest: number | null }] =
      await this.database.query(
        `select count(*) filter (where state = 'queued')::int as queued,
                count(*) filter (where state = 'running')::int as running,
                count(*) filter (where state in ('queued', 'running') and deadline_at < $1::timestamptz)::int as overdue,
                count(*) filter (where state = 'failed' and finished_at > $1::timestamptz - interval '1 day')::int as failed,
                count(*) filter (where state = 'done' and finished_at > $1::timestamptz - interval '1 day')::int as done,
                extract(epoch from $1::timestamptz - min(created_at) filter (where state = 'queued'))::float8 as oldest
           from operations
          where state in ('queued', 'running') or finished_at > $1::timestamptz - interval '1 day'`,
        [now],
      );
    const { queued, running, overdue, failed, done, oldest } = row;
    return { queued, running, overdue, failedLastDay: failed, doneLastDay: done, oldestQueuedSeconds: oldest };
  }

  private async users(): Promise<FleetOverview['users']> {
    const rows: { state: keyof FleetOverview['users']['byState']; count: number }[] = await this.database.query(
      'select state, count(*)::int as count from accounts group by state',
    );
    return {
      total: rows.reduce((sum, { count }) => sum + count, 0),
      byState: Object.fromEntries(rows.map(({ state, count }) => [state, count])),
    };
  }

  private async outbox(now: Date): Promise<FleetOverview['outbox']> {
    const [row]: [FleetOverview['outbox']] = await this.database.query(
      `select count(*) filter (where state = 'queued')::int as queued, count(*) filter (where state = 'failed')::int as failed,
              count(*) filter (where state = 'kept')::int as kept,
              count(*) filter (where state = 'sent' and sent_at > $1::timestamptz - interval '1 day')::int as "sentLastDay"
         from outbox_mails`,
      [now],
    );
    return row;
  }
}
