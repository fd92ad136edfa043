import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { waitFor } from '#libs/async';
import type { Bot, Market, Overview } from '#libs/contracts';
import { dec, presetParams, randomOf, text } from '#libs/trading';
import { TestRedis, TestStack, type RuntimeProcess } from '../support/runtime.js';
import { checkBooks, openBook } from '../support/runtime-books.js';

const redis = new TestRedis();
let stack: TestStack;

beforeAll(() => redis.start());
beforeEach(async () => {
  stack = await TestStack.create({ redis });
}, 30_000);
afterEach(() => stack.close());
afterAll(() => redis.close());

async function startBot(runtime: RuntimeProcess, pair = 'BTC/USDT'): Promise<Bot> {
  const { pairs } = await runtime.call<Market>('GET', '/market');
  const market = pairs.find((candidate) => candidate.pair === pair);
  if (!market) {
    throw new Error('no market');
  }
  const params = presetParams('narrow', market, market.price, '1500');
  return runtime.call<Bot>('POST', '/bots', { pair, params, start: true });
}

const freeze = (): Promise<unknown> =>
  stack.sql(`update settings set value = value || '{"tickMs": 60000}' where key = 'price_source'`);

/** Once the server processes of a killed runtime are gone: until then, what it sent last may still be committed. */
const settled = (): Promise<true> =>
  waitFor(
    async () => {
      const left = await stack.sql(
        `select 1 from pg_stat_activity where datname = current_database() and application_name = 'aviary-runtime'`,
      );
      return left.length === 0 || undefined;
    },
    { what: 'the end of its connections', deadlineMs: 10_000 },
  );

/** Ids of orders whose cancel is written down and was perhaps not sent yet. */
async function meantToCancel(): Promise<Set<string>> {
  const rows = await stack.sql<{ id: string }>(
    `select o.client_order_id as id from bots b, jsonb_array_elements(b.grid -> 'cells') as cells (item), orders o
     where (item -> 'order' ->> 'cancelling')::boolean and o.bot_id = b.id and o.ref = (item -> 'order' ->> 'ref')::int`,
  );
  return new Set(rows.map(({ id }) => id));
}

it('resumes after an orderly stop with the same orders and figures', async () => {
  await stack.provision({ tickMs: 20 });
  let runtime = await stack.startReady();
  const { id } = await startBot(runtime);
  await waitFor(async () => (await runtime.call<Bot>('GET', `/bots/${id}`)).cellsClosed > 1 || undefined, {
    what: 'closed cells',
    deadlineMs: 30_000,
  });
  expect(await runtime.stop()).toBe(0);
  const before = await openBook(stack);
  await checkBooks(stack);
  const placed = await stack.sql('select client_order_id, price, quantity from paper_orders order by 1');
  // No tick comes in between, so whatever is different now was done by the restart.
  await freeze();
  runtime = await stack.startReady();
  await runtime.recovered();
  const bot = await runtime.call<Bot>('GET', `/bots/${id}`);
  expect(bot.state).toBe('running');
  expect(await openBook(stack)).toEqual(before);
  expect(await stack.sql('select client_order_id, price, quantity from paper_orders order by 1')).toEqual(placed);
  const overview = await runtime.call<Overview>('GET', '/overview');
  expect(overview.equity).toBe(text(dec(overview.deposit).plus(overview.allTime.total)));
}, 60_000);

it('loses and doubles nothing over kill -9 at any moment', async () => {
  await stack.provision({ tickMs: 5, partialChance: 0.5 });
  let runtime = await stack.startReady();
  const bots = [await startBot(runtime), await startBot(runtime, 'ETH/USDT')];
  let fills = 0;
  // Eight rounds on any machine, and on a slow one as many as it takes until there was something to lose.
  for (let round = 0; round < 8 || (fills <= 20 && round < 40); round += 1) {
    // Seeded, so that a failure can be repeated; short, so that many fall between two statements of one step.
    await delay(40 + Math.floor(randomOf(round, 'crash') * 400));
    await runtime.kill();
    await freeze();
    await settled();
    const before = await openBook(stack);
    const cancelling = await meantToCancel();
    runtime = await stack.startReady();
    await runtime.recovered();
    for (const { id } of bots) {
      expect(await runtime.call('GET', `/bots/${id}`)).toMatchObject({ state: 'running', reason: null });
    }
    expect(await runtime.stop()).toBe(0);
    // No tick came in between: whatever agrees now was made to by the recovery, also that every intent is answered.
    const books = await checkBooks(stack);
    expect(books.fills).toBeGreaterThanOrEqual(fills);
    ({ fills } = books);
    // What lay in the book before the restart lies there still, but for what the bot was just cancelling.
    const after = new Set(await openBook(stack));
    const gone = before.filter((order) => !after.has(order));
    expect(gone.filter((order) => !cancelling.has(order.split(' ')[0] ?? ''))).toEqual([]);
    await stack.sql(`update settings set value = value || '{"tickMs": 5}' where key = 'price_source'`);
    runtime = await stack.startReady();
  }
  expect(fills).toBeGreaterThan(20);
}, 180_000);

it('finishes a start that was cut off between writing the intents down and sending them', async () => {
  await stack.provision({ tickMs: 60_000 });
  let runtime = await stack.startReady();
  const { id } = await startBot(runtime);
  const book = await openBook(stack);
  await runtime.kill();
  // As if the last three orders had been written down and never sent, and one sent but not confirmed.
  const last = await stack.sql<{ id: string }>(
    `update orders set state = 'pending' where client_order_id in
       (select client_order_id from orders where state = 'open' order by ref desc limit 4)
     returning client_order_id as id`,
  );
  await stack.sql('delete from paper_orders where client_order_id = any($1)', [last.slice(0, 3).map((row) => row.id)]);
  runtime = await stack.startReady();
  await waitFor(async () => (await openBook(stack)).length === book.length || undefined, {
    what: 'the missing orders',
    deadlineMs: 10_000,
  });
  await waitFor(
    async () => (await stack.sql(`select 1 from orders where state = 'pending'`)).length === 0 || undefined,
    {
      what: 'confirmation',
      deadlineMs: 10_000,
    },
  );
  expect(await openBook(stack)).toEqual(book);
  await checkBooks(stack);
  expect(await runtime.call('GET', `/bots/${id}`)).toMatchObject({ state: 'running', openOrders: { total: 10 } });
}, 60_000);

it('sends an intent again that trades the moment it arrives', async () => {
  await stack.provision({ tickMs: 60_000 });
  let runtime = await stack.startReady();
  const { id } = await startBot(runtime);
  await runtime.kill();
  // As if the price had passed the level while the runtime was down: the exchange fills the order as it takes it.
  const [cut] = await stack.sql<{ id: string; quantity: string }>(
    `update orders set state = 'pending', price = price * 2 where side = 'buy' and state = 'open'
       and ref = (select max(ref) from orders where side = 'buy' and state = 'open')
     returning client_order_id as id, quantity`,
  );
  await stack.sql('delete from paper_orders where client_order_id = $1', [cut?.id]);
  runtime = await stack.startReady();
  await waitFor(
    async () =>
      (await stack.sql(`select 1 from orders where client_order_id = $1 and state = 'filled'`, [cut?.id])).length ||
      undefined,
    { what: 'the fill', deadlineMs: 10_000 },
  );
  expect(await runtime.call('GET', `/bots/${id}`)).toMatchObject({ state: 'running', reason: null });
  expect(await runtime.stop()).toBe(0);
  await checkBooks(stack);
}, 60_000);

it('ends what an earlier runtime left at the database before it reads anything', async () => {
  await stack.provision({ tickMs: 60_000 });
  const left = new pg.Client({ ...stack.database, application_name: 'aviary-runtime' });
  const ended = new Promise<void>((resolve) => left.on('error', () => resolve()));
  await left.connect();
  await left.query('begin');
  await left.query(`insert into paper_orders (client_order_id, pair, side, price, quantity, state)
    values ('late', 'BTC/USDT', 'buy', 10, 1, 'open')`);
  await stack.startReady();
  await ended;
  expect(await openBook(stack)).toEqual([]);
}, 60_000);

it('cancels an order of its own that no bot knows, and books a trade that nobody heard of', async () => {
  await stack.provision({ tickMs: 60_000 });
  let runtime = await stack.startReady();
  const { id } = await startBot(runtime);
  await runtime.kill();
  const [row] = await stack.sql<{ code: string }>('select code from bots where id = $1', [id]);
  await stack.sql(
    `insert into paper_orders (client_order_id, pair, side, price, quantity, state)
     values ($1, 'BTC/USDT', 'buy', 10, 1, 'open'), ('foreign1', 'BTC/USDT', 'buy', 10, 1, 'open')`,
    [`av${row?.code ?? ''}zz`],
  );
  const [buy] = await stack.sql<{ id: string; price: string; quantity: string }>(
    `select client_order_id as id, price, quantity from paper_orders where side = 'buy' and state = 'open'
       and price > 1000 order by price desc limit 1`,
  );
  await stack.sql(
    `insert into paper_trades (client_order_id, price, quantity, fee, at) values ($1, $2, $3, 0.15, now())`,
    [buy?.id, buy?.price, buy?.quantity],
  );
  await stack.sql(`update paper_orders set filled = quantity, state = 'filled' where client_order_id = $1`, [buy?.id]);
  runtime = await stack.startReady();
  await waitFor(
    async () => (await stack.sql('select 1 from fills where price = $1', [buy?.price])).length || undefined,
    {
      what: 'the fill',
      deadlineMs: 10_000,
    },
  );
  await waitFor(
    async () => {
      const rows = await stack.sql<{ id: string; state: string }>(
        `select client_order_id as id, state from paper_orders where price = 10`,
      );
      return rows.find((order) => order.id !== 'foreign1')?.state === 'cancelled' || undefined;
    },
    { what: 'the orphan to be cancelled', deadlineMs: 10_000 },
  );
  const [foreign] = await stack.sql<{ state: string }>(
    `select state from paper_orders where client_order_id = 'foreign1'`,
  );
  expect(foreign?.state).toBe('open');
}, 60_000);

/** A way to the stack's database that `pass` says of each connection, counted from one, whether it leads there. */
async function throughDoor(
  pass: (nth: number) => 'through' | 'hangs' | 'cut',
  work: (seen: () => number) => Promise<void>,
): Promise<void> {
  const { host, port } = stack.database;
  const sockets = new Set<Socket>();
  const door = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    const way = pass(sockets.size);
    if (way === 'through') {
      const onward = connect(port, host);
      onward.on('error', () => socket.destroy());
      socket.on('close', () => onward.destroy());
      socket.pipe(onward).pipe(socket);
    } else if (way === 'cut') {
      socket.destroy();
    }
  }).listen(0, '127.0.0.1');
  await once(door, 'listening');
  try {
    stack.write({
      database: { ...stack.spec.database, host: '127.0.0.1', port: (door.address() as AddressInfo).port },
    });
    await work(() => sockets.size);
  } finally {
    sockets.forEach((socket) => socket.destroy());
    door.close();
  }
}

it('waits for a database that does not answer at all as it does for one that refuses', async () => {
  await stack.provision({ tickMs: 1_000 });
  // As behind a network that is gone: connections stand and nothing comes back.
  let reachable = false;
  await throughDoor(
    () => (reachable ? 'through' : 'hangs'),
    async (seen) => {
      const runtime = await stack.start();
      // One attempt is over, and the next was begun.
      await waitFor(() => seen() > 1 || undefined, { what: 'a second attempt', deadlineMs: 20_000 });
      expect(await runtime.request('GET', '/ready', { anonymous: true })).toMatchObject({
        status: 503,
        body: { ready: false, code: 'POSTGRES_AWAY' },
      });
      reachable = true;
      await runtime.ready();
      expect(runtime.logs.filter(({ msg }) => msg === 'the runtime cannot start')).toEqual([]);
    },
  );
}, 60_000);

it('begins anew by itself where the database goes away between its first connection and the next', async () => {
  await stack.provision({ tickMs: 1_000 });
  await throughDoor(
    (nth) => (nth === 2 || nth === 3 ? 'cut' : 'through'),
    async (seen) => {
      const runtime = await stack.start();
      await runtime.ready();
      await runtime.recovered();
      expect(seen()).toBeGreaterThan(3);
    },
  );
}, 60_000);
