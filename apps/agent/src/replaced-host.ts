import { replacedText, type FenceGuard, type PortalRepository } from '#libs/backup';
import type { Database } from '#libs/db';
import { LABEL, type ContainerState, type Engine } from '#libs/engine';
import { settleAlarms } from '#libs/jobs';
import type { PortalRepositoryKeys } from '#libs/keys';
import type { Logger } from '#libs/telemetry';
import type { Fence } from '#libs/tenants';

const LOOK_MS = 20_000;
const CALL_MS = 20_000;
const GRACE_SECONDS = 60;

interface ReplacedDeps {
  guard: FenceGuard;
  dataSource: Database;
  /** Not guarded: the lease is given up by then. */
  engine: Pick<Engine, 'observe' | 'setRestart' | 'stopContainer'>;
  platformId: string;
  engineId: string;
  /** Gives up the lease at once and ends all that is under way; nothing where this agent did not lead. */
  leadNoMore: () => Promise<void>;
  logger: Pick<Logger, 'warn' | 'error'>;
  now: () => Date;
}

/**
 * What an agent does whose host was replaced by a recovery elsewhere: the new host's bots have the same keys, so those
 * here must stand still. Only runtimes are stopped, nothing is removed, and the engine starts none of them by itself.
 */
export class ReplacedHost {
  /** Names of the services that are runtimes, as last read. */
  private services: ReadonlySet<string> | null = null;

  constructor(private readonly deps: ReplacedDeps) {}

  /** True where this host is one, and then all of that is done. Asks the repository at most once a minute. */
  async turn(): Promise<boolean> {
    const fence = await this.deps.guard.look();
    if (fence === null) {
      await this.readServices();
      return false;
    }
    // Whatever fails of it is tried at the next turn; what stops the bots waits for nothing of the rest.
    const done = await Promise.allSettled([this.stopRuntimes(), this.deps.leadNoMore(), this.tell(fence)]);
    const failed = done.find((one) => one.status === 'rejected');
    if (failed !== undefined) {
      throw failed.reason;
    }
    return true;
  }

  private async stopRuntimes(): Promise<void> {
    const { engine, platformId, logger } = this.deps;
    const services = await this.readServices();
    const { containers } = await engine.observe({ platform: platformId }, { deadlineMs: LOOK_MS });
    const bots = containers.filter(
      ({ labels }) => LABEL.tenant in labels && services.has(labels[LABEL.service] ?? '') && !(LABEL.role in labels),
    );
    const stopped = await Promise.allSettled(bots.map((bot) => this.stop(bot)));
    stopped.forEach((one, index) => {
      if (one.status === 'rejected') {
        logger.error({ err: one.reason, container: bots[index]?.name }, 'a runtime of a replaced host does not stop');
      }
    });
    const failed = stopped.find((one) => one.status === 'rejected');
    if (failed !== undefined) {
      throw failed.reason;
    }
  }

  /** Of all releases; of those there were before, while the database is away. */
  private async readServices(): Promise<ReadonlySet<string>> {
    const { dataSource, logger } = this.deps;
    try {
      const rows = await dataSource.query<{ service: string }[]>(
        `select distinct definition #>> '{aviary,runtime,service}' as service from releases`,
      );
      this.services = new Set(rows.map(({ service }) => service));
    } catch (error) {
      if (this.services === null) {
        throw error;
      }
      logger.warn({ err: error }, 'which services are runtimes could not be read, those known before count');
    }
    return this.services;
  }

  private async stop({ name, status, restart }: ContainerState): Promise<void> {
    const { engine, logger } = this.deps;
    if (restart !== 'no') {
      await engine.setRestart(name, 'no', { deadlineMs: CALL_MS });
    }
    if (['running', 'restarting', 'paused'].includes(status)) {
      logger.warn({ container: name }, 'stopped, since this host was replaced');
      await engine.stopContainer(name, GRACE_SECONDS, { deadlineMs: GRACE_SECONDS * 1_000 + CALL_MS });
    }
  }

  private async tell(fence: Fence): Promise<void> {
    const { dataSource, engineId, logger, now } = this.deps;
    const key = `fence/${engineId}`;
    const { ordinal, recovery, at } = fence;
    const params = { engine: engineId, ordinal, recovery, at: at.toISOString() };
    const message = replacedText(fence);
    const finding = { key, code: 'FENCED', severity: 'critical', message, params } as const;
    const { raised } = await settleAlarms(dataSource, key, { findings: [finding] }, now());
    raised.forEach((one) => logger.error({ alarm: one.key }, one.message));
  }
}

/** Passwords of the repository, which a replaced host must not change either. */
export const fencedKeys = (portal: PortalRepository, guard: FenceGuard): PortalRepositoryKeys => ({
  admit: async (masterKey, signal) => {
    await guard.prove();
    await portal.admit(masterKey, signal);
  },
  retireOthers: async (masterKey, signal) => {
    await guard.prove();
    await portal.retireOthers(masterKey, signal);
  },
});
