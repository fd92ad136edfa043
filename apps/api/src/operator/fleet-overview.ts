import type { FleetOverview, HoldReason, OperationKind, StackStatus } from '#libs/contracts';
import { headline, type ObservedState } from '#libs/tenants';
import type { Database } from '#libs/db';

const AS_WANTED: readonly StackStatus[] = ['running', 'stopped', 'asleep'];

interface StackRow {
  desired: 'running' | 'stopped' | 'hibernated' | 'deleted';
  observed: ObservedState;
  checked_at: Date | null;
  holds: HoldReason[];
  kind: OperationKind | null;
  operation_state: 'queued' | 'running' | null;
}

/** The figures of the console's first page: four statements, whatever the size of the fleet. */
export class FleetOverviewQuery {
  constructor(
    private readonly database: Database,
    private readonly now: () => Date,
  ) {}

  async read(): Promise<FleetOverview> {
    const now = this.now();
    const [stacks, operations, users, outbox] = await Promise.all([
      this.stacks(now),
      this.operations(now),
      this.users(),
      this.outbox(now),
    ]);
    return { at: now.toISOString(), stacks, operations, users, outbox };
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
