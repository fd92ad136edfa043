import { withDeadline } from '#libs/async';
import {
  DomainError,
  isDomainError,
  type Activity,
  type Hold,
  type HoldAnswer,
  type Pair,
  type Ready,
  type Resumption,
} from '#libs/contracts';
import type { Logger } from '#libs/telemetry';
import { RevocationCheck } from './access/revocation-check.js';
import { TokenService } from './access/token-service.js';
import { AccountService } from './account/account-service.js';
import { History } from './account/history.js';
import { BotService } from './bots/bot-service.js';
import { BotStore, type Stored } from './bots/bot-store.js';
import { isDatabaseAway, type Database } from './database/database.js';
import { MARKETS } from './exchange/markets.js';
import { PaperExchange } from './exchange/paper-exchange.js';
import type { Cache } from './live/cache.js';
import { LiveHub } from './live/live-hub.js';
import { CandleBook } from './market/candle-book.js';
import { PriceSource, type PriceSettings } from './market/price-source.js';
import { Ticker } from './market/ticker.js';
import { addEvent, Outbox } from './reports/outbox.js';
import { PortalClient } from './reports/portal-client.js';
import { Holds } from './stack/holds.js';
import { ResumptionReport } from './stack/resumption.js';
import { StoresAway } from './stack/stores-away.js';
import type { StackFiles } from './stack/stack-files.js';

/** What a crash may lose of the charts; more often would cost every idle stack a disk flush. */
const SAVE_MS = 15_000;
/** /ready is open to everybody who reaches the address: its writes are bounded. */
const READY_MS = 500;
/** A store that hangs must be named before those who ask through the proxy (2 s) give up. */
const STORE_MS = 1_500;
/** Within the grace the engine gives, also while the database is away. */
const DRAIN_MS = 5_000;
/** Less than the platform waits for the answer. */
const HOLD_MS = 8_000;
const MINUTE_MS = 60_000;
const LIVE_MS = 1_000;
const PRUNE_MS = 3_600_000;

export interface AppDeps {
  files: StackFiles;
  database: Database;
  cache: Cache;
  settings: PriceSettings;
  logger: Logger;
}

/** An open stack: all parts and what drives them. */
export class App {
  readonly files: StackFiles;
  readonly prices: PriceSource;
  readonly candles: CandleBook;
  readonly exchange: PaperExchange;
  readonly hub = new LiveHub();
  readonly bots: BotService;
  readonly account: AccountService;
  readonly history: History;
  readonly tokens: TokenService;
  readonly outbox: Outbox;
  readonly holds: Holds;
  private readonly resumptions: ResumptionReport;
  private readonly store: BotStore;
  private readonly client: PortalClient;
  private readonly revocations: RevocationCheck;
  private readonly ticker: Ticker;
  private readonly stopping = new AbortController();
  private lost = false;
  private checked: { at: number; result: Promise<Ready> } | null = null;

  constructor(private readonly deps: AppDeps) {
    const { files, database, logger, settings } = deps;
    const { spec } = files;
    this.files = files;
    this.prices = new PriceSource(database, settings);
    this.candles = new CandleBook(database, this.prices);
    const now = (): Date => new Date();
    this.holds = new Holds(database, now, spec.tradesAfter);
    const requireTrading = (): void => {
      if (spec.tradingHeldSince !== null) {
        throw new DomainError('TRADING_HELD');
      }
      this.holds.requireUpgraded();
    };
    this.exchange = new PaperExchange(database, this.prices, requireTrading);
    this.client = new PortalClient(files.portalCa);
    this.outbox = new Outbox({
      database,
      client: this.client,
      logger,
      key: files.stackKey,
      tenant: spec.tenant,
      portalUrl: spec.portalUrl,
    });
    this.store = new BotStore(database);
    this.bots = new BotService({
      store: this.store,
      exchange: this.exchange,
      logger,
      now,
      limit: spec.limits.bots,
      image: spec.image,
      held: () => this.holds.held(),
      requireFree: () => this.holds.requireFree(),
      requireTrading,
      mayTrade: () => spec.tradingHeldSince === null && this.holds.tradesAfter === null,
      signal: this.stopping.signal,
      price: (pair) => this.price(pair),
      report: async (sql, event) => {
        await addEvent(sql, event);
      },
      publish: (stored) => this.onStored(stored),
      published: { deleted: (id) => this.hub.publish('bot-deleted', { id }) },
    });
    this.resumptions = new ResumptionReport({ bots: this.bots, database, logger });
    this.account = new AccountService({
      database,
      bots: this.bots,
      prices: this.prices,
      limit: spec.limits.bots,
      diskFull: () => this.holds.diskFull,
      portalAwaySince: () => this.outbox.awaySince,
      now,
    });
    this.history = new History(database);
    this.tokens = new TokenService(database, now);
    this.revocations = new RevocationCheck({
      hub: this.hub,
      client: this.client,
      dashboardUrl: spec.dashboardUrl,
      logger,
    });
    this.ticker = new Ticker(logger, [
      { name: 'tick', everyMs: settings.tickMs, run: (at) => this.tick(at) },
      { name: 'live', everyMs: LIVE_MS, run: () => this.publishFigures() },
      { name: 'save', everyMs: SAVE_MS, run: (at) => this.save(at) },
      { name: 'minute', everyMs: MINUTE_MS, run: (at) => this.minute(at) },
      { name: 'prune', everyMs: PRUNE_MS, run: (at) => this.prune(at) },
    ]);
  }

  private price(pair: Pair): { price: string; fresh: boolean } | null {
    const price = this.prices.get(pair);
    return price ? { price: price.price, fresh: this.prices.isFresh(pair, new Date()) } : null;
  }

  /** Loads what was stored and takes the first price. */
  async open(): Promise<void> {
    await Promise.all([this.holds.load(), this.prices.load(), this.bots.load(), this.account.load()]);
    this.prices.step(new Date());
  }

  /** Ticks and lets the bots resume; one that needs a fresh price to do so waits for a tick. */
  async run(): Promise<void> {
    this.ticker.start();
    try {
      await this.bots.recover();
      this.resumptions.over();
      this.deps.logger.info({ bots: this.bots.records().length }, 'bots are recovered');
      this.outbox.wake();
      await this.candles.fillHistory(new Date());
      await this.minute(new Date());
    } catch (error) {
      if (isDatabaseAway(error)) {
        // Passes by itself: what is left to do comes with the minute.
        this.deps.logger.warn({ err: error }, 'the database went away while the stack was started');
        return;
      }
      this.resumptions.failed(error);
    }
  }

  private async tick(now: Date): Promise<void> {
    this.prices.step(now);
    this.candles.onTick(now);
    for (const { pair } of MARKETS) {
      const price = this.prices.get(pair);
      if (price) {
        this.deps.cache.publishPrice(pair, price.price, price.at);
        this.hub.publish('price', { pair, price: price.price, at: price.at.toISOString() });
      }
    }
    try {
      const traded = await this.exchange.tick();
      if (this.lost) {
        // The failed tick may have been committed all the same.
        this.lost = false;
        this.bots.lookForTrades();
      }
      this.bots.onTick(traded);
    } catch (error) {
      this.lost = true;
      throw error;
    }
  }

  private onStored({ record, orders, fills, events }: Stored): void {
    if (events.some(({ kind }) => kind.startsWith('bot.'))) {
      this.outbox.wake();
    }
    orders.forEach((order) => this.hub.publish('order', order));
    fills.forEach((fill) => this.hub.publish('fill', fill));
    events.forEach((event) => this.hub.publish('event', event));
    this.hub.publish('bot', this.bots.view(record));
  }

  private publishFigures(): void {
    if (this.hub.listeners === 0) {
      return;
    }
    for (const record of this.bots.records()) {
      if (record.startedAt !== null && record.stoppedAt === null) {
        this.hub.publish('bot', this.bots.view(record));
      }
    }
    this.hub.publish('overview', this.account.overview());
  }

  /** Not on a disk that is nearly full: what is left of it belongs to fills and protective rules. */
  private async save(now: Date): Promise<void> {
    if (this.holds.diskFull) {
      return;
    }
    await this.prices.save();
    await this.candles.save(now);
  }

  private async minute(now: Date): Promise<void> {
    if (!this.holds.diskFull) {
      this.bots.saveFigures();
      await this.account.record(now);
    }
    const { bots, openOrders, equity } = this.account.overview();
    await this.outbox.heartbeat({ bots: bots.total, runningBots: bots.running, openOrders, equity });
  }

  private async prune(now: Date): Promise<void> {
    await this.candles.prune(now);
    await this.account.prune(now);
    await this.store.prune(now);
    await this.outbox.prune(now);
  }

  /** What would stop with this process, and who may have it started again. */
  async activity(): Promise<Activity> {
    const tokens = await this.tokens.digests();
    // After what takes time: of bots, the answer is about now.
    const { bots, openOrders } = this.account.overview();
    return { runningBots: bots.running, openOrders, tokens };
  }

  /** Whether what ran before this process runs again, and the books agree. */
  resumption(): Promise<Resumption> {
    return this.resumptions.tell();
  }

  /** Answers once the bots are as the hold wants them, or how far they came in a few seconds; they go on with it. */
  async hold(hold: Hold): Promise<HoldAnswer> {
    const before = this.holds.held()?.kind;
    await this.holds.take(hold);
    const after = this.holds.held()?.kind;
    await withDeadline('the bots giving way', { deadlineMs: HOLD_MS }, () => this.bots.align()).catch(
      (error: unknown) => {
        this.deps.logger.warn({ err: error }, 'not every bot gave way in time');
      },
    );
    const standing = this.bots.standing();
    if (before !== after) {
      this.deps.logger.info({ hold, ...standing }, after === undefined ? 'bots go on' : 'bots are held');
    }
    return standing;
  }

  /** Writes and reads both stores; asked more often, the last answer counts. */
  async ready(): Promise<Ready> {
    const now = performance.now();
    if (this.checked === null || now - this.checked.at > READY_MS) {
      this.checked = { at: now, result: this.probe() };
      this.checked.result.catch(() => {
        // Told to whoever asked; the next one asks anew.
        this.checked = null;
      });
    }
    return this.checked.result;
  }

  private async probe(): Promise<Ready> {
    const { spec } = this.files;
    const within = { deadlineMs: STORE_MS };
    const [postgres, redis] = await Promise.allSettled([
      withDeadline('PostgreSQL', within, () => this.probeDatabase()),
      withDeadline('Redis', within, () => this.deps.cache.probe()),
    ]);
    const causes = [postgres, redis].flatMap((store): unknown[] => (store.status === 'rejected' ? [store.reason] : []));
    if (postgres.status === 'rejected') {
      if (isDomainError(postgres.reason, 'DATA_MISSING')) {
        throw postgres.reason;
      }
      throw new StoresAway(redis.status === 'rejected' ? 'STORES_AWAY' : 'POSTGRES_AWAY', causes);
    }
    if (redis.status === 'rejected') {
      throw new StoresAway('REDIS_AWAY', causes);
    }
    return {
      ready: true,
      tenant: spec.tenant,
      generation: spec.generation,
      release: spec.release,
      postgres: 'ok',
      redis: 'ok',
      tradesAfter: this.holds.tradesAfter,
    };
  }

  private async probeDatabase(): Promise<void> {
    const [row] = await this.deps.database.sql<{ tenant: string }>(
      'update stack set checked_at = now() returning tenant',
    );
    if (row?.tenant !== this.files.spec.tenant) {
      throw new Error('The stack’s row is missing.');
    }
  }

  /** Stops ticking, lets what is under way finish, stores what is only in memory. Orders stay: bots resume later. */
  async close(): Promise<void> {
    await this.ticker.stop();
    this.revocations.close();
    this.hub.close();
    await withDeadline('the bots’ last steps', { deadlineMs: DRAIN_MS }, () => this.bots.idle()).catch(
      (error: unknown) => {
        // Nothing is lost: what is not finished is written down, and done at the next start.
        this.deps.logger.warn({ err: error }, 'stopping without the bots’ last steps');
      },
    );
    this.stopping.abort();
    await this.bots.idle();
    await this.save(new Date()).catch((error: unknown) => {
      this.deps.logger.warn({ err: error }, 'the last prices could not be stored');
    });
    // What the portal has not confirmed stays in the outbox.
    this.client.close();
    await this.outbox.close();
  }
}
