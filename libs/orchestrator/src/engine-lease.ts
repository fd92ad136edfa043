import { DeadlineError, withDeadline } from '#libs/async';
import { DomainError } from '#libs/contracts';
import { isDatabaseAway, type Database } from '#libs/db';
import type { LeaseSettings } from './lease.js';

/** Part of the lease's time in which it is no longer believed unasked: what was begun within it may still take a while. */
const MARGIN = 0.2;
/** Times that one proof asks the database. */
const MOST_ASKED = 3;

interface Clock {
  /** Milliseconds that never go back, and those of the wall: the first stands still while a machine sleeps. */
  monotonic: () => number;
  wall: () => number;
}

interface Moment {
  monotonic: number;
  wall: number;
}

const momentOf = (clock: Clock): Moment => ({ monotonic: clock.monotonic(), wall: clock.wall() });
const elapsedMs = (from: Moment, to: Moment): number => Math.max(to.monotonic - from.monotonic, to.wall - from.wall);

const CLOCK: Clock = { monotonic: () => performance.now(), wall: () => Date.now() };

/**
 * The right to act on one engine: at most one agent has it. Taken by compare-and-set and on the database's clock; the
 * holder knows by its own clocks for how long nobody else can have taken it since it was last confirmed, so that a proof
 * costs nothing while all is well. A process that was paused sees at its next step that too much time went by, asks, and
 * learns that it is another's.
 */
export class EngineLease {
  /** Which of the engine's holders this is. */
  readonly fencing: number;
  private confirmed: Moment;
  private lastTurn: Moment | undefined;
  private lost = false;
  /** More time went by than the lease has, and the database has not said since that it is still ours. */
  private doubted = false;

  private constructor(
    private readonly database: Database,
    private readonly engineId: string,
    private readonly settings: LeaseSettings & { clock: Clock },
    { fencing, confirmed }: { fencing: number; confirmed: Moment },
  ) {
    this.fencing = fencing;
    this.confirmed = confirmed;
  }

  /** Null while another holds it. The engine's row must be there. */
  static async take(
    database: Database,
    engineId: string,
    settings: LeaseSettings,
    clock: Clock = CLOCK,
  ): Promise<EngineLease | null> {
    const asked = momentOf(clock);
    const rows: { fencing: number }[] = await database.query(
      `insert into engine_leases (engine_id, owner, fencing, taken_at, expires_at)
       values ($1, $2, 1, now(), now() + make_interval(secs => $3))
       on conflict (engine_id) do update set owner = excluded.owner, fencing = engine_leases.fencing + 1,
         taken_at = excluded.taken_at, expires_at = excluded.expires_at where engine_leases.expires_at < now()
       returning fencing`,
      [engineId, settings.owner, settings.seconds],
    );
    if (!rows[0]) {
      return null;
    }
    return new EngineLease(database, engineId, { ...settings, clock }, { fencing: rows[0].fencing, confirmed: asked });
  }

  /** Who holds it and until when it does, by the database's clock; null when nobody ever did. */
  static async holder(database: Database, engineId: string): Promise<{ owner: string; expiresAt: Date } | null> {
    const rows: { owner: string; expiresAt: Date }[] = await database.query(
      `select owner, expires_at as "expiresAt" from engine_leases where engine_id = $1`,
      [engineId],
    );
    return rows[0] ?? null;
  }

  /**
   * Before each change of the engine. Throws FENCED once another holds it, and what the database answered when it cannot
   * be asked and the last confirmation is too old.
   */
  async prove(): Promise<void> {
    if (this.lost) {
      throw this.fenced();
    }
    for (let asked = 0; this.isStale(); asked += 1) {
      if (asked === MOST_ASKED) {
        throw Object.assign(new Error('The database confirms the lease too late to be believed.'), {
          code: 'ETIMEDOUT',
        });
      }
      // Once more where the answer was waiting while this process stood still: another may have it since.
      await this.renew();
    }
  }

  /**
   * Before a change that only brings back what this agent last made so (the firewall, route files): as `prove`, but it
   * goes on while the database is away, when nobody can take the engine over either. Not after a pause: then somebody may
   * have, before the database went.
   */
  async proveForUpkeep(): Promise<void> {
    try {
      await this.prove();
    } catch (error) {
      if (!isDatabaseAway(error) || this.doubted) {
        throw error;
      }
    }
  }

  /**
   * To be called at least three times within the lease's time. One that ran out and that nobody took goes on. Throws
   * FENCED, for good, once another has it.
   */
  async renew(): Promise<void> {
    this.notice();
    const asked = momentOf(this.settings.clock);
    if (!(await this.extend())) {
      this.lost = true;
      throw this.fenced();
    }
    this.confirmed = asked;
    this.doubted = false;
  }

  /** False when it is another's. A database that says nothing at all counts as away, and in time. */
  private async extend(): Promise<boolean> {
    const { owner, seconds } = this.settings;
    const asking = (): Promise<unknown> =>
      this.database.query(
        `update engine_leases set expires_at = now() + make_interval(secs => $4)
          where engine_id = $1 and owner = $2 and fencing = $3 returning 1`,
        [this.engineId, owner, this.fencing, seconds],
      );
    try {
      const [rows] = (await withDeadline('Renewing the lease', { deadlineMs: seconds * 1_000 }, asking)) as [
        unknown[],
        number,
      ];
      return rows.length > 0;
    } catch (error) {
      throw error instanceof DeadlineError ? Object.assign(error, { code: 'ETIMEDOUT' }) : error;
    }
  }

  /** Lets another take it at once. */
  async release(): Promise<void> {
    this.lost = true;
    await this.database.query(
      `update engine_leases set expires_at = now() - interval '1 second' where engine_id = $1 and owner = $2 and fencing = $3`,
      [this.engineId, this.settings.owner, this.fencing],
    );
  }

  /** Sees by the distance of its own turns whether this process stood still for longer than the lease lasts. */
  private notice(): void {
    const now = momentOf(this.settings.clock);
    const before = this.lastTurn ?? this.confirmed;
    this.lastTurn = now;
    if (elapsedMs(before, now) > this.settings.seconds * 1_000) {
      this.doubted = true;
    }
  }

  /** By whichever clock saw more of the time since it was last confirmed. */
  private isStale(): boolean {
    const age = elapsedMs(this.confirmed, momentOf(this.settings.clock));
    return age >= this.settings.seconds * 1_000 * (1 - MARGIN);
  }

  private fenced(): DomainError {
    return new DomainError('FENCED', {
      message: `Another agent works on the engine ${this.engineId} now.`,
      details: { engine: this.engineId, fencing: this.fencing },
    });
  }
}
