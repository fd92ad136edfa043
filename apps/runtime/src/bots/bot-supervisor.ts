import { setTimeout as delay } from 'node:timers/promises';
import { backoffMs } from '#libs/async';
import { DomainError, isDomainError } from '#libs/contracts';
import type { GridEvent } from '#libs/trading';
import { isDatabaseAway } from '../database/database.js';
import { wrongState } from './bot-orders.js';
import type { BotRecord } from './bot-record.js';
import { BotRunner, type RunnerDeps } from './bot-runner.js';
import type { RequestKey } from './bot-store.js';
import { event, words } from './bot-words.js';

export interface SupervisorDeps extends RunnerDeps {
  /** False while nothing of the stack may trade: prices then lead to nothing, protective rules neither. */
  mayTrade: () => boolean;
  signal: AbortSignal;
}

const RETRY = { baseMs: 100, maxMs: 2_000 };

/** What passes by itself: the database is away, there is no fresh price, another copy was faster. */
function passes(error: unknown): boolean {
  return isDatabaseAway(error) || isDomainError(error, 'PRICE_STALE') || isDomainError(error, 'LOST_RACE');
}

/**
 * Runs one bot. Everything about it happens in turn; what a turn does is the runner's. Here: whose turn it is, what is
 * tried again, and what a person may ask. An error that does not pass by itself stops this bot and no other.
 */
export class BotSupervisor {
  private readonly runner: BotRunner;
  private tail: Promise<unknown> = Promise.resolve();
  private waitingPrice = false;
  private aligning = false;

  constructor(
    record: BotRecord,
    private readonly deps: SupervisorDeps,
  ) {
    this.runner = new BotRunner(record, deps);
  }

  /** The newest committed state. */
  get record(): BotRecord {
    return this.runner.record;
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.tail.then(work);
    this.tail = mine.catch(() => undefined);
    return mine;
  }

  /** Resolves once everything asked so far is done. */
  async idle(): Promise<void> {
    await this.tail;
  }

  /**
   * Runs a command of a person. Absence of the database is their answer, not retried. Once the command is stored it is
   * done: what could not be sent then is sent by the recovery.
   */
  private command(work: () => Promise<unknown>): Promise<BotRecord> {
    return this.inTurn(async () => {
      let version: number | null = null;
      try {
        await this.runner.sure();
        ({ version } = this.record);
        await work();
        return this.record;
      } catch (error) {
        if (this.runner.unsure) {
          void this.recover();
        }
        if (passes(error) && version !== null && this.record.version > version) {
          this.deps.logger.warn({ err: error, bot: this.record.id }, 'a command is stored; what it sends waits');
          return this.record;
        }
        throw isDatabaseAway(error) ? databaseAway(error) : error;
      }
    });
  }

  /**
   * Background work: retried while the database is away; any other failure stops the bot with its reason. Between two
   * attempts the turn is free, so that a person's command is answered meanwhile.
   */
  private async background(work: () => Promise<unknown>): Promise<void> {
    await this.untilDone(() => this.inTurn(() => this.attempt(work)));
  }

  private async untilDone(attempt: () => Promise<boolean>): Promise<void> {
    for (let count = 0; !this.deps.signal.aborted; count += 1) {
      if (await attempt()) {
        return;
      }
      await this.backOff(count);
    }
  }

  /** True when there is nothing to retry. */
  private async attempt(work: () => Promise<unknown>): Promise<boolean> {
    try {
      await this.runner.sure();
      await work();
      return true;
    } catch (error) {
      this.runner.unsure = true;
      if (passes(error)) {
        return false;
      }
      return this.runner.fail(error).then(
        () => true,
        () => false,
      );
    }
  }

  private async backOff(attempt: number): Promise<void> {
    const wait = RETRY.baseMs + backoffMs(attempt, RETRY.baseMs, RETRY.maxMs, Math.random());
    await delay(wait, undefined, { signal: this.deps.signal }).catch(() => {
      // Aborted: the loop looks at the signal next.
    });
  }

  /** Whether it is to be at its work after a start: it was, or another release put it out of it. */
  get isToRun(): boolean {
    return this.record.state === 'running' || this.runner.stoppedByRelease === 'running';
  }

  /** Whether it went on from the database since the start, or was made after it. */
  get hasResumed(): boolean {
    return this.runner.resumed;
  }

  /** Goes on from the database: after a start, and after a failed command. */
  recover(): Promise<void> {
    return this.background(() => this.runner.resume(this.deps.held()));
  }

  /** Brings the bot to what the platform holds it for, or to its work again. Resolves once that is done. */
  async align(): Promise<void> {
    if (!this.aligning && !this.runner.isAligned(this.deps.held())) {
      this.aligning = true;
      await this.recover().finally(() => {
        this.aligning = false;
      });
    }
  }

  /** A new price. Prices are not queued up: the newest is read when its turn comes. */
  onPrice(): void {
    if (this.waitingPrice || !this.runner.isLive || !this.deps.mayTrade()) {
      return;
    }
    this.waitingPrice = true;
    void this.background(async () => {
      const price = this.deps.price(this.record.pair);
      if (price?.fresh && this.runner.isLive) {
        await this.runner.step({ events: [{ type: 'price', price: price.price }] });
      }
    }).finally(() => {
      this.waitingPrice = false;
    });
  }

  /** The exchange filled something. */
  onTrades(): void {
    void this.background(() => this.runner.bookTrades());
  }

  /**
   * Stores a new bot and starts it where asked, in one transaction. Once that is done the bot is made, whatever
   * becomes of its first orders now: the recovery sends them.
   */
  create(start: boolean, request: RequestKey | null): Promise<BotRecord> {
    const { version } = this.record;
    return this.inTurn(async () => {
      try {
        await this.runner.create(start, request);
      } catch (error) {
        if (this.record.version === version) {
          throw error;
        }
        this.deps.logger.warn({ err: error, bot: this.record.id }, 'a bot is stored; its first orders wait');
        void this.recover();
      }
      return this.record;
    });
  }

  /** After a `create` whose commit nobody heard of: whether the bot was stored. False when the runtime ends first. */
  async wasStored(): Promise<boolean> {
    let found = false;
    await this.untilDone(async () => {
      try {
        found = (await this.deps.store.load('id = $1', [this.record.id])).length > 0;
        return true;
      } catch (error) {
        if (isDatabaseAway(error)) {
          return false;
        }
        throw error;
      }
    });
    return found;
  }

  /** Starts a new bot, or tries again after an error. */
  start(): Promise<BotRecord> {
    return this.command(async () => {
      const { state, grid } = this.record;
      if (state === 'created') {
        await this.runner.begin();
      } else if (state === 'error') {
        const price = this.runner.freshPrice();
        const resume: GridEvent = { type: 'resume', price };
        await this.runner.step({
          events: grid.phase === 'idle' ? [resume, { type: 'start', price }] : [resume],
          change: { state: 'running', reason: null, since: this.deps.now(), adoptedAt: null },
          notes: [event('bot.started', words('bot.retried', 'Tries again', {}))],
        });
      } else if (state !== 'running') {
        throw wrongState(state, state === 'paused' ? 'resume_instead' : 'make_a_new_one');
      }
    });
  }

  pause(): Promise<BotRecord> {
    return this.command(async () => {
      const { state } = this.record;
      if (state === 'running') {
        const english = 'Paused: nothing new is placed, open orders stay';
        await this.runner.step({
          events: [{ type: 'pause' }],
          change: { state: 'paused', since: this.deps.now() },
          notes: [event('bot.paused', words('bot.paused', english, {}))],
        });
      } else if (state !== 'paused') {
        throw wrongState(state, 'only_running_pauses');
      }
    });
  }

  resume(): Promise<BotRecord> {
    return this.command(async () => {
      const { state } = this.record;
      if (state === 'paused') {
        await this.runner.step({
          events: [{ type: 'resume', price: this.runner.freshPrice() }],
          change: { state: 'running', since: this.deps.now(), adoptedAt: null },
          notes: [event('bot.resumed', words('bot.resumed', 'Resumed', {}))],
        });
      } else if (state !== 'running') {
        throw wrongState(state, 'only_paused_resumes');
      }
    });
  }

  stop(onExit: 'keep' | 'sell'): Promise<BotRecord> {
    return this.command(async () => {
      if (this.record.state !== 'stopped') {
        const price = onExit === 'sell' ? this.runner.freshPrice() : this.runner.lastPrice();
        await this.runner.step({ events: [{ type: 'stop', onExit, price }] });
      }
    });
  }

  remove(): Promise<BotRecord> {
    return this.command(async () => {
      const { state, deletedAt } = this.record;
      if (state !== 'created' && state !== 'stopped') {
        throw wrongState(state, 'stop_first');
      }
      if (!deletedAt) {
        await this.runner.step({
          events: [],
          change: { deletedAt: this.deps.now() },
          notes: [event('bot.deleted', words('bot.deleted', 'Deleted', {}))],
        });
      }
    });
  }

  /** Stores figures that follow the price, such as the day's beginning and the drawdown. */
  saveFigures(change: Pick<BotRecord, 'day' | 'peak' | 'drawdown'>): void {
    void this.background(() => this.runner.step({ events: [], change }));
  }
}

function databaseAway(cause: unknown): DomainError {
  return new DomainError('UNAVAILABLE', {
    message: 'The stack’s database does not answer. The bot goes on when it is back; try again then.',
    cause,
  });
}
