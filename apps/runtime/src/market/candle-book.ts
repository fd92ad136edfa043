import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Candle, CandleInterval, Pair } from '#libs/contracts';
import { dec, normalOf, stepWalk, text, walkPrice, WALK_START } from '#libs/trading';
import type { Database } from '../database/database.js';
import { MARKETS } from '../exchange/markets.js';
import type { PriceSource } from './price-source.js';

interface Bar {
  pair: Pair;
  minutes: number;
  at: number;
  open: string;
  high: string;
  low: string;
  close: string;
}

/** Stored widths; five minutes are made of minutes, days of hours. */
const STORED = [1, 60] as const;
const SHOWN: Record<CandleInterval, { from: 1 | 60; minutes: number }> = {
  '1m': { from: 1, minutes: 1 },
  '5m': { from: 1, minutes: 5 },
  '1h': { from: 60, minutes: 60 },
  '1D': { from: 60, minutes: 1440 },
};
const MINUTE_MS = 60_000;
const KEPT_MINUTES_DAYS = 8;

export class CandleBook {
  /** Bars of the present minute and hour, and finished ones not stored yet. */
  private readonly open = new Map<string, Bar>();

  constructor(
    private readonly database: Database,
    private readonly prices: PriceSource,
  ) {}

  onTick(now: Date): void {
    for (const { pair } of MARKETS) {
      const price = this.prices.get(pair)?.price;
      if (price !== undefined) {
        STORED.forEach((minutes) => this.add(pair, minutes, now.getTime(), price));
      }
    }
  }

  private add(pair: Pair, minutes: number, time: number, price: string): void {
    const at = Math.floor(time / (minutes * MINUTE_MS)) * minutes * MINUTE_MS;
    const key = `${pair}/${minutes}/${at}`;
    const bar = this.open.get(key);
    this.open.set(
      key,
      bar
        ? {
            ...bar,
            high: dec(price).gt(bar.high) ? price : bar.high,
            low: dec(price).lt(bar.low) ? price : bar.low,
            close: price,
          }
        : { pair, minutes, at, open: price, high: price, low: price, close: price },
    );
  }

  async save(now: Date): Promise<void> {
    const bars = [...this.open.values()];
    await this.insert(bars);
    for (const bar of bars) {
      const key = `${bar.pair}/${bar.minutes}/${bar.at}`;
      if (bar.at + bar.minutes * MINUTE_MS <= now.getTime() && this.open.get(key) === bar) {
        this.open.delete(key);
      }
    }
  }

  private async insert(bars: readonly Bar[]): Promise<void> {
    if (bars.length === 0) {
      return;
    }
    await this.database.sql(
      `insert into candles as c (pair, minutes, at, open, high, low, close)
       select * from unnest($1::text[], $2::int[], $3::timestamptz[], $4::numeric[], $5::numeric[], $6::numeric[],
         $7::numeric[])
       on conflict (pair, minutes, at) do update set high = greatest(c.high, excluded.high),
         low = least(c.low, excluded.low), close = excluded.close`,
      [
        bars.map((bar) => bar.pair),
        bars.map((bar) => bar.minutes),
        bars.map((bar) => new Date(bar.at)),
        bars.map((bar) => bar.open),
        bars.map((bar) => bar.high),
        bars.map((bar) => bar.low),
        bars.map((bar) => bar.close),
      ],
    );
  }

  async list(query: { pair: Pair; interval: CandleInterval; to: Date; limit: number }): Promise<Candle[]> {
    const { from, minutes } = SHOWN[query.interval];
    // Buckets count from 2000-01-01 00:00 UTC, so days are UTC days.
    const rows = await this.database.sql<Omit<Candle, 'at'> & { at: Date }>(
      `select date_bin($3::interval, at, '2000-01-01Z') as at, (array_agg(open order by at))[1] as open,
         max(high) as high, min(low) as low, (array_agg(close order by at desc))[1] as close
       from candles where pair = $1 and minutes = $2 and at < $4 and at >= $4 - $3::interval * $5
       group by 1 order by 1`,
      [query.pair, from, `${minutes} minutes`, query.to, query.limit],
    );
    const known = new Map(rows.map((row) => [row.at.getTime(), row]));
    // The newest seconds are only in memory yet.
    for (const bar of this.open.values()) {
      const at = Math.floor(bar.at / (minutes * MINUTE_MS)) * minutes * MINUTE_MS;
      if (bar.pair === query.pair && bar.minutes === from && bar.at < query.to.getTime()) {
        const row = known.get(at);
        known.set(at, row ? joined(row, bar) : { ...bar, at: new Date(at) });
      }
    }
    return [...known.values()]
      .sort((a, b) => a.at.getTime() - b.at.getTime())
      .slice(-query.limit)
      .map(({ at, open, high, low, close }) => ({ at: at.toISOString(), open, high, low, close }));
  }

  async priceAt(pair: Pair, at: Date): Promise<string | null> {
    const [row] = await this.database.sql<{ close: string }>(
      `select close from candles where pair = $1 and minutes = 60 order by abs(extract(epoch from at - $2)) limit 1`,
      [pair, at],
    );
    return row?.close ?? null;
  }

  async prune(now: Date): Promise<void> {
    const before = new Date(now.getTime() - KEPT_MINUTES_DAYS * 86_400_000);
    await this.database.sql('delete from candles where minutes = 1 and at < $1', [before]);
  }

  /**
   * A simulated week before the stack was made, so that charts are not empty: the same walk run backwards from the
   * start price (its steps are alike in both directions), four samples a minute for a day, one a quarter of an hour
   * before that. Once per stack, after it is ready.
   */
  async fillHistory(now: Date): Promise<void> {
    const [done] = await this.database.sql(`select 1 from settings where key = 'history'`);
    if (done) {
      return;
    }
    const bars = new Map<string, Bar>();
    for (const market of MARKETS) {
      const params = { seed: this.prices.settings.seed, pair: `${market.pair}/past`, start: market.start };
      let state = WALK_START;
      let time = Math.floor(now.getTime() / MINUTE_MS) * MINUTE_MS;
      for (let i = 0; i < DAY_SAMPLES + WEEK_SAMPLES; i += 1) {
        if (i % 250 === 249) {
          // Somebody may be opening their first page.
          await nextTurn();
        }
        const recent = i < DAY_SAMPLES;
        time -= recent ? 15_000 : 900_000;
        state = pastStep(state, params, recent ? 15 : 900);
        const price = walkPrice(state, { ...params, tick: market.rules.tick });
        (recent ? STORED : ([60] as const)).forEach((minutes) =>
          addPast(bars, { pair: market.pair, minutes, time, price }),
        );
      }
    }
    const rows = [...bars.values()];
    await this.insert(rows);
    await this.database.sql(`insert into settings (key, value) values ('history', 'true') on conflict do nothing`);
  }
}

const DAY_SAMPLES = 24 * 60 * 4;
const WEEK_SAMPLES = 6 * 24 * 4;

/** One coarse step: the slow part moves with the square root of the time, the returning ones are drawn anew. */
function pastStep(
  state: typeof WALK_START,
  params: { seed: number; pair: string; start: string },
  seconds: number,
): typeof WALK_START {
  const next = stepWalk(state, { ...params, tick: '1' });
  const slow = state.slow + 0.0001 * Math.sqrt(seconds) * normalOf(params.seed, `${params.pair}/${next.step}/far`);
  const keep = Math.exp(-seconds / 600);
  const swing = state.swing * keep + 0.006 * Math.sqrt(1 - keep * keep) * normalOf(params.seed, `${next.step}/swing`);
  return { step: next.step, slow, swing, ripple: next.ripple };
}

/** Samples come newest first: the last one seen of a bar is its opening. */
function addPast(bars: Map<string, Bar>, sample: { pair: Pair; minutes: number; time: number; price: string }): void {
  const { pair, minutes, time, price } = sample;
  const at = Math.floor(time / (minutes * MINUTE_MS)) * minutes * MINUTE_MS;
  const key = `${pair}/${minutes}/${at}`;
  const bar = bars.get(key);
  bars.set(
    key,
    bar
      ? {
          ...bar,
          high: dec(price).gt(bar.high) ? price : bar.high,
          low: dec(price).lt(bar.low) ? price : bar.low,
          open: price,
        }
      : { pair, minutes, at, open: price, high: price, low: price, close: price },
  );
}

function joined(row: Omit<Candle, 'at'> & { at: Date }, bar: Bar): Omit<Candle, 'at'> & { at: Date } {
  return {
    at: row.at,
    open: row.open,
    high: dec(bar.high).gt(row.high) ? bar.high : row.high,
    low: dec(bar.low).lt(row.low) ? bar.low : text(dec(row.low)),
    close: bar.close,
  };
}
