import { MoreThan } from 'typeorm';
import { DeadlineError } from '#libs/async';
import { DomainError, isDomainError } from '#libs/contracts';
import { hashToken } from '#libs/crypto';
import { ExportEntity, tx, type Database, type Tx } from '#libs/db';
import type { Logger } from '#libs/telemetry';
import { requireDownloadSlot, type ExportPlace, type OpenDownload } from '../domain/export-rules.js';

/** One whose sender was killed stands in the way no longer than this. */
const ALIVE_MS = 60_000;

export interface ExportTimes {
  /** How often its sender says that it goes on, and learns that it is to end: so long an end takes at most. */
  beatMs: number;
  /** Of a reader that takes nothing, or next to nothing: who pauses a download for longer begins it anew. */
  stalledMs: number;
  /** Of a whole download. A large archive takes hours over a slow line; one that is never done holds a restic. */
  deadlineMs: number;
}
export const EXPORT_TIMES: ExportTimes = { beatMs: 15_000, stalledMs: 5 * 60_000, deadlineMs: 6 * 3_600_000 };

interface SendingDeps {
  database: Database;
  logger: Pick<Logger, 'warn'>;
  now: () => Date;
  at: ExportPlace;
}

async function openDownloads(db: Tx, now: Date): Promise<OpenDownload[]> {
  return db.query(
    `select e.account_id as "accountId", t.slug, e.asked_at as since from exports e join tenants t on t.id = e.tenant_id
      where e.state = 'sending' and e.alive_until > $1 order by e.asked_at`,
    [now],
  );
}

/** Throws TENANT_BUSY and RATE_LIMITED as `requireDownloadSlot` does. */
export async function requireSlot(db: Tx, accountId: string, at: ExportPlace, now: Date): Promise<void> {
  requireDownloadSlot(await openDownloads(db, now), accountId, at);
}

/**
 * The download that ticket is for, begun. Throws TOKEN_INVALID for one that was used, is too old or was ended, and as
 * `requireSlot` does, which leaves the ticket as good as it was.
 */
export async function redeem({ database, now, at }: SendingDeps, ticket: string): Promise<ExportEntity> {
  return tx(database, async (db) => {
    // Of two at once the second sees the first one.
    await db.query(`select pg_advisory_xact_lock(hashtext('aviary-exports'))`);
    const begun = now();
    // Its lock orders it with what ends it: a destroy, a prune, a cancellation.
    const row = await db.findOne(ExportEntity, {
      where: { ticketHash: hashToken(ticket), state: 'asked', aliveUntil: MoreThan(begun) },
      lock: { mode: 'pessimistic_write' },
    });
    if (!row) {
      throw new DomainError('TOKEN_INVALID', {
        message: 'This download was begun before, was ended, or was asked for too long ago. Ask for it again.',
      });
    }
    await requireSlot(db, row.accountId, at, begun);
    await db.update(ExportEntity, { id: row.id }, { state: 'sending', aliveUntil: aliveUntil(begun) });
    return row;
  });
}

const aliveUntil = (now: Date): Date => new Date(now.getTime() + ALIVE_MS);

/**
 * A download under way. Its row is the switch: while it says so, nothing of the stack's backups is removed; once it does
 * not, `ended` fires with what its owner is told.
 */
export class Sending {
  private readonly control = new AbortController();
  private readonly beat: NodeJS.Timeout;
  private readonly late: NodeJS.Timeout;

  constructor(
    private readonly deps: SendingDeps,
    private readonly id: string,
    { beatMs, deadlineMs }: ExportTimes,
  ) {
    this.beat = setInterval(() => void this.goesOn(), beatMs);
    this.late = setTimeout(() => this.control.abort(tookTooLong(deadlineMs)), deadlineMs);
  }

  get ended(): AbortSignal {
    return this.control.signal;
  }

  /** The last of it. Never throws: see `note`. */
  async over(end: Pick<ExportEntity, 'state'> & Partial<ExportEntity>): Promise<void> {
    clearInterval(this.beat);
    clearTimeout(this.late);
    await this.note(() =>
      this.deps.database.manager.update(
        ExportEntity,
        { id: this.id, state: 'sending' },
        { ...end, endedAt: this.deps.now() },
      ),
    );
  }

  /** One beat that comes through is enough. One whose time is over is not taken up again: what it reads may be gone. */
  private goesOn(): Promise<void> {
    return this.note(async () => {
      const now = this.deps.now();
      const { manager } = this.deps.database;
      const { affected } = await manager.update(
        ExportEntity,
        { id: this.id, state: 'sending', aliveUntil: MoreThan(now) },
        { aliveUntil: aliveUntil(now) },
      );
      if (affected === 0) {
        const row = await manager.findOneBy(ExportEntity, { id: this.id });
        this.control.abort(endedBy(row));
      }
    });
  }

  /**
   * Never throws: while the database is away the archive goes on to its taker, who is told the truth of it, and the row
   * says within a minute that nobody sends it.
   */
  private async note(write: () => Promise<unknown>): Promise<void> {
    try {
      await write();
    } catch (error) {
      this.deps.logger.warn({ err: error, export: this.id }, 'what becomes of a download could not be written down');
    }
  }
}

const again = 'so what came is not all of it. Download it again.';

const tookTooLong = (deadlineMs: number): DomainError =>
  new DomainError('DEADLINE_EXCEEDED', {
    message: `It took longer than ${Math.round(deadlineMs / 3_600_000)} hours and was cut off, ${again}`,
  });

const endedBy = (row: ExportEntity | null): DomainError =>
  row?.error
    ? new DomainError(row.error.code, { message: row.error.message })
    : new DomainError('UNAVAILABLE', {
        message: `The platform’s database was away for too long to keep the backup, and it was cut off, ${again}`,
      });

/** As its owner is told; what exactly ended the reading stands in the agent's log. */
export function brokenOff(error: unknown, signal: AbortSignal, readingFailed: boolean): DomainError {
  const reason: unknown = signal.aborted ? signal.reason : error;
  if (isDomainError(reason)) {
    return reason;
  }
  if (reason instanceof DeadlineError) {
    return new DomainError('DEADLINE_EXCEEDED', {
      message: `Too little of it was taken for minutes, and it was cut off, ${again}`,
      cause: error,
    });
  }
  if (!signal.aborted && readingFailed) {
    return new DomainError('UNAVAILABLE', {
      message: `It broke off while the backup was read, ${again}`,
      cause: error,
    });
  }
  const why = signal.aborted || !(error instanceof Error) ? '' : ` (${error.message})`;
  return new DomainError('OPERATION_CANCELLED', {
    message: `It was broken off where it was downloaded${why}, ${again}`,
    cause: error,
  });
}
