import { randomBase32 } from '#libs/crypto';
import { v7 as newId } from 'uuid';
import { DomainError, type Bot, type CreateBot, type Pair } from '#libs/contracts';
import { dec, gridProblems, newGrid, text } from '#libs/trading';
import { marketOf } from '../exchange/markets.js';
import { NO_PNL, orderPrefix, utcDay, type BotRecord } from './bot-record.js';
import type { Stored } from './bot-store.js';
import { BotSupervisor, type SupervisorDeps } from './bot-supervisor.js';
import { botAccount, botView } from './bot-view.js';

export interface BotServiceDeps extends Omit<SupervisorDeps, 'changed'> {
  limit: number;
  publish: (stored: Stored) => void;
  published: { deleted: (id: string) => void };
}

/** The bots of the stack. Reads are answered from memory, which holds what was committed last. */
export class BotService {
  private readonly bots = new Map<string, BotSupervisor>();
  private readonly byPrefix = new Map<string, BotSupervisor>();
  private readonly lastOrders = new Map<string, Date>();
  private creating: Promise<unknown> = Promise.resolve();

  constructor(private readonly deps: BotServiceDeps) {}

  async load(): Promise<void> {
    for (const [botId, at] of await this.deps.store.lastOrders()) {
      this.lastOrders.set(botId, at);
    }
    for (const record of await this.deps.store.load()) {
      this.adopt(record);
    }
  }

  /** Makes every bot agree with the exchange; each by itself, so that one does not hold up the others. */
  async recover(): Promise<void> {
    await Promise.all(this.supervisors().map((supervisor) => supervisor.recover()));
  }

  private adopt(record: BotRecord): BotSupervisor {
    const supervisor = new BotSupervisor(record, {
      ...this.deps,
      changed: (stored) => {
        if (stored.orders.length > 0) {
          this.lastOrders.set(record.id, this.deps.now());
        }
        this.deps.publish(stored);
      },
    });
    this.bots.set(record.id, supervisor);
    this.byPrefix.set(orderPrefix(record.code), supervisor);
    return supervisor;
  }

  supervisors(): BotSupervisor[] {
    return [...this.bots.values()];
  }

  records(): BotRecord[] {
    return this.supervisors().flatMap(({ record }) => (record.deletedAt === null ? [record] : []));
  }

  find(id: string): BotSupervisor {
    const supervisor = this.bots.get(id);
    if (!supervisor) {
      throw new DomainError('NOT_FOUND', { message: 'There is no such bot.' });
    }
    return supervisor;
  }

  view(record: BotRecord): Bot {
    const price = this.deps.price(record.pair);
    return botView(record, {
      price: price?.price ?? null,
      fresh: price?.fresh ?? false,
      lastOrderAt: this.lastOrders.get(record.id) ?? null,
      now: this.deps.now(),
    });
  }

  list(): Bot[] {
    return this.records()
      .map((record) => this.view(record))
      .reverse();
  }

  /** One at a time, so that two requests cannot both take the last free place. */
  create(input: CreateBot): Promise<Bot> {
    const mine = this.creating.then(() => this.createNow(input));
    this.creating = mine.catch(() => undefined);
    return mine;
  }

  private async createNow(input: CreateBot): Promise<Bot> {
    const { limit, now } = this.deps;
    const counted = this.records().filter(({ state }) => state !== 'stopped').length;
    if (counted >= limit) {
      throw new DomainError('QUOTA_EXCEEDED', {
        message: `Your plan allows ${limit} bots at a time. Stop or delete one, or change the plan in the portal.`,
        details: { limit: 'bots', allowed: limit, used: counted },
      });
    }
    this.checkParams(input.pair, input.params);
    const { rules } = marketOf(input.pair);
    const at = now();
    const record: BotRecord = {
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
      grid: newGrid(input.params, rules),
      version: 1,
      finalPrice: null,
      day: { date: utcDay(at), pnl: NO_PNL },
      peak: input.params.investment,
      drawdown: '0',
    };
    await this.deps.store.insert(record, { level: 'info', kind: 'bot.created', text: 'Created' });
    const supervisor = this.adopt(record);
    this.deps.publish({ record, orders: [], fills: [], events: [] });
    return this.view(input.start ? await supervisor.start() : record);
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
    if (supervisor.record.state === 'created') {
      this.checkParams(supervisor.record.pair, supervisor.record.params);
    }
    return this.view(await supervisor.start());
  }

  async pause(id: string): Promise<Bot> {
    return this.view(await this.find(id).pause());
  }

  async resumeBot(id: string): Promise<Bot> {
    return this.view(await this.find(id).resume());
  }

  async stop(id: string, onExit: 'keep' | 'sell'): Promise<Bot> {
    return this.view(await this.find(id).stop(onExit));
  }

  async remove(id: string): Promise<void> {
    const { record } = this.find(id);
    await this.find(id).remove();
    this.bots.delete(id);
    this.byPrefix.delete(orderPrefix(record.code));
    this.deps.published.deleted(id);
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
    }
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
