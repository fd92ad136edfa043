import { setTimeout as delay } from 'node:timers/promises';
import { backoffMs } from '#libs/async';
import { DomainError, isDomainError, type Pair } from '#libs/contracts';
import type { Logger } from '#libs/telemetry';
import type { GridEvent } from '#libs/trading';
import { isDatabaseAway, type Sql } from '../database/database.js';
import type { PaperExchange, PlaceOrder } from '../exchange/paper-exchange.js';
import { release, reserve } from './bot-money.js';
import { liveOrders, note, refOf, wrongState } from './bot-orders.js';
import { clientOrderId, orderPrefix, type BotRecord } from './bot-record.js';
import { stepBot, type StepInput, type StepOutput } from './bot-step.js';
import type { BotStore, Stored } from './bot-store.js';

export interface SupervisorDeps {
  store: BotStore;
  exchange: PaperExchange;
  logger: Logger;
  price: (pair: Pair) => { price: string; fresh: boolean } | null;
  now: () => Date;
  /** Called after each commit. */
  changed: (stored: Stored) => void;
  report: (sql: Sql, event: { event: string; bot: string; text: string; at: Date }) => Promise<void>;
  signal: AbortSignal;
}

const RETRY = { baseMs: 100, maxMs: 2_000 };
/** Kinds of events the portal is told. */
const REPORTED = new Set(['bot.error', 'bot.finished', 'bot.started', 'bot.stopped']);

/**
 * Runs one bot. Everything about it happens in turn: step the strategy, store the new state with its orders as
 * intents, then send them. So after a crash the database says what was meant, the exchange what came of it, and
 * `recover` joins the two. An error that is not an absence stops this bot and no other.
 */
export class BotSupervisor {
  private tail: Promise<unknown> = Promise.resolve();
  private waitingPrice = false;
  /** True when memory may differ from the database: after any failure, and at the start. */
  private unsure = true;

  constructor(
    public record: BotRecord,
    private readonly deps: SupervisorDeps,
  ) {}

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.tail.then(work);
    this.tail = mine.catch(() => undefined);
    return mine;
  }

  /** Resolves once everything asked so far is done. */
  async idle(): Promise<void> {
    await this.tail;
  }

  /** Runs a command of a person. Absence of the database is their answer, not retried. */
  command(work: () => Promise<void>): Promise<BotRecord> {
    return this.inTurn(async () => {
      try {
        await this.sure();
        await work();
        return this.record;
      } catch (error) {
        if (!isDomainError(error)) {
          this.unsure = true;
          void this.recover();
        }
        if (isDatabaseAway(error)) {
          throw new DomainError('UNAVAILABLE', {
            message: 'The stack’s database does not answer. The bot goes on when it is back; try again then.',
            cause: error,
          });
        }
        throw error;
      }
    });
  }

  /**
   * Background work: retried while the database is away; any other failure stops the bot with its reason. Between two
   * attempts the turn is free, so that a person's command is answered meanwhile.
   */
  private async background(work: () => Promise<void>): Promise<void> {
    for (let attempt = 0; !this.deps.signal.aborted; attempt += 1) {
      if (await this.inTurn(() => this.attempt(work))) {
        return;
      }
      await this.backOff(attempt);
    }
  }

  /** True when there is nothing to retry. */
  private async attempt(work: () => Promise<void>): Promise<boolean> {
    try {
      await this.sure();
      await work();
      return true;
    } catch (error) {
      this.unsure = true;
      if (isDatabaseAway(error) || isDomainError(error, 'PRICE_STALE') || isDomainError(error, 'LOST_RACE')) {
        return false;
      }
      await this.fail(error);
      return true;
    }
  }

  private async backOff(attempt: number): Promise<void> {
    const wait = RETRY.baseMs + backoffMs(attempt, RETRY.baseMs, RETRY.maxMs, Math.random());
    await delay(wait, undefined, { signal: this.deps.signal }).catch(() => {
      // Aborted: the loop looks at the signal next.
    });
  }

  /** Goes on from the database: after a start, and after a failed command. */
  recover(): Promise<void> {
    return this.background(async () => undefined);
  }

  /** A new price. Prices are not queued up: the newest is read when its turn comes. */
  onPrice(): void {
    if (this.waitingPrice || !this.isLive()) {
      return;
    }
    this.waitingPrice = true;
    void this.background(async () => {
      const price = this.deps.price(this.record.pair);
      if (price?.fresh && this.isLive()) {
        await this.step({ events: [{ type: 'price', price: price.price }] });
      }
    }).finally(() => {
      this.waitingPrice = false;
    });
  }

  /** The exchange filled something. */
  onTrades(): void {
    void this.background(() => this.bookTrades());
  }

  private isLive(): boolean {
    return this.record.state === 'running' || this.record.state === 'paused';
  }

  private freshPrice(): string {
    const price = this.deps.price(this.record.pair);
    if (!price?.fresh) {
      throw new DomainError('PRICE_STALE');
    }
    return price.price;
  }

  private lastPrice(): string {
    return this.deps.price(this.record.pair)?.price ?? this.record.params.lower;
  }

  /** Starts a new bot, or tries again after an error. */
  start(): Promise<BotRecord> {
    return this.command(async () => {
      const { state, grid } = this.record;
      const price = this.freshPrice();
      if (state === 'created') {
        const change = { state: 'running' as const, reason: null, since: this.deps.now(), startedAt: this.deps.now() };
        await this.step({ events: [{ type: 'start', price }], change }, (sql) => reserve(sql, this.record));
      } else if (state === 'error') {
        const again: GridEvent = grid.phase === 'idle' ? { type: 'start', price } : { type: 'resume', price };
        const change = { state: 'running' as const, reason: null, since: this.deps.now() };
        await this.step({ events: [again], change, notes: [note('bot.started', 'Tries again')] });
      } else if (state !== 'running') {
        throw wrongState(state, state === 'paused' ? 'Resume it instead.' : 'Make a new bot from its settings.');
      }
    });
  }

  pause(): Promise<BotRecord> {
    return this.command(async () => {
      const { state } = this.record;
      if (state === 'running') {
        await this.step({
          events: [{ type: 'pause' }],
          change: { state: 'paused', since: this.deps.now() },
          notes: [note('bot.paused', 'Paused: nothing new is placed, open orders stay')],
        });
      } else if (state !== 'paused') {
        throw wrongState(state, 'Only a running bot can be paused.');
      }
    });
  }

  resume(): Promise<BotRecord> {
    return this.command(async () => {
      const { state } = this.record;
      if (state === 'paused') {
        await this.step({
          events: [{ type: 'resume', price: this.freshPrice() }],
          change: { state: 'running', since: this.deps.now() },
          notes: [note('bot.resumed', 'Resumed')],
        });
      } else if (state !== 'running') {
        throw wrongState(state, 'Only a paused bot can be resumed.');
      }
    });
  }

  stop(onExit: 'keep' | 'sell'): Promise<BotRecord> {
    return this.command(async () => {
      if (this.record.state !== 'stopped') {
        const price = onExit === 'sell' ? this.freshPrice() : this.lastPrice();
        await this.step({ events: [{ type: 'stop', onExit, price }] });
      }
    });
  }

  remove(): Promise<BotRecord> {
    return this.command(async () => {
      const { state, deletedAt } = this.record;
      if (state !== 'created' && state !== 'stopped') {
        throw wrongState(state, 'Stop it first.');
      }
      if (!deletedAt) {
        await this.step({
          events: [],
          change: { deletedAt: this.deps.now() },
          notes: [note('bot.deleted', 'Deleted')],
        });
      }
    });
  }

  /** Stores figures that follow the price, such as the day's beginning and the drawdown. */
  saveFigures(change: Pick<BotRecord, 'day' | 'peak' | 'drawdown'>): void {
    void this.background(() => this.step({ events: [], change }));
  }

  private async step(input: StepInput, money?: (sql: Sql) => Promise<void>): Promise<void> {
    const output = stepBot(this.record, input, this.deps.now());
    if (!output.changed) {
      return;
    }
    await this.store(output, money);
    await this.send(output);
  }

  private async store(output: StepOutput, money?: (sql: Sql) => Promise<void>): Promise<void> {
    const held = output.before.startedAt !== null || output.after.startedAt !== null;
    const stored = await this.deps.store.save({
      ...output,
      money: async (sql) => {
        await money?.(sql);
        if (output.ended && held) {
          await release(sql, output.after);
        }
      },
      report: async (sql) => {
        for (const { kind, text } of output.events.filter((event) => REPORTED.has(event.kind))) {
          const words = `${output.after.name}: ${text}`;
          await this.deps.report(sql, { event: kind, bot: output.after.id, text: words, at: output.now });
        }
      },
    });
    this.record = stored.record;
    this.deps.changed(stored);
  }

  /** Sends what a step asked for. Nothing here is lost by a crash: it is written down as pending or cancelling. */
  private async send({ orders, cancels, after }: StepOutput): Promise<void> {
    if (orders.length > 0) {
      await this.place(
        orders.map(({ ref, side, price, quantity }) => ({
          clientOrderId: clientOrderId(after.code, ref),
          pair: after.pair,
          side,
          price,
          quantity,
        })),
      );
    }
    if (cancels.length > 0) {
      await this.cancel(cancels);
    }
  }

  private async place(orders: readonly PlaceOrder[]): Promise<void> {
    const { exchange, store, now } = this.deps;
    const answers = await exchange.place(orders);
    const taken = answers.filter(({ refusal }) => refusal === null).map((answer) => answer.clientOrderId);
    const refused = answers.filter(({ refusal }) => refusal !== null);
    this.deps.changed({
      record: this.record,
      orders: await store.confirm(taken, now()),
      fills: [],
      events: [],
    });
    if (refused.length > 0) {
      const dropped = refused.map(({ clientOrderId: id, refusal }) => ({
        ref: refOf(this.record, id),
        state: 'rejected' as const,
        reason: refusal,
      }));
      const events = dropped.map(({ ref, reason }): GridEvent => {
        return { type: 'rejected', ref, reason: `The exchange refused an order: ${reason ?? 'no reason given'}.` };
      });
      await this.step({ events, dropped });
    }
    await this.bookTrades();
  }

  private async cancel(refs: readonly number[]): Promise<void> {
    await this.deps.exchange.cancel(refs.map((ref) => clientOrderId(this.record.code, ref)));
    // What was filled before the cancel reached the exchange comes first; a filled order is not cancelled.
    await this.bookTrades();
    const live = new Set(liveOrders(this.record).map(({ ref }) => ref));
    const gone = refs.filter((ref) => live.has(ref));
    const now = this.lastPrice();
    await this.step({
      events: gone.map((ref) => ({ type: 'cancelled', ref, now })),
      dropped: gone.map((ref) => ({ ref, state: 'cancelled', reason: null })),
    });
  }

  private async bookTrades(): Promise<void> {
    for (;;) {
      const trades = await this.deps.store.unbooked(this.record.id);
      if (trades.length === 0) {
        return;
      }
      const now = this.lastPrice();
      const events = trades.map(({ ref, price, quantity, fee }): GridEvent => {
        return { type: 'fill', ref, price, quantity, fee, now };
      });
      await this.step({ events, trades });
    }
  }

  /** Makes memory, database and exchange agree; does nothing while nothing failed. */
  private async sure(): Promise<void> {
    if (!this.unsure) {
      return;
    }
    const { store, exchange } = this.deps;
    const [record] = await store.load('id = $1', [this.record.id]);
    if (!record) {
      throw new DomainError('NOT_FOUND');
    }
    this.record = record;
    this.unsure = false;
    await this.bookTrades();
    await this.sendPending();
    const live = liveOrders(this.record);
    const open = await exchange.openOrders(orderPrefix(this.record.code));
    const wanted = new Set(live.map(({ ref }) => clientOrderId(this.record.code, ref)));
    // An order of ours the bot does not know cannot come about; were it there, it would trade money nobody counts.
    const orphans = open.filter((id) => !wanted.has(id));
    if (orphans.length > 0) {
      this.deps.logger.warn({ bot: this.record.id, orphans }, 'cancelling orders the bot does not know');
      await exchange.cancel(orphans);
    }
    const cancelling = live.filter((order) => order.cancelling).map(({ ref }) => ref);
    if (cancelling.length > 0) {
      await this.cancel(cancelling);
    }
  }

  /** Intents without an answer: the exchange takes an id once, so sending again doubles nothing. */
  private async sendPending(): Promise<void> {
    const pending = await this.deps.store.pending(this.record.id);
    if (pending.length > 0) {
      const known = await this.deps.exchange.known(pending.map((order) => order.clientOrderId));
      await this.deps.store.confirm([...known], this.deps.now());
      const unsent = pending.filter((order) => !known.has(order.clientOrderId));
      if (unsent.length > 0) {
        await this.place(unsent);
      }
      await this.bookTrades();
    }
  }

  private async fail(error: unknown): Promise<void> {
    const reason = error instanceof Error ? error.message : String(error);
    this.deps.logger.error({ err: error, bot: this.record.id }, 'bot stopped by error');
    try {
      const [record] = await this.deps.store.load('id = $1', [this.record.id]);
      if (record && (record.state === 'running' || record.state === 'paused')) {
        this.record = record;
        const change = { state: 'error' as const, reason, since: this.deps.now() };
        const output = stepBot(
          record,
          { events: [], change, notes: [note('bot.error', reason, 'error')] },
          change.since,
        );
        await this.store(output);
      }
    } catch (failure) {
      // The bot does nothing more either way; the next start of the runtime tries to store it again.
      this.deps.logger.error({ err: failure, bot: this.record.id }, 'the error of a bot could not be stored');
      this.record = { ...this.record, state: 'error', reason };
    }
  }
}
