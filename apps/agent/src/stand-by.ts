import { setTimeout as pause } from 'node:timers/promises';
import { isDomainError } from '#libs/contracts';
import { isDatabaseAway, type Database } from '#libs/db';
import { EngineLease, type LeaseSettings } from '#libs/orchestrator';
import type { Logger } from '#libs/telemetry';

/** Together with the lease's time and the agent's own start, a dead one's work is taken over well within 30 s. */
const ASK_AGAIN_MS = 2_000;

interface StandByDeps {
  database: Database;
  engineId: string;
  lease: LeaseSettings;
  logger: Pick<Logger, 'info' | 'warn'>;
}

/** Waits for the right to act on the engine, and keeps it. */
export class StandBy {
  private waitingFor: { owner: string; first: Date; renewed: boolean } | undefined;

  constructor(private readonly deps: StandByDeps) {}

  /** Null while another agent has it. */
  async tryTake(): Promise<EngineLease | null> {
    const { database, engineId, lease, logger } = this.deps;
    const taken = await EngineLease.take(database, engineId, lease);
    if (taken) {
      this.waitingFor = undefined;
      return taken;
    }
    const holder = await EngineLease.holder(database, engineId);
    if (holder && this.waitingFor?.owner !== holder.owner) {
      logger.info({ holder: holder.owner }, 'another agent works on this engine, standing by');
      this.waitingFor = { owner: holder.owner, first: holder.expiresAt, renewed: false };
    } else if (holder && this.waitingFor) {
      this.waitingFor.renewed ||= holder.expiresAt > this.waitingFor.first;
    }
    return null;
  }

  async take(signal: AbortSignal): Promise<EngineLease> {
    const between = Math.min(ASK_AGAIN_MS, (this.deps.lease.seconds * 1_000) / 3);
    for (;;) {
      try {
        const taken = await this.tryTake();
        if (taken) {
          return taken;
        }
      } catch (error) {
        if (!isDatabaseAway(error)) {
          throw error;
        }
        this.deps.logger.warn({ err: error }, 'portal database away, standing by');
      }
      await pause(between, undefined, { signal });
    }
  }

  /** What the health check says: well only while the other is seen to be alive. */
  says(): string {
    if (!this.waitingFor) {
      return 'ok';
    }
    const { owner, renewed } = this.waitingFor;
    return renewed ? 'ok' : `Waits until ${owner} is seen to work, or is sure not to any more.`;
  }
}

/** Renews the lease until `stop`; `lost` is told once, when another agent has it. */
export async function keepLease(
  lease: EngineLease,
  seconds: number,
  { stop, lost, logger }: { stop: AbortSignal; lost: (error: Error) => void; logger: Pick<Logger, 'warn'> },
): Promise<void> {
  while (!stop.aborted) {
    // Rejects only because of `stop`.
    await pause((seconds * 1_000) / 3, undefined, { signal: stop }).catch(() => undefined);
    if (stop.aborted) {
      return;
    }
    try {
      await lease.renew();
    } catch (error) {
      if (isDomainError(error, 'FENCED')) {
        lost(error);
        return;
      }
      logger.warn({ err: error }, 'the lease of the engine could not be renewed');
    }
  }
}
