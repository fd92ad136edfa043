import type { Bot, EquityPoint, EquitySeries, Need, Overview, Pnl } from '#libs/contracts';
import { dec, sum, text } from '#libs/trading';
import { NO_PNL, utcDay, type BotRecord } from '../bots/bot-record.js';
import type { BotService } from '../bots/bot-service.js';
import { addPnl, botAccount, todayPnl } from '../bots/bot-view.js';
import { words, type Words } from '../bots/bot-words.js';
import type { Database } from '../database/database.js';
import { MARKETS } from '../exchange/markets.js';
import type { PriceSource } from '../market/price-source.js';

/** Row of the account as a whole in the equity table. */
export const ACCOUNT = '00000000-0000-0000-0000-000000000000';
const MAX_POINTS = 500;
const RANGE_MS = { '1D': 86_400_000, '1W': 7 * 86_400_000, '1M': 30 * 86_400_000, All: Infinity } as const;
const MINUTES_KEPT_MS = 2 * 86_400_000;

interface Asset {
  asset: string;
  amount: string;
  /** What base currency was worth when stopped bots left it in the account. */
  cost: string;
}

export type OverviewFigures = Omit<Overview, 'lastFills'>;

const QUOTE = 'USDT';

/**
 * The paper account: free assets, what the bots hold, and where the profit came from. Everything is worked out from the
 * bots' records of one moment: a bot takes its investment and gives back what it held within its own step, so there is
 * no moment at which both the account and the bot count it.
 */
export class AccountService {
  private deposit = '0';
  private keptDay: { date: string; unrealised: string } | null = null;

  constructor(
    private readonly deps: {
      database: Database;
      bots: BotService;
      prices: PriceSource;
      limit: number;
      diskFull: () => { percent: number; since: Date } | null;
      portalAwaySince: () => Date | null;
      now: () => Date;
    },
  ) {}

  async load(): Promise<void> {
    const { database } = this.deps;
    const [deposit] = await database.sql<{ value: unknown }>(`select value from settings where key = 'deposit'`);
    if (deposit) {
      this.deposit = String(deposit.value);
    }
    const [kept] = await database.sql<{ value: { date: string; unrealised: string } }>('select value from kept_day');
    this.keptDay = kept?.value ?? null;
  }

  /** What no bot holds: the table `assets` says the same, since it is changed in the transactions of the bots. */
  private assets(all: readonly BotRecord[]): Asset[] {
    const started = all.filter(({ startedAt }) => startedAt !== null);
    const stopped = started.filter(({ stoppedAt }) => stoppedAt !== null);
    const free = sum([
      this.deposit,
      ...started.map(({ params }) => dec(params.investment).neg()),
      ...stopped.map((bot) => botAccount(bot, null).quote),
    ]);
    const left = MARKETS.map(({ base, pair }) => {
      const held = stopped.filter((bot) => bot.pair === pair).map((bot) => botAccount(bot, null));
      const cost = sum(held.map((account) => dec(account.equity).minus(account.quote)));
      return { asset: base, amount: text(sum(held.map((account) => account.base))), cost: text(cost) };
    });
    return [...left, { asset: QUOTE, amount: text(free), cost: '0' }].toSorted((a, b) =>
      a.asset.localeCompare(b.asset),
    );
  }

  private value({ asset, amount }: Asset): string {
    const market = MARKETS.find(({ base }) => base === asset);
    return text(market ? dec(amount).times(this.deps.prices.get(market.pair)?.price ?? 0) : dec(amount));
  }

  private price(bot: BotRecord): string | null {
    return this.deps.prices.get(bot.pair)?.price ?? null;
  }

  /** Gain since then of base currency that stopped bots left in the account. */
  private kept(assets: readonly Asset[]): string {
    const held = assets.filter(({ asset }) => asset !== QUOTE);
    return text(sum(held.map((asset) => dec(this.value(asset)).minus(asset.cost))));
  }

  overview(): OverviewFigures {
    const { bots, now, limit } = this.deps;
    const at = now();
    const all = bots.everything();
    const live = bots.records();
    const assets = this.assets(all);
    const invested = all.filter((bot) => bot.startedAt !== null && bot.stoppedAt === null);
    const equity = sum([
      ...assets.map((asset) => this.value(asset)),
      ...invested.map((bot) => botAccount(bot, this.price(bot)).equity),
    ]);
    const kept = this.kept(assets);
    const keptPnl = (unrealised: string): Pnl => ({ ...NO_PNL, total: unrealised, unrealised });
    const keptToday = this.keptDay?.date === utcDay(at) ? dec(kept).minus(this.keptDay.unrealised) : dec(0);
    const started = all.filter((bot) => bot.startedAt !== null);
    const allTime = addPnl([...started.map((bot) => botAccount(bot, this.price(bot)).pnl), keptPnl(kept)]);
    const today = addPnl([...started.map((bot) => todayPnl(bot, this.price(bot), at)), keptPnl(text(keptToday))]);
    const views = bots.list();
    return {
      mode: 'paper',
      at: at.toISOString(),
      quote: QUOTE,
      equity: text(equity),
      deposit: this.deposit,
      free: assets.find(({ asset }) => asset === QUOTE)?.amount ?? '0',
      balances: assets.map((asset) => ({ asset: asset.asset, amount: asset.amount, value: this.value(asset) })),
      today,
      allTime,
      bots: { total: live.length, running: live.filter(({ state }) => state === 'running').length, limit },
      openOrders: views.reduce((count, bot) => count + bot.openOrders.total, 0),
      needs: [...this.diskNeeds(), ...this.marketNeeds(at), ...this.botNeeds()],
      portalAwaySince: this.deps.portalAwaySince()?.toISOString() ?? null,
    };
  }

  private diskNeeds(): Need[] {
    const full = this.deps.diskFull();
    if (full === null) {
      return [];
    }
    const percent = String(full.percent);
    const english = `The disk is ${percent} % full, so open orders were taken back and nothing new is begun. Stop-loss and take-profit go on. The stack’s page in the portal says whether that is its plan’s or its host’s; everything goes on by itself when there is room.`;
    return [
      {
        kind: 'disk_full',
        botId: null,
        botName: null,
        ...words('need.disk_full', english, { percent }),
        since: full.since.toISOString(),
      },
    ];
  }

  private marketNeeds(now: Date): Need[] {
    return MARKETS.flatMap(({ pair }): Need[] => {
      const price = this.deps.prices.get(pair);
      const said = words('need.price_stale', `The price of ${pair} is old; its bots wait.`, { pair });
      return price && !this.deps.prices.isFresh(pair, now)
        ? [{ kind: 'price_stale', botId: null, botName: null, ...said, since: price.at.toISOString() }]
        : [];
    });
  }

  private botNeeds(): Need[] {
    return this.deps.bots.list().flatMap((bot): Need[] => {
      const base = { botId: bot.id, botName: bot.name, since: bot.since };
      if (bot.state === 'error') {
        const english = `${bot.name} stopped by error: ${bot.reason ?? 'unknown'}`;
        return [{ ...base, kind: 'bot_error', ...words('need.bot_error', english, { bot: bot.name }) }];
      }
      const said = bot.status === 'waiting' && bot.levels.length > 0 ? distanceWords(bot) : null;
      return said === null ? [] : [{ ...base, kind: 'out_of_range', ...said }];
    });
  }

  /** Once a minute: a point of every equity line. */
  async record(now: Date): Promise<void> {
    const { database, bots } = this.deps;
    const figures = this.overview();
    const today = utcDay(now);
    if (this.keptDay?.date !== today) {
      this.keptDay = { date: today, unrealised: this.kept(this.assets(bots.everything())) };
      await database.sql(
        `insert into kept_day (value) values ($1) on conflict (single) do update set value = excluded.value`,
        [this.keptDay],
      );
    }
    const invested = bots.records().filter((bot) => bot.startedAt !== null && bot.stoppedAt === null);
    const minute = new Date(Math.floor(now.getTime() / 60_000) * 60_000);
    await database.sql(
      `insert into equity (bot_id, at, equity) select id, $2, amount from unnest($1::uuid[], $3::numeric[]) as t (id, amount)
       on conflict (bot_id, at) do update set equity = excluded.equity`,
      [
        [ACCOUNT, ...invested.map(({ id }) => id)],
        minute,
        [figures.equity, ...invested.map((bot) => botAccount(bot, this.price(bot)).equity)],
      ],
    );
  }

  /** Minutes for two days, hours for ever: 9 000 points a year and bot. */
  async prune(now: Date): Promise<void> {
    await this.deps.database.sql('delete from equity where at < $1 and extract(minute from at) <> 0', [
      new Date(now.getTime() - MINUTES_KEPT_MS),
    ]);
  }

  async equity(botId: string, range: EquitySeries['range'], newest: string | null): Promise<EquitySeries> {
    const now = this.deps.now();
    const from = Number.isFinite(RANGE_MS[range]) ? new Date(now.getTime() - RANGE_MS[range]) : new Date(0);
    // The last point of each of at most 500 equal stretches.
    const rows = await this.deps.database.sql<{ at: Date; equity: string }>(
      `with points as (
         select at, equity, ntile(${MAX_POINTS - 1}) over (order by at) as part from equity where bot_id = $1 and at >= $2
       ) select distinct on (part) at, equity from points order by part, at desc`,
      [botId, from],
    );
    const points: EquityPoint[] = rows.map(({ at, equity }) => ({ at: at.toISOString(), equity: text(dec(equity)) }));
    if (newest !== null) {
      points.push({ at: now.toISOString(), equity: newest });
    }
    return { range, points, maxDrawdown: drawdownOf(points) };
  }
}

function drawdownOf(points: readonly EquityPoint[]): string {
  let peak = dec(0);
  let worst = dec(0);
  for (const { equity } of points) {
    const value = dec(equity);
    peak = value.gt(peak) ? value : peak;
    const down = peak.isZero() ? dec(0) : peak.minus(value).div(peak);
    worst = down.gt(worst) ? down : worst;
  }
  return text(worst.toDecimalPlaces(6));
}

/** How far the price is outside the range; null when it is inside. */
function distanceWords({ name, price, params }: Bot): Words | null {
  if (price === null) {
    return null;
  }
  const percent = (bound: string): string => dec(price).minus(bound).abs().div(bound).times(100).toFixed(1);
  if (dec(price).gt(params.upper)) {
    const above = percent(params.upper);
    return words('need.above_range', `${name} waits: price ${above} % above its range`, { bot: name, percent: above });
  }
  if (dec(price).lt(params.lower)) {
    const below = percent(params.lower);
    return words('need.below_range', `${name} waits: price ${below} % below its range`, { bot: name, percent: below });
  }
  return null;
}
