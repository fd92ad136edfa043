import { tx, type Database } from '#libs/db';
import type { Queue } from '#libs/jobs';
import type { Logger } from '#libs/telemetry';
import type { OperationLane } from './operation-lane.js';

/** Younger ones have a job on its way; a lease that ran out belongs to a worker that died. */
const UNTOUCHED_SECONDS = 5;
const MOST_PER_TURN = 50;

interface SweeperDeps {
  dataSource: Database;
  queue: Pick<Queue, 'enqueue'>;
  lane: Pick<OperationLane, 'held'>;
  engineId: string;
  logger: Logger;
}

/**
 * The rows are the truth and jobs only hints: gives open operations that nobody works on a job again, after a crash,
 * a lost job or a wait for the engine. The lane then decides how many are worked on at once, as for all others.
 */
export class OperationSweeper {
  constructor(private readonly deps: SweeperDeps) {}

  /** How many got a job; one that still waits in the lane gets no second. */
  async turn(): Promise<number> {
    const { dataSource, queue, lane, engineId, logger } = this.deps;
    const open = await dataSource.query<{ id: string }[]>(
      `select id from operations
        where engine_id = $1 and state in ('queued', 'running')
          and coalesce(greatest(lease_expires_at, not_before), created_at + make_interval(secs => $2)) < now()
          and id <> all($4::uuid[])
        order by created_at limit $3`,
      [engineId, UNTOUCHED_SECONDS, MOST_PER_TURN, lane.held],
    );
    let enqueued = 0;
    for (const { id } of open) {
      const accepted = await tx(dataSource, (db) =>
        queue.enqueue(db, 'engine.operation', { operationId: id }, { engineId, singletonKey: id }),
      );
      if (accepted) {
        enqueued += 1;
        logger.info({ operation: id }, 'an operation nobody works on was given a job again');
      }
    }
    return enqueued;
  }
}
