import { randomUUID } from 'node:crypto';
import type { Pair, StackSpec } from '#libs/contracts';
import { createLogger } from '#libs/telemetry';
import { BotService } from '../../apps/runtime/src/bots/bot-service.js';
import { BotStore } from '../../apps/runtime/src/bots/bot-store.js';
import { Database } from '../../apps/runtime/src/database/database.js';
import { PaperExchange, type Placed, type PlaceOrder } from '../../apps/runtime/src/exchange/paper-exchange.js';
import { PriceSource, type Price } from '../../apps/runtime/src/market/price-source.js';
import { prepareStack } from '../../apps/runtime/src/stack/stack-database.js';
import { emptyDatabase } from './runtime.js';

/** A price the test moves. */
class SetPrices extends PriceSource {
  price = '65000';

  override get(_pair: Pair): Price {
    return { price: this.price, at: new Date() };
  }

  override stepOf(): string {
    return this.price;
  }
}

/** The paper exchange with an answer of the test's own in front of it. */
export class TroubledExchange extends PaperExchange {
  /** Gives the answers, throws, or returns undefined to let the exchange answer. */
  trouble: ((orders: readonly PlaceOrder[]) => Placed[] | undefined) | null = null;

  override async place(orders: readonly PlaceOrder[]): Promise<Placed[]> {
    return this.trouble?.(orders) ?? super.place(orders);
  }
}

/** Bots, their store and the exchange on a real database, driven by hand instead of by the clock. */
export class RuntimeParts {
  readonly prices: SetPrices;
  private readonly stopping = new AbortController();
  exchange!: TroubledExchange;
  bots!: BotService;

  private constructor(readonly database: Database) {
    this.prices = new SetPrices(database, { seed: 1, tickMs: 1000, partialChance: 0 });
  }

  static async open(): Promise<RuntimeParts> {
    const database = new Database({
      ...(await emptyDatabase()),
      logger: createLogger('runtime', 'silent'),
      verify: async () => undefined,
    });
    const spec = { tenant: randomUUID(), platform: randomUUID(), generation: 1, provisioningGeneration: 1 };
    await database.tx((sql) => prepareStack(sql, spec as StackSpec));
    const parts = new RuntimeParts(database);
    await parts.restart();
    return parts;
  }

  /** What a new process would have: everything read anew from the database. */
  async restart(): Promise<void> {
    this.exchange = new TroubledExchange(this.database, this.prices, () => undefined);
    this.bots = new BotService({
      store: new BotStore(this.database),
      exchange: this.exchange,
      logger: createLogger('runtime', 'silent'),
      now: () => new Date(),
      limit: 5,
      image: 'sha256:first',
      held: () => null,
      requireFree: () => undefined,
      requireTrading: () => undefined,
      mayTrade: () => true,
      signal: this.stopping.signal,
      price: () => ({ price: this.prices.price, fresh: true }),
      report: async () => undefined,
      publish: () => undefined,
      published: { deleted: () => undefined },
    });
    await this.bots.load();
  }

  /** Moves the price as the ticker does, and waits until every bot has done what follows. */
  async to(...prices: string[]): Promise<void> {
    for (const price of prices) {
      this.prices.price = price;
      this.bots.onTick(await this.exchange.tick());
      await this.bots.idle();
    }
  }

  async close(): Promise<void> {
    this.stopping.abort();
    await this.bots.idle();
    await this.database.close();
  }
}
