import { createHash } from 'node:crypto';
import { v7 as newId } from 'uuid';
import {
  DomainError,
  isDomainError,
  MOST_BOTS_TOLD,
  type Bot,
  type BotResumption,
  type CreateBot,
  type HoldAnswer,
  type Pair,
} from '#libs/contracts';
import { randomBase32 } from '#libs/crypto';
import { dec, gridProblems, newGrid, text } from '#libs/trading';
import { marketOf } from '../exchange/markets.js';
import { liveOrders } from './bot-orders.js';
import { NO_PNL, orderPrefix, utcDay, type BotRecord } from './bot-record.js';
import type { RequestKey, Stored } from './bot-store.js';
import { BotSupervisor, type SupervisorDeps } from './bot-supervisor.js';
import { botAccount, botView } from './bot-view.js';

export interface BotServiceDeps extends Omit<SupervisorDeps, 'changed'> {
  limit: number;
  /** Throws while the platform lets nothing new begin. */
  requireFree: () => void;
  /** Throws while nothing of the stack may trade. */
  requireTrading: () => void;
  publish: (stored: Stored) => void;
  published: { deleted: (id: string) => void };
}

/** Longer than any change to another release takes that its bots' end may fall into. */
const ENDED_TOLD_MS = 24 * 3_600_000;
const LONGEST_REASON = 200;

export interface CreatedBot {
  bot: Bot;
  /** True when an earlier request with the same key made it. */
  replayed: boolean;
}

/** The bots of the stack. Reads are answered from memory, which holds what was committed last. */
export class BotService {
  private readonly bots = new Map<string, BotSupervisor>();
  private readonly byPrefix = new Map<string, BotSupervisor>();
  /** Deleted bots: their result is final, and goes on counting. */
  private readonly deleted: BotRecord[] = [];
  private creating: Promise<unknown> = Promise.resolve();
  /** Of those that were to run when this process began. */
  private readonly ran = new Set<string>();

  constructor(private readonly deps: BotServiceDeps) {}

  async load(): Promise<void> {
    for (const record of await this.deps.store.load('true')) {
      if (record.deletedAt === null) {
        if (this.adopt(record).isToRun) {
          this.ran.add(record.id);
        }
      } else {
        this.deleted.push(record);
      }
    }
  }

  /** Makes every bot agree with the exchange; each by itself, so that one does not hold up the others. */
  async recover(): Promise<void> {
    await Promise.all(this.supervisors().map((supervisor) => supervisor.recover()));
  }

  private adopt(record: BotRecord): BotSupervisor {
    const supervisor = this.supervise(record);
    this.keep(supervisor);
    return supervisor;
  }

  private keep(supervisor: BotSupervisor): void {
    this.bots.set(supervisor.record.id, supervisor);
    this.byPrefix.set(orderPrefix(supervisor.record.code), supervisor);
  }

  private supervise(record: BotRecord): BotSupervisor {
    return new BotSupervisor(record, {
      ...this.deps,
      changed: this.deps.publish,
    });
  }

  supervisors(): BotSupervisor[] {
    return [...this.bots.values()];
  }

  records(): BotRecord[] {
    return this.supervisors().flatMap(({ record }) => (record.deletedAt === null ? [record] : []));
  }

  /** Every bot there ever was, each in its newest committed state: money is nowhere else but here and in the deposit. */
  everything(): BotRecord[] {
    return [...this.supervisors().map(({ record }) => record), ...this.deleted];
  }

  find(id: string): BotSupervisor {
    const supervisor = this.bots.get(id);
    if (!supervisor) {
      throw new DomainError('NOT_FOUND', { message: 'There is no such bot.', details: { reason: 'no_such_bot' } });
    }
    return supervisor;
  }

  /** How each bot came through the start: those that ran before it first, and none that was over long before. */
  resumptions(): BotResumption[] {
    const since = this.deps.now().getTime() - ENDED_TOLD_MS;
    return this.everything()
      .filter(({ state, stoppedAt, deletedAt }) =>
        state === 'stopped' ? stoppedAt !== null && stoppedAt.getTime() >= since : deletedAt === null,
      )
      .toSorted((a, b) => Number(this.ran.has(b.id)) - Number(this.ran.has(a.id)))
      .slice(0, MOST_BOTS_TOLD)
      .map(({ id, state, reason }) => ({
        id,
        state,
        ran: this.ran.has(id),
        resumed: this.bots.get(id)?.hasResumed ?? false,
        reason: state === 'error' ? (reason?.text ?? 'It says no reason.').slice(0, LONGEST_REASON) : null,
      }));
  }

  view(record: BotRecord): Bot {
    const price = this.deps.price(record.pair);
    return botView(record, {
      price: price?.price ?? null,
      fresh: price?.fresh ?? false,
      now: this.deps.now(),
    });
  }

  list(): Bot[] {
    return this.records()
      .map((record) => this.view(record))
      .reverse();
  }

  /**
   * Makes a bot, or gives the one that a request with the same key made. One at a time, so that two requests cannot both
   * take the last free place. Throws IDEMPOTENCY_KEY_REUSED when the key came with another request, NOT_FOUND when the
   * bot it made was deleted since.
   */
  create(input: CreateBot, key: string | null = null): Promise<CreatedBot> {
    const mine = this.creating.then(() => this.createOnce(input, key));
    this.creating = mine.catch(() => undefined);
    return mine;
  }

  private async createOnce(input: CreateBot, key: string | null): Promise<CreatedBot> {
    if (key === null) {
      return { bot: await this.createNow(input, null), replayed: false };
    }
    // Validated input: defaults are filled in and the fields stand in the order of the schema.
    const hash = createHash('sha256').update(JSON.stringify(input)).digest('hex');
    const made = await this.deps.store.madeBy(key, this.deps.now());
    if (made === null) {
      return { bot: await this.createNow(input, { key, hash }), replayed: false };
    }
    if (made.hash !== hash) {
      throw new DomainError('IDEMPOTENCY_KEY_REUSED');
    }
    const record = await this.stored(made.botId);
    if (record.deletedAt !== null) {
      throw new DomainError('NOT_FOUND', {
        message: 'The bot this request made was deleted since. To make another one, send a new key.',
        details: { reason: 'no_such_bot', id: record.id },
      });
    }
    return { bot: this.view(record), replayed: true };
  }

  /** A bot that is in the database, also one deleted since or one whose commit nobody heard of. */
  private async stored(id: string): Promise<BotRecord> {
    const known = this.everything().find((record) => record.id === id);
    if (known) {
      return known;
    }
    const [record] = await this.deps.store.load('id = $1', [id]);
    if (!record) {
      throw new DomainError('NOT_FOUND', { message: 'There is no such bot.', details: { reason: 'no_such_bot' } });
    }
    void this.adopt(record).recover();
    return record;
  }

  private async createNow(input: CreateBot, request: RequestKey | null): Promise<Bot> {
    const { limit } = this.deps;
    this.deps.requireFree();
    if (input.start) {
      this.deps.requireTrading();
    }
    const counted = this.records().filter(({ state }) => state !== 'stopped').length;
    if (counted >= limit) {
      throw new DomainError('QUOTA_EXCEEDED', {
        message: `Your plan allows ${limit} bots at a time. Stop or delete one, or change the plan in the portal.`,
        details: { reason: 'bots', limit: 'bots', allowed: limit, used: counted },
      });
    }
    this.checkParams(input.pair, input.params);
    const supervisor = this.supervise(newRecord(input, this.deps.now()));
    try {
      const record = await supervisor.create(input.start, request);
      this.keep(supervisor);
      return this.view(record);
    } catch (error) {
      if (!isDomainError(error)) {
        void this.keepIfStored(supervisor);
      }
      throw error;
    }
  }

  /** The commit may have come through although nobody heard of it: such a bot must not be left alone with its orders. */
  private async keepIfStored(supervisor: BotSupervisor): Promise<void> {
    if ((await supervisor.wasStored()) && !this.bots.has(supervisor.record.id)) {
      this.keep(supervisor);
      await supervisor.recover();
    }
  }

  /** Throws STRATEGY_INVALID with the worst problem's words and all problems by field. */
  private checkParams(pair: Pair, params: CreateBot['params']): void {
    const price = this.deps.price(pair);
    if (!price?.fresh) {
      throw new DomainError('PRICE_STALE');
    }
    const problems = gridProblems(params, marketOf(pair).rules, price.price);
    const worst = problems.find(({ severity }) => severity === 'error');
    if (worst) {
      throw new DomainError('STRATEGY_INVALID', { message: worst.message, details: { problems } });
    }
  }

  async start(id: string): Promise<Bot> {
    const supervisor = this.find(id);
    this.deps.requireFree();
    this.deps.requireTrading();
    if (supervisor.record.state === 'created') {
      this.checkParams(supervisor.record.pair, supervisor.record.params);
    }
    return this.view(await supervisor.start());
  }

  async pause(id: string): Promise<Bot> {
    return this.view(await this.find(id).pause());
  }

  async resumeBot(id: string): Promise<Bot> {
    const supervisor = this.find(id);
    this.deps.requireFree();
    this.deps.requireTrading();
    return this.view(await supervisor.resume());
  }

  async stop(id: string, onExit: 'keep' | 'sell'): Promise<Bot> {
    const supervisor = this.find(id);
    if (onExit === 'sell') {
      this.deps.requireTrading();
    }
    return this.view(await supervisor.stop(onExit));
  }

  async remove(id: string): Promise<void> {
    const record = await this.find(id).remove();
    if (this.bots.delete(id)) {
      this.deleted.push(record);
      this.byPrefix.delete(orderPrefix(record.code));
      this.deps.published.deleted(id);
    }
  }

  /** When nobody knows what traded: every bot looks. */
  lookForTrades(): void {
    this.supervisors().forEach((supervisor) => supervisor.onTrades());
  }

  /** After each tick: ids of orders that traded go to their bots, the price to all. */
  onTick(traded: readonly string[]): void {
    const codeLength = orderPrefix('').length + 10;
    const touched = new Set(traded.map((id) => this.byPrefix.get(id.slice(0, codeLength))));
    for (const supervisor of this.supervisors()) {
      if (touched.has(supervisor)) {
        supervisor.onTrades();
      }
      supervisor.onPrice();
      void supervisor.align();
    }
  }

  /** Brings every bot to what the platform holds them for; says how it stands then. */
  async align(): Promise<void> {
    await Promise.all(this.supervisors().map((supervisor) => supervisor.align()));
    await this.idle();
  }

  /** Bots that are held, and orders still open of those that run. */
  standing(): HoldAnswer {
    const running = this.records().filter(({ state }) => state === 'running');
    return {
      held: running.filter(({ grid }) => grid.paused).length,
      openOrders: running.reduce((sum, record) => sum + liveOrders(record).length, 0),
    };
  }

  /** Once a minute: the day's beginning, the highest equity and the drawdown from it, for bots that are in the market. */
  saveFigures(): void {
    const today = utcDay(this.deps.now());
    for (const supervisor of this.supervisors()) {
      const { record } = supervisor;
      const price = this.deps.price(record.pair)?.price;
      if (record.startedAt === null || record.stoppedAt !== null || price === undefined) {
        continue;
      }
      const account = botAccount(record, price);
      const equity = dec(account.equity);
      const peak = equity.gt(record.peak) ? equity : dec(record.peak);
      const drawdown = peak.minus(equity).div(peak).toDecimalPlaces(6);
      const worst = drawdown.gt(record.drawdown) ? drawdown : dec(record.drawdown);
      const day = record.day.date === today ? record.day : { date: today, pnl: account.pnl };
      if (day !== record.day || !peak.eq(record.peak) || !worst.eq(record.drawdown)) {
        supervisor.saveFigures({ day, peak: text(peak), drawdown: text(worst) });
      }
    }
  }

  async idle(): Promise<void> {
    await Promise.all(this.supervisors().map((supervisor) => supervisor.idle()));
  }
}

function newRecord(input: CreateBot, at: Date): BotRecord {
  return {
    id: newId(),
    code: randomBase32(10),
    name: input.name ?? `${input.pair} grid`,
    pair: input.pair,
    params: input.params,
    state: 'created',
    reason: null,
    endedBy: null,
    since: at,
    createdAt: at,
    startedAt: null,
    stoppedAt: null,
    deletedAt: null,
    adoptedAt: null,
    grid: newGrid(input.params, marketOf(input.pair).rules),
    version: 1,
    finalPrice: null,
    lastOrderAt: null,
    day: { date: utcDay(at), pnl: NO_PNL },
    peak: input.params.investment,
    drawdown: '0',
  };
}
