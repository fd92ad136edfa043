import type { Database } from '#libs/db';
import type { OperationRunner } from '#libs/orchestrator';
import type { Logger } from '#libs/telemetry';

/** Younger ones have a job on its way; a lease that ran out belongs to a worker that died. */
const UNTOUCHED_SECONDS = 5;
const MOST_PER_TURN = 50;

/**
 * The rows are the truth and jobs only hints: takes up open operations that nobody works on, after a crash, a lost
 * job or a queue that was away.
 */
export class OperationSweeper {
  constructor(
    private readonly deps: { dataSource: Database; runner: OperationRunner; engineId: string; logger: Logger },
  ) {}

  async turn(stop: AbortSignal): Promise<number> {
    const { dataSource, runner, engineId, logger } = this.deps;
    const open = await dataSource.query<{ id: string; tenant_id: string }[]>(
      `select id, tenant_id from operations
        where engine_id = $1 and state in ('queued', 'running')
          and coalesce(lease_expires_at, created_at + make_interval(secs => $2)) < now()
        order by created_at limit $3`,
      [engineId, UNTOUCHED_SECONDS, MOST_PER_TURN],
    );
    const forgotten = open.filter(({ id }) => !runner.isLive(id));
    for (const { id, tenant_id: tenantId } of forgotten) {
      logger.info({ operation: id }, 'taking up an operation nobody works on');
      runner.run(id, tenantId, stop).catch((error: unknown) => {
        if (!stop.aborted) {
          logger.warn({ operation: id, err: error }, 'operation put back');
        }
      });
    }
    return forgotten.length;
  }
}
