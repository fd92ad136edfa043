import { setTimeout as pause } from 'node:timers/promises';
import { isDomainError } from '#libs/contracts';
import { isDatabaseAway, type Database } from '#libs/db';
import { EngineLease, type LeaseSettings } from '#libs/orchestrator';
import type { Logger } from '#libs/telemetry';

/** Together with the lease's time and the agent's own start, a dead one's work is taken over well within 30 s. */
const ASK_AGAIN_MS = 2_000;

const ANNOUNCE_MS = 10_000;
const FORGET_SECONDS = 3_600;

interface StandByDeps {
  database: Database;
  engineId: string;
  lease: LeaseSettings;
  logger: Pick<Logger, 'info' | 'warn'>;
}

/** Waits for the right to act on the engine, and keeps it. */
export class StandBy {
  private announcedAt: number | undefined;
  private waitingFor: { owner: string; first: Date; renewed: boolean } | undefined;

  constructor(private readonly deps: StandByDeps) {}

  /** Null while another agent has it. */
  async tryTake(): Promise<EngineLease | null> {
    const { database, engineId, lease, logger } = this.deps;
    const taken = await EngineLease.take(database, engineId, lease);
    if (taken) {
      this.waitingFor = undefined;
      await this.leave();
      return taken;
    }
    await this.announce();
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

  /** Says that this one would take over, and forgets those that were not heard of for long. */
  private async announce(): Promise<void> {
    if (this.announcedAt !== undefined && performance.now() - this.announcedAt < ANNOUNCE_MS) {
      return;
    }
    const { database, engineId, lease } = this.deps;
    await database.query(
      `with forgotten as (
         delete from engine_stand_bys where engine_id = $1 and seen_at < now() - make_interval(secs => $3))
       insert into engine_stand_bys (engine_id, owner, since, seen_at) values ($1, $2, now(), now())
       on conflict (engine_id, owner) do update set seen_at = excluded.seen_at`,
      [engineId, lease.owner, FORGET_SECONDS],
    );
    this.announcedAt = performance.now();
  }

  /** Once it works or ends. Nothing is lost where the database is away: who is not heard of is not shown for long. */
  async leave(): Promise<void> {
    if (this.announcedAt === undefined) {
      return;
    }
    const { database, engineId, lease, logger } = this.deps;
    this.announcedAt = undefined;
    try {
      await database.query('delete from engine_stand_bys where engine_id = $1 and owner = $2', [engineId, lease.owner]);
    } catch (error) {
      logger.warn({ err: error }, 'that this agent stands by no more could not be written');
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
