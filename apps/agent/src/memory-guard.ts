import type { Database } from '#libs/db';
import type { Queue } from '#libs/jobs';
import { settleOldGrowth, growthWarning, raiseWarning, readMemoryGrowth } from '#libs/tenants';

interface GuardDeps {
  dataSource: Database;
  queue: Pick<Queue, 'enqueue'>;
  portalUrl: string;
  settings: { engineId: string };
  now: () => Date;
}

/** Tells owner and operators of memory that only grows, while there is time to choose when to restart. */
export class MemoryGuard {
  constructor(private readonly deps: GuardDeps) {}

  async turn(signal?: AbortSignal): Promise<void> {
    const { dataSource, settings, now } = this.deps;
    const stacks: { id: string }[] = await dataSource.query(
      `select id from tenants where engine_id = $1 and desired = 'running' order by id`,
      [settings.engineId],
    );
    for (const { id } of stacks) {
      signal?.throwIfAborted();
      const [soonest] = await readMemoryGrowth(dataSource.manager, id, now());
      if (soonest) {
        await raiseWarning(this.deps, { tenantId: id, kind: 'memory', tell: true }, growthWarning(soonest), now());
      }
    }
    await settleOldGrowth(dataSource, settings.engineId, now());
  }
}
