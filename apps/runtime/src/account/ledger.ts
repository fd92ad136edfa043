import { MOST_FAULTS_TOLD, type LedgerFault, type Pair } from '#libs/contracts';
import { dec, gridAccount, sum, text, type GridState } from '#libs/trading';
import { liveOrders } from '../bots/bot-orders.js';
import type { Database, Sql } from '../database/database.js';
import { marketOf } from '../exchange/markets.js';

const QUOTE = 'USDT';
/** Of a sentence; figures that make it longer are no figures of an account. */
const LONGEST = 400;

interface BotRow {
  id: string;
  pair: Pair;
  investment: string;
  grid: GridState;
  stopped: boolean;
  finalPrice: string | null;
}
/** What a bot's trades come to: money that came and went, fees included; base currency; how many there are. */
interface TradedRow {
  bot: string;
  cash: string;
  base: string;
  fills: number;
}
interface CountRow {
  bot: string | null;
  count: number;
}
interface AssetRow {
  asset: string;
  amount: string;
  cost: string;
}

/** What is in the account, once bots took and gave back what they did. */
interface Left {
  amount: string;
  cost: string;
}

/**
 * What must be true of the books at any moment and is not, at most `MOST_FAULTS_TOLD`; read from one snapshot, so that
 * trading goes on meanwhile. State, orders and trades of a bot change in one transaction, which is what makes these
 * hold also while it trades; what the exchange filled a moment ago and nobody booked yet is no fault. The sums are the
 * database's, so it costs one pass over the trades.
 */
export async function ledgerFaults(database: Pick<Database, 'tx'>): Promise<LedgerFault[]> {
  const faults = await database.tx(async (sql) => {
    await sql('set transaction isolation level repeatable read, read only');
    return [...(await faultsOfBots(sql)), ...(await faultsOfTrades(sql))];
  });
  return faults.slice(0, MOST_FAULTS_TOLD).map((fault) => ({ ...fault, text: fault.text.slice(0, LONGEST) }));
}

async function faultsOfBots(sql: Sql): Promise<LedgerFault[]> {
  const bots = await sql<BotRow>(
    `select id, pair, params ->> 'investment' as investment, grid, stopped_at is not null as stopped,
            final_price as "finalPrice"
       from bots where started_at is not null order by created_at`,
  );
  const traded = await sql<TradedRow>(
    `select bot_id as bot, sum(case side when 'buy' then -price * quantity else price * quantity end - fee) as cash,
            sum(case side when 'buy' then quantity else -quantity end) as base, count(*)::int as fills
       from fills group by bot_id`,
  );
  const open = await sql<{ bot: string; refs: number[] }>(
    `select bot_id as bot, array_agg(ref order by ref) as refs from orders
      where state in ('pending', 'open') group by bot_id`,
  );
  const [tradesOf, openOf] = [
    new Map(traded.map((row) => [row.bot, row])),
    new Map(open.map(({ bot, refs }) => [bot, refs])),
  ];
  const nothing = { cash: '0', base: '0', fills: 0 };
  const faults = bots.flatMap((bot) => faultsOfBot(bot, tradesOf.get(bot.id) ?? nothing, openOf.get(bot.id) ?? []));
  // What cannot be read of one bot cannot be added up either.
  return faults.some(({ what }) => what === 'state') ? faults : [...faults, ...(await faultsOfAccount(sql, bots))];
}

function faultsOfBot(bot: BotRow, traded: Omit<TradedRow, 'bot'>, open: readonly number[]): LedgerFault[] {
  const faults: LedgerFault[] = [];
  const same = (what: LedgerFault['what'], name: string, [stored, right]: [string, string]): void => {
    if (stored !== right) {
      faults.push({
        bot: bot.id,
        what,
        text: `The ${name} of bot ${bot.id}: stored ${stored}, by its trades ${right}.`,
      });
    }
  };
  try {
    const { grid, investment } = bot;
    // At any price: the parts of the profit leave the same difference.
    const account = gridAccount(grid, '0');
    const orders = liveOrders({ grid })
      .map(({ ref }) => ref)
      .toSorted((a, b) => a - b);
    same('cash', 'cash', [text(dec(grid.cash)), text(dec(investment).plus(traded.cash))]);
    same('base', 'base currency', [account.base, text(dec(traded.base))]);
    same('profit', 'profit', [account.pnl.total, text(dec(account.equity).minus(investment))]);
    same('fills', 'number of trades', [String(grid.fills), String(traded.fills)]);
    if (orders.join() !== open.join()) {
      const told = `Bot ${bot.id} waits for ${orders.length} orders, and ${open.length} of its orders are open.`;
      const which = orders.length === open.length ? `${told} They are not the same.` : told;
      faults.push({ bot: bot.id, what: 'orders', text: which });
    }
  } catch {
    // Whatever it is that cannot be worked with: what is wrong with it is told by the bot itself, in the log.
    return [{ bot: bot.id, what: 'state', text: `What is stored of bot ${bot.id} cannot be read.` }];
  }
  return faults;
}

/** The account against the deposit, what started bots took from it, and what those that ended gave back. */
async function faultsOfAccount(sql: Sql, bots: readonly BotRow[]): Promise<LedgerFault[]> {
  const assets = await sql<AssetRow>('select asset, amount, cost from assets order by asset');
  const [deposit] = await sql<{ value: string }>(`select value #>> '{}' as value from settings where key = 'deposit'`);
  const ended = bots
    .filter(({ stopped }) => stopped)
    .map(({ pair, grid, finalPrice }) => {
      const price = finalPrice ?? '0';
      const { base, quote } = gridAccount(grid, price);
      return { asset: marketOf(pair).base, base, quote, cost: dec(base).times(price) };
    });
  const rightOf = (asset: string): Left => {
    if (asset === QUOTE) {
      const taken = sum(bots.map(({ investment }) => investment));
      return {
        amount: text(
          dec(deposit?.value ?? '0')
            .minus(taken)
            .plus(sum(ended.map(({ quote }) => quote))),
        ),
        cost: '0',
      };
    }
    const left = ended.filter((bot) => bot.asset === asset);
    return { amount: text(sum(left.map(({ base }) => base))), cost: text(sum(left.map(({ cost }) => cost))) };
  };
  return assets.flatMap(({ asset, amount, cost }): LedgerFault[] => {
    const right = rightOf(asset);
    const stored = { amount: text(dec(amount)), cost: text(dec(cost)) };
    if (stored.amount !== right.amount) {
      const told = `${asset} in the account: stored ${stored.amount}, by what bots took and gave back ${right.amount}.`;
      return [{ bot: null, what: 'assets', text: told }];
    }
    return stored.cost === right.cost
      ? []
      : [
          {
            bot: null,
            what: 'assets',
            text: `The cost of ${asset} in the account: stored ${stored.cost}, by the bots that left it ${right.cost}.`,
          },
        ];
  });
}

async function faultsOfTrades(sql: Sql): Promise<LedgerFault[]> {
  const filled = await sql<CountRow>(
    `select o.bot_id as bot, count(*)::int as count from orders o
       left join (select order_id, sum(quantity) as quantity from fills group by order_id) f on f.order_id = o.id
      where o.filled <> coalesce(f.quantity, 0) group by o.bot_id`,
  );
  const foreign = await sql<CountRow>(
    `select f.bot_id as bot, count(*)::int as count from fills f
       join orders o on o.id = f.order_id
       left join paper_trades t on t.id = f.trade_id
      where (t.client_order_id, t.price, t.quantity, t.fee) is distinct from (o.client_order_id, f.price, f.quantity, f.fee)
      group by f.bot_id`,
  );
  // Bots look for trades of orders that are not over; one of an order that is, nobody will ever count.
  const unbooked = await sql<CountRow>(
    `select o.bot_id as bot, count(*)::int as count from paper_trades t
       left join orders o using (client_order_id)
      where (o.id is null or o.state not in ('pending', 'open'))
        and not exists (select from fills f where f.trade_id = t.id)
        and not exists (select from trades_set_aside s where s.trade_id = t.id)
      group by o.bot_id`,
  );
  const told = (
    rows: readonly CountRow[],
    what: LedgerFault['what'],
    words: (count: number) => string,
  ): LedgerFault[] =>
    rows.map(({ bot, count }) => {
      const of = bot === null ? 'orders that nobody knows' : `bot ${bot}`;
      return { bot, what, text: `${words(count)} of ${of}.` };
    });
  return [
    ...told(filled, 'filled', (count) => `${count} orders are filled otherwise than their trades say,`),
    ...told(foreign, 'exchange', (count) => `${count} trades are not as the exchange has them,`),
    ...told(unbooked, 'unbooked', (count) => `${count} trades at the exchange are counted nowhere,`),
  ];
}
