import { z } from 'zod';
import type { Pair } from '#libs/contracts';
import { stepWalk, walkPrice, WALK_START, type WalkState } from '#libs/trading';
import type { Database } from '../database/database.js';
import { MARKETS, type MarketSpec } from '../exchange/markets.js';

/** Row `price_source` of settings: data of the stack, so that a test or a demonstration can be faster. */
export const priceSettingsSchema = z.object({
  seed: z.int(),
  tickMs: z.int().min(5).max(60_000),
  /** Chance that a fill is a partial one. */
  partialChance: z.number().min(0).max(1),
});
export type PriceSettings = z.infer<typeof priceSettingsSchema>;

export async function readPriceSettings(database: Database): Promise<PriceSettings> {
  const [row] = await database.sql<{ value: unknown }>(`select value from settings where key = 'price_source'`);
  return priceSettingsSchema.parse(row?.value);
}

export interface Price {
  price: string;
  at: Date;
}

/** The newest prices. A price older than a few ticks is stale: nothing is traded on it. */
export class PriceSource {
  private readonly walks = new Map<Pair, WalkState>();
  private readonly prices = new Map<Pair, Price>();

  constructor(
    private readonly database: Database,
    readonly settings: PriceSettings,
  ) {}

  private params(market: MarketSpec) {
    return { seed: this.settings.seed, pair: market.pair, start: market.start, tick: market.rules.tick };
  }

  /** Goes on from the stored price, so a restart makes no jump. */
  async load(): Promise<void> {
    const rows = await this.database.sql<{ pair: Pair; walk: WalkState; price: string; at: Date }>(
      'select pair, walk, price, at from paper_prices',
    );
    for (const { pair, walk, price, at } of rows) {
      this.walks.set(pair, walk);
      this.prices.set(pair, { price, at });
    }
  }

  step(now: Date): void {
    for (const market of MARKETS) {
      const walk = stepWalk(this.walks.get(market.pair) ?? WALK_START, this.params(market));
      this.walks.set(market.pair, walk);
      this.prices.set(market.pair, { price: walkPrice(walk, this.params(market)), at: now });
    }
  }

  get(pair: Pair): Price | null {
    return this.prices.get(pair) ?? null;
  }

  isFresh(pair: Pair, now: Date): boolean {
    const price = this.get(pair);
    return price !== null && now.getTime() - price.at.getTime() <= Math.max(5_000, this.settings.tickMs * 5);
  }

  /** The number of the present step: names it for the seeded partial fills. */
  stepOf(pair: Pair): string {
    return String(this.walks.get(pair)?.step ?? 0);
  }

  async save(): Promise<void> {
    const prices = [...this.prices];
    await this.database.sql(
      `insert into paper_prices (pair, walk, price, at)
       select * from unnest($1::text[], $2::jsonb[], $3::numeric[], $4::timestamptz[])
       on conflict (pair) do update set walk = excluded.walk, price = excluded.price, at = excluded.at`,
      [
        prices.map(([pair]) => pair),
        prices.map(([pair]) => JSON.stringify(this.walks.get(pair) ?? WALK_START)),
        prices.map(([, { price }]) => price),
        prices.map(([, { at }]) => at),
      ],
    );
  }
}
