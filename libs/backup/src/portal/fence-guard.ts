import { DomainError, isDomainError } from '#libs/contracts';
import { FenceEntity, type Database } from '#libs/db';
import type { Logger } from '#libs/telemetry';
import { keptFence, ownFence, replacedBy, type Fence, type OwnFence } from '#libs/tenants';
import type { PortalRepository } from './portal-repository.js';

/** One call of restic in so many; for as long a host may be wrong about itself. */
const FRESH_MS = 60_000;
/** A place that hangs must not hold a start up. */
const LOOK_MS = 10_000;

export interface FenceGuardDeps {
  repository: Pick<PortalRepository, 'fences'>;
  database: Database;
  now: () => Date;
  /** Milliseconds that never go back. */
  clock?: () => number;
  logger: Pick<Logger, 'warn' | 'error'>;
  freshMs?: number;
}

/** By both clocks: one is set by people and servers, the other stands still while the machine sleeps. */
interface Moment {
  date: number;
  clock: number;
}

/** For people: what became of this host, and what is to be done. */
export const replacedText = ({ recovery, at }: Fence): string =>
  `This host was replaced: the platform was recovered on another machine at ${at.toISOString()} (recovery ${recovery}). It stopped its bots, its agent works no more and touches no backup; its data is as it was. Remove it with scripts/down --purge on this machine. Where this host is to be the one that works: turn the other one off for good, then scripts/down --purge and scripts/aviary recover here (docs/operate.md, A lost host).`;

/**
 * Whether another database took the place of this one. The repository says so, since two databases that came out of one
 * another know nothing of each other; what it said once is kept here. While it cannot be asked, bots go on, and nothing
 * is removed from any repository or stored there.
 */
export class FenceGuard {
  private own: OwnFence | undefined;
  private known: Fence | null = null;
  private asked: Moment | null = null;
  /** Why the last look did not tell; null where it did. */
  private failure: unknown = null;
  private looking: Promise<void> | null = null;

  constructor(private readonly deps: FenceGuardDeps) {}

  /** The recovery that took this database's place, as far as it is known. */
  get replaced(): Fence | null {
    return this.known;
  }

  /** What the database says by now, and the repository, where that was not asked for a minute. */
  look(): Promise<Fence | null> {
    return this.told(this.isOld());
  }

  /**
   * Throws FENCED once another database has this one's place, and REPOSITORY_KEY or REPOSITORY_FAILED where the
   * repository did not tell. It is asked where its answer is a minute old, or with `anew`: what is removed is gone.
   */
  async prove({ anew = false }: { anew?: boolean } = {}): Promise<void> {
    const fence = await this.told(anew || this.failure !== null || this.isOld());
    if (fence !== null) {
      const { ordinal, recovery } = fence;
      throw new DomainError('FENCED', {
        message: replacedText(fence),
        details: { why: 'recovered', ordinal, recovery },
      });
    }
    if (this.failure !== null) {
      throw untold(this.failure);
    }
  }

  private async told(ask: boolean): Promise<Fence | null> {
    if (this.known !== null) {
      return this.known;
    }
    const own = (this.own ??= await ownFence(this.deps.database));
    // Each time: another agent of this host may have found it, and given up its lease to the one that asks here.
    const [kept] = await Promise.allSettled([keptFence(this.deps.database, own)]);
    this.known ??= kept.status === 'fulfilled' ? kept.value : null;
    if (this.known === null && ask) {
      this.looking ??= this.ask(own).finally(() => {
        this.looking = null;
      });
      await this.looking;
    }
    // While the database is away, only that the host was replaced is an answer.
    if (this.known === null && kept.status === 'rejected') {
      throw kept.reason;
    }
    return this.known;
  }

  private async ask(own: OwnFence): Promise<void> {
    const { repository, logger } = this.deps;
    const begun = this.moment();
    try {
      this.known = replacedBy(await repository.fences(AbortSignal.timeout(LOOK_MS)), own);
      this.failure = null;
    } catch (error) {
      this.failure = error ?? new Error('unknown');
      logger.warn({ err: error }, 'whether this host was replaced by a recovery could not be asked of the repository');
    }
    this.asked = begun;
    if (this.known !== null) {
      await this.keep(this.known);
    }
  }

  private moment(): Moment {
    const { now, clock = () => performance.now() } = this.deps;
    return { date: now().getTime(), clock: clock() };
  }

  private isOld(): boolean {
    const { asked } = this;
    const { freshMs = FRESH_MS } = this.deps;
    const { date, clock } = this.moment();
    return asked === null || [date - asked.date, clock - asked.clock].some((ms) => ms < 0 || ms >= freshMs);
  }

  /** So that it is known after a restart too, when the repository may be away. */
  private async keep({ ordinal, recovery, at }: Fence): Promise<void> {
    const { database, now, logger } = this.deps;
    logger.error({ ordinal, recovery, at }, 'this host was replaced by a recovery on another machine');
    try {
      await database.manager.upsert(FenceEntity, { ordinal, recoveryId: recovery, at, seenAt: now() }, ['ordinal']);
    } catch (error) {
      // It is known in this life of the process all the same.
      logger.warn({ err: error }, 'that this host was replaced could not be written down');
    }
  }
}

function untold(cause: unknown): DomainError {
  const before =
    'Nothing was removed from any repository of backups or stored there, since it cannot be told now whether this host was replaced by a recovery on another machine';
  const details = { why: 'fence_unknown' };
  if (isDomainError(cause, 'REPOSITORY_KEY')) {
    return new DomainError('REPOSITORY_KEY', {
      message: `${before}: the portal’s repository does not open with this host’s master key. Where the platform was recovered elsewhere and its key rotated there, this is the old host: turn it off. Else give it the key it was made with.`,
      details,
      cause,
    });
  }
  const why = isDomainError(cause) ? cause.message : `it did not answer within ${LOOK_MS / 1_000} s`;
  return new DomainError('REPOSITORY_FAILED', {
    message: `${before}: the portal’s repository cannot be read (${why}). Try again once it can.`,
    details,
    cause,
  });
}
