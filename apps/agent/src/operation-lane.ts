import { Semaphore } from '#libs/async';
import { MOST_UPGRADES_AT_ONCE } from '#libs/contracts';
import { OperationEntity, type Database } from '#libs/db';
import type { OperationRunner } from '#libs/orchestrator';
import type { Logger } from '#libs/telemetry';
import { LANE_OF, type Lane } from '#libs/tenants';

/** Operations that wait for a place together; of each, how many are worked on at once. */
const PLACES = {
  /**
   * Minutes at most. Most of one is waiting (a bot's grace, a database's start), for which nobody else has to wait; what
   * the engine cannot take much of, creates and starts, it rations itself. The bound keeps the calls that wait for those
   * within their deadlines.
   */
  swift: 16,
  /** Beside those, so that a host's worth of repairs, after a reboot, keeps no person's order waiting. */
  repair: 8,
  /** They read and write gigabytes, and more of them at once would only slow each other and the stacks. */
  copy: 2,
  /** As much to read and write, and a person waits for them, who should not wait for the night's backups. */
  restore: 2,
  /** Hours too where a backup is slow; no fewer than a rollout has under way. */
  upgrade: MOST_UPGRADES_AT_ONCE,
} as const satisfies Record<Lane, number>;
interface LaneDeps {
  dataSource: Database;
  runner: Pick<OperationRunner, 'run' | 'isLive' | 'poke'>;
  logger: Logger;
  /** Fires when the agent stops. */
  stopping: AbortSignal;
}

/**
 * Takes operations over from the queue's jobs: a job is done once its operation waits here, so that no slow one holds
 * a place in the queue's lane. From then on the row and its lease are the truth: what ends early is found by the
 * sweeper, as after a crash.
 */
export class OperationLane {
  private readonly slots: Record<Lane, Semaphore> = {
    swift: new Semaphore(PLACES.swift),
    repair: new Semaphore(PLACES.repair),
    copy: new Semaphore(PLACES.copy),
    restore: new Semaphore(PLACES.restore),
    upgrade: new Semaphore(PLACES.upgrade),
  };
  private readonly running = new Set<Promise<void>>();
  /** What waits for a slot or has one. */
  private readonly taken = new Set<string>();

  constructor(private readonly deps: LaneDeps) {}

  /** Resolves when it is known here; it begins when it has a slot. */
  async take(operationId: string): Promise<void> {
    const { dataSource, runner, logger, stopping } = this.deps;
    const row = await dataSource.manager.findOneBy(OperationEntity, { id: operationId });
    // A second job of work that waits or is under way here must not take a slot of its own.
    if (!row || this.taken.has(operationId) || runner.isLive(operationId)) {
      return;
    }
    this.taken.add(operationId);
    // What it takes the place of may hold the slot it waits for.
    runner.poke(row.tenantId);
    const work: Promise<void> = this.slots[LANE_OF[row.kind]]
      .run(() => (stopping.aborted ? Promise.resolve() : runner.run(operationId, row.tenantId, stopping)))
      .catch((error: unknown) => {
        logger.warn({ err: error, operation: operationId }, 'an operation is left to the next look');
      })
      .finally(() => {
        this.running.delete(work);
        this.taken.delete(operationId);
      });
    this.running.add(work);
  }

  /** Ids of what waits here or is under way, so that it needs no other job. */
  get held(): string[] {
    return [...this.taken];
  }

  /** Resolves when nothing is under way any more. */
  async ended(): Promise<void> {
    await Promise.all(this.running);
  }
}
