import { Semaphore } from '#libs/async';
import { OperationEntity, type Database } from '#libs/db';
import type { OperationRunner } from '#libs/orchestrator';
import type { Logger } from '#libs/telemetry';

/**
 * Operations worked on at once. Most of one is waiting (a bot's grace, a database's start), for which nobody else has
 * to wait; what the engine cannot take much of, creates and starts, it rations itself. The bound keeps the calls that
 * wait for those within their deadlines.
 */
const AT_ONCE = 16;

interface LaneDeps {
  dataSource: Database;
  runner: Pick<OperationRunner, 'run' | 'isLive'>;
  logger: Logger;
  /** Fires when the agent stops. */
  stopping: AbortSignal;
}

/**
 * Takes operations over from the queue's jobs: a job is done once its operation is under way, so that no slow one holds
 * a place in the queue's lane. From then on the row and its lease are the truth: what ends early is found by the
 * sweeper, as after a crash.
 */
export class OperationLane {
  private readonly slots = new Semaphore(AT_ONCE);
  private readonly running = new Set<Promise<void>>();

  constructor(private readonly deps: LaneDeps) {}

  /** Resolves when the work on it has begun, or there is none to do here. */
  async take(operationId: string): Promise<void> {
    const { dataSource, runner, logger, stopping } = this.deps;
    const row = await dataSource.manager.findOneBy(OperationEntity, { id: operationId });
    // A second job of work that is under way here must not wait for a slot.
    if (!row || runner.isLive(operationId)) {
      return;
    }
    const begun = Promise.withResolvers<void>();
    const work: Promise<void> = this.slots
      .run(() => {
        begun.resolve();
        return stopping.aborted ? Promise.resolve() : runner.run(operationId, row.tenantId, stopping);
      })
      .catch((error: unknown) => {
        logger.warn({ err: error, operation: operationId }, 'an operation is left to the next look');
      })
      .finally(() => this.running.delete(work));
    this.running.add(work);
    await begun.promise;
  }

  /** Resolves when nothing is under way any more. */
  async ended(): Promise<void> {
    await Promise.all(this.running);
  }
}
