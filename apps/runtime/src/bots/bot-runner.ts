import { randomUUID } from 'node:crypto';
import { DomainError, type Pair } from '#libs/contracts';
import type { Logger } from '#libs/telemetry';
import type { GridEvent } from '#libs/trading';
import { isDatabaseAway, type Sql } from '../database/database.js';
import type { PaperExchange, PlaceOrder } from '../exchange/paper-exchange.js';
import type { Held } from '../stack/holds.js';
import { release, reserve } from './bot-money.js';
import { idsOf, liveOrders, refOf } from './bot-orders.js';
import { NO_PNL, orderPrefix, utcDay, type BotRecord } from './bot-record.js';
import { stepBot, type StepInput, type StepOutput } from './bot-step.js';
import type { BotChange, BotStore, RequestKey, Stored, TradeRow } from './bot-store.js';
import { event, heldEvent, refusalWords, releasedEvent, words, type Words } from './bot-words.js';

export interface RunnerDeps {
  store: BotStore;
  exchange: PaperExchange;
  logger: Logger;
  price: (pair: Pair) => { price: string; fresh: boolean } | null;
  /** What the platform holds the bots for; null is nothing. */
  held: () => Held | null;
  now: () => Date;
  /** Called after each commit. */
  changed: (stored: Stored) => void;
  report: (sql: Sql, event: { event: string; bot: string; text: string; at: Date }) => Promise<void>;
  /** The runtime's own, as the stack's spec says. */
  image: string;
}

/** Kinds of events the portal is told. */
const REPORTED = new Set(['bot.error', 'bot.finished', 'bot.started', 'bot.stopped']);

/** A trade the bot cannot count, set aside once it was told of: words for a person, since no retry mends it. */
class UnknownTradeError extends Error {
  readonly said: Words;

  constructor(trade: string) {
    const english = `The exchange reports trade ${trade} on an order this bot does not know. It is not counted.`;
    super(english);
    this.said = words('error.trade_unknown', english, { trade });
  }
}

/**
 * What one bot does within a turn: step the strategy, store the new state with its orders as intents, then send them.
 * So after a crash the database says what was meant, the exchange what came of it, and `sure` joins the two. Whoever
 * calls makes sure that one call is over before the next begins.
 */
export class BotRunner {
  /** True when memory may differ from the database, or the exchange from both: at the start, and after any failure. */
  unsure = true;
  /** Whether it went on since the process began. What fails before, fails by what this release makes of it. */
  resumed = false;
  private told: string | null = null;

  constructor(
    public record: BotRecord,
    private readonly deps: RunnerDeps,
  ) {}

  /**
   * In the market, so that its protective rules count: also paused, and also after an error. Not one of a copy that
   * nobody had go on: what it would sell by itself is what the original has, and watches.
   */
  get isLive(): boolean {
    const { startedAt, stoppedAt, adoptedAt } = this.record;
    return startedAt !== null && stoppedAt === null && adoptedAt === null;
  }

  freshPrice(): string {
    const price = this.deps.price(this.record.pair);
    if (!price?.fresh) {
      throw new DomainError('PRICE_STALE');
    }
    return price.price;
  }

  lastPrice(): string {
    return this.deps.price(this.record.pair)?.price ?? this.record.params.lower;
  }

  /** The events of a beginning, to be stored together with what they reserve. */
  beginning(): StepInput {
    const at = this.deps.now();
    return {
      events: [{ type: 'start', price: this.freshPrice() }],
      // What the start costs belongs to the day it happens on, also for a bot that was made on an earlier one.
      change: { state: 'running', reason: null, since: at, startedAt: at, day: { date: utcDay(at), pnl: NO_PNL } },
    };
  }

  async begin(): Promise<void> {
    await this.step(this.beginning(), (sql) => reserve(sql, this.record));
  }

  /** Stores a bot that is not in the database yet, begun at once where asked: all of it or nothing. */
  async create(start: boolean, request: RequestKey | null): Promise<void> {
    const { store, now } = this.deps;
    this.resumed = true;
    const created = event('bot.created', words('bot.created', 'Created', {}));
    const input = { ...(start ? this.beginning() : { events: [] }), notes: [created] };
    const output = stepBot(this.record, input, now());
    await this.store(output, {
      save: (change) => store.create(change, request),
      money: async (sql) => {
        if (start) {
          await reserve(sql, this.record);
        }
      },
    });
    this.unsure = false;
    await this.sendOrDoubt(output);
  }

  async step(input: StepInput, money?: (sql: Sql) => Promise<void>): Promise<StepOutput> {
    const output = stepBot(this.record, input, this.deps.now());
    if (output.changed) {
      await this.store(output, money ? { money } : {});
      await this.sendOrDoubt(output);
    }
    return output;
  }

  /** What is stored and not sent must not wait for a restart: any failure here asks for `sure`. */
  private async sendOrDoubt(output: StepOutput): Promise<void> {
    try {
      await this.send(output);
    } catch (error) {
      this.unsure = true;
      throw error;
    }
  }

  private async store(
    output: StepOutput,
    {
      save = (change) => this.deps.store.save(change),
      money,
    }: { save?: (change: BotChange) => Promise<Stored>; money?: (sql: Sql) => Promise<void> },
  ): Promise<void> {
    const held = output.before.startedAt !== null || output.after.startedAt !== null;
    let stored: Stored;
    try {
      stored = await save({
        ...output,
        money: async (sql) => {
          await money?.(sql);
          if (output.ended && held) {
            await release(sql, output.after);
          }
        },
        report: async (sql) => {
          for (const { kind, text } of output.events.filter((said) => REPORTED.has(said.kind))) {
            const line = `${output.after.name}: ${text}`;
            await this.deps.report(sql, { event: kind, bot: output.after.id, text: line, at: output.now });
          }
        },
      });
    } catch (error) {
      // Somebody else's step, or a commit nobody heard of: memory may be behind.
      this.unsure = true;
      throw error;
    }
    this.record = stored.record;
    this.deps.changed(stored);
  }

  /**
   * What the bot was when the runtime of another release could not have it go on; null where none stopped it so. It
   * may go on under this one: a stack that is led back to the release before finds its bots as that one left them.
   */
  get stoppedByRelease(): 'running' | 'paused' | null {
    const { state, reason, adoptedAt } = this.record;
    const { image, was }: Record<string, string | undefined> = reason?.params ?? {};
    if (state !== 'error' || adoptedAt !== null || image === undefined || image === this.deps.image) {
      return null;
    }
    return was === 'paused' ? 'paused' : 'running';
  }

  /** Whether what is meant is not to be sent yet: it waits as it is written down. */
  private get waits(): boolean {
    return this.deps.held()?.kind === 'upgrade';
  }

  /** Goes on as the database has it. */
  async resume(held: Held | null): Promise<void> {
    const was = this.stoppedByRelease;
    if (was !== null) {
      await this.step({
        events: [],
        change: { state: was, reason: null, since: this.deps.now() },
        notes: [event('bot.started', words('bot.retried', 'Tries again', {}))],
      });
    }
    await this.align(held);
    if (held?.kind === 'upgrade') {
      this.rehearse();
    }
    this.resumed = true;
  }

  /** Whoever judges the release by how bots resumed is to know before they do: what that would throw is thrown now. */
  private rehearse(): void {
    const { state, grid } = this.record;
    if (this.isLive && state === 'running' && grid.phase !== 'ending') {
      stepBot(this.record, { events: [{ type: 'resume', price: this.freshPrice() }] }, this.deps.now());
    }
  }

  /** Whether the bot is as the hold wants it; null is none. One that is ending goes on: it only gets rid of things. */
  isAligned(held: Held | null): boolean {
    const { state, grid } = this.record;
    if (!this.isLive || grid.phase === 'ending') {
      return true;
    }
    if (held === null) {
      return state !== 'running' || !grid.paused;
    }
    const covered = held.kind === 'disk' || state === 'running';
    return !covered || ((state !== 'running' || grid.paused) && liveOrders(this.record).length === 0);
  }

  /**
   * Takes back the orders of a bot that is to be held, and lets one go on that no longer is. That it is held stands in
   * no field of its own: it is a bot that runs with a paused grid, and so goes on after a crash, too.
   */
  async align(held: Held | null): Promise<void> {
    if (this.isAligned(held)) {
      return;
    }
    if (held === null) {
      await this.step({ events: [{ type: 'resume', price: this.freshPrice() }], notes: [releasedEvent()] });
      return;
    }
    if (!this.record.grid.paused) {
      await this.step({ events: [{ type: 'pause' }], notes: [heldEvent(held)] });
    }
    await this.cancel(liveOrders(this.record).map(({ ref }) => ref));
  }

  /** Sends what a step asked for. Nothing here is lost by a crash: it is written down as pending or cancelling. */
  private async send({ orders, cancels, after }: StepOutput): Promise<void> {
    if (orders.length > 0) {
      const ids = idsOf(
        after,
        orders.map(({ ref }) => ref),
      );
      await this.place(
        orders.map(({ side, price, quantity }, i) => ({
          clientOrderId: ids[i] ?? '',
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
    if (this.waits) {
      this.unsure = true;
      return;
    }
    const { exchange, store, now } = this.deps;
    const answers = await exchange.place(orders);
    const taken = answers.filter(({ refusal }) => refusal === null).map((answer) => answer.clientOrderId);
    const refused = answers.filter(({ refusal }) => refusal !== null);
    const confirmed = await store.confirm(taken, now());
    this.deps.changed({ record: this.record, orders: confirmed, fills: [], events: [] });
    if (refused.length > 0) {
      const dropped = refused.map(({ clientOrderId: id, refusal }) => ({
        ref: refOf(this.record, id),
        state: 'rejected' as const,
        reason: refusal && refusalWords(refusal),
      }));
      const events = dropped.map(({ ref, reason }): GridEvent => {
        return { type: 'rejected', ref, reason: reason?.text ?? 'no reason given' };
      });
      await this.step({ events, dropped });
    }
    await this.bookTrades();
  }

  private async cancel(refs: readonly number[]): Promise<void> {
    await this.deps.exchange.cancel(idsOf(this.record, refs));
    // What was filled before the cancel reached the exchange comes first; a filled order is not cancelled.
    await this.bookTrades();
    await this.dropDead(refs);
  }

  /** Lets the strategy know which of these are over without having been filled. */
  private async dropDead(refs: readonly number[], notes: StepInput['notes'] = []): Promise<void> {
    const live = new Set(liveOrders(this.record).map(({ ref }) => ref));
    const gone = refs.filter((ref) => live.has(ref));
    if (gone.length > 0) {
      const now = this.lastPrice();
      await this.step({
        events: gone.map((ref) => ({ type: 'cancelled', ref, now })),
        dropped: gone.map((ref) => ({ ref, state: 'cancelled', reason: null })),
        notes,
      });
    }
  }

  /**
   * Books what the exchange filled. Each round books every trade it read or sets it aside, so there are no more rounds
   * than trades.
   */
  async bookTrades(): Promise<void> {
    for (;;) {
      const trades = await this.deps.store.unbooked(this.record.id);
      if (trades.length === 0) {
        return;
      }
      const now = this.lastPrice();
      const byEvent = new Map<GridEvent, TradeRow>(
        trades.map((trade) => {
          const { ref, price, quantity, fee } = trade;
          return [{ type: 'fill', ref, price, quantity, fee, now }, trade];
        }),
      );
      const { fills } = await this.step({ events: [...byEvent.keys()], trades: byEvent });
      const booked = new Set(fills.map(({ trade }) => trade.id));
      for (const { id } of trades.filter((trade) => !booked.has(trade.id))) {
        await this.fail(new UnknownTradeError(id));
        // After it was told: a crash in between tells it twice, the other way round nobody would hear of it.
        await this.deps.store.setAside(this.record.id, id, this.deps.now());
      }
    }
  }

  /** Makes memory, database and exchange agree, as far as nothing is to be sent for it; nothing while nothing failed. */
  async sure(): Promise<void> {
    if (!this.unsure) {
      return;
    }
    const { waits } = this;
    const [record] = await this.deps.store.load('id = $1', [this.record.id]);
    if (!record) {
      throw new DomainError('NOT_FOUND');
    }
    this.record = record;
    await this.bookTrades();
    await this.sendPending();
    await this.cancelOrphans();
    if (!waits) {
      // Among them what is yet to be sent.
      await this.replaceLost();
    }
    const cancelling = liveOrders(this.record).filter((order) => order.cancelling);
    if (cancelling.length > 0) {
      await this.cancel(cancelling.map(({ ref }) => ref));
    }
    this.unsure = waits;
  }

  /** Intents without an answer: the exchange takes an id once, so sending again doubles nothing. */
  private async sendPending(): Promise<void> {
    const pending = await this.deps.store.pending(this.record.id);
    if (pending.length > 0) {
      const known = await this.deps.exchange.states(pending.map((order) => order.clientOrderId));
      await this.deps.store.confirm([...known.keys()], this.deps.now());
      const unsent = pending.filter((order) => !known.has(order.clientOrderId));
      if (unsent.length > 0) {
        await this.place(unsent);
      }
      await this.bookTrades();
    }
  }

  /** An order of ours the bot does not know cannot come about; were it there, it would trade money nobody counts. */
  private async cancelOrphans(): Promise<void> {
    const { exchange, logger } = this.deps;
    const open = await exchange.openOrders(orderPrefix(this.record.code));
    const refs = liveOrders(this.record).map(({ ref }) => ref);
    const wanted = new Set(idsOf(this.record, refs));
    const orphans = open.filter((id) => !wanted.has(id));
    if (orphans.length > 0) {
      logger.warn({ bot: this.record.id, orphans }, 'cancelling orders the bot does not know');
      await exchange.cancel(orphans);
    }
  }

  /** Orders the bot waits for and the exchange no longer has: their trades are booked, the rest is placed anew. */
  private async replaceLost(): Promise<void> {
    const { exchange, logger } = this.deps;
    const live = liveOrders(this.record).filter((order) => !order.cancelling);
    const refs = live.map(({ ref }) => ref);
    const ids = idsOf(this.record, refs);
    const states = await exchange.states(ids);
    const lost = refs.filter((_ref, i) => states.get(ids[i] ?? '') !== 'open');
    if (lost.length === 0) {
      return;
    }
    // What filled them comes first: such an order is over, not lost.
    await this.bookTrades();
    const still = liveOrders(this.record).filter(({ ref }) => lost.includes(ref));
    if (still.length > 0) {
      logger.warn({ bot: this.record.id, lost: idsOf(this.record, lost) }, 'orders are gone from the exchange');
      const count = String(still.length);
      const english = `The exchange no longer had ${count} orders of this bot; they are placed again when the bot trades`;
      const note = event('order.lost', words('orders.lost', english, { count }), 'warn');
      await this.dropDead(
        still.map(({ ref }) => ref),
        [note],
      );
    }
  }

  /**
   * Stops the bot by its error: nothing new is placed until a person starts it again. Its open orders stay, and its
   * protective rules go on.
   */
  async fail(error: unknown): Promise<void> {
    const { store, logger, now } = this.deps;
    const errorId = randomUUID();
    // A bot that fails at every price would fill the log with one line; what its reason names must be there.
    const what = error instanceof Error ? error.message : String(error);
    const level = this.record.state === 'error' && this.told === what ? 'debug' : 'error';
    this.told = what;
    logger[level]({ err: error, errorId, bot: this.record.id }, 'bot stopped by error');
    try {
      const [record] = await store.load('id = $1', [this.record.id]);
      if (record && (record.state === 'running' || record.state === 'paused')) {
        this.record = record;
        const said = this.saidOf(error, errorId, record.state);
        const change = { state: 'error' as const, reason: said, since: now() };
        const notes = [event('bot.error', said, 'error')];
        await this.store(stepBot(record, { events: [{ type: 'pause' }], change, notes }, change.since), {});
      }
    } catch (failure) {
      if (isDatabaseAway(failure)) {
        throw failure;
      }
      // The bot does nothing new either way; the next attempt, or the next start of the runtime, stores it.
      logger[level]({ err: failure, bot: this.record.id }, 'the error of a bot could not be stored');
      const grid = { ...this.record.grid, paused: true };
      const said = this.saidOf(error, errorId, 'running');
      this.record = { ...this.record, grid, state: 'error', reason: said };
    }
  }

  private saidOf(error: unknown, errorId: string, was: 'running' | 'paused'): Words {
    if (error instanceof UnknownTradeError) {
      return error.said;
    }
    return unforeseen(errorId, this.resumed ? {} : { image: this.deps.image, was });
  }
}

/** The error's own words are for the log: they may hold a statement with its values. */
function unforeseen(errorId: string, under: Record<string, string>): Words {
  const english = `Something unforeseen stopped the bot. The log has the details under ${errorId}.`;
  return words('error.unforeseen', english, { errorId, ...under });
}
