import { waitFor } from '#libs/async';
import {
  ACTIVITY_AUDIENCE,
  HOLD_AUDIENCE,
  RESUMPTION_AUDIENCE,
  resumptionSchema,
  type Bot,
  type Market,
  type Resumption,
} from '#libs/contracts';
import { newSigningKey, signToken } from '#libs/crypto';
import { presetParams } from '#libs/trading';
import { TestRedis, TestStack, type RuntimeProcess } from '../support/runtime.js';

jest.setTimeout(60_000);

const redis = new TestRedis();
let stack: TestStack;
let runtime: RuntimeProcess;

beforeAll(() => redis.start());
beforeEach(async () => {
  stack = await TestStack.create({ redis });
  // A market that moves at a process's start alone while a test looks, and by the same steps in every run.
  await stack.provision({ tickMs: 60_000, partialChance: 0, seed: 1 });
  await stack.sql('delete from paper_prices');
  runtime = await stack.startReady();
});
afterEach(() => stack.close());
afterAll(() => redis.close());

async function privately<T>(
  method: string,
  path: string,
  {
    claims = {},
    audience,
    key = stack.stackKey,
  }: { claims?: Record<string, unknown>; audience: string; key?: typeof stack.stackKey },
) {
  const token = await signToken(key, claims, { issuer: stack.spec.tenant, audience, ttlSeconds: 30 });
  return runtime.request<T>(method, path, { headers: { authorization: `Stack ${token}` }, anonymous: true });
}

async function told(): Promise<Resumption> {
  const { status, body } = await privately('GET', '/resumption', { audience: RESUMPTION_AUDIENCE });
  expect(status).toBe(200);
  return resumptionSchema.parse(body);
}

/** What it says once its start is over. */
const resumption = (): Promise<Resumption> =>
  waitFor(
    async () => {
      const now = await told();
      return now.starting ? undefined : now;
    },
    { what: 'the start being over', deadlineMs: 20_000 },
  );
const faults = async (): Promise<string[]> =>
  ((await resumption()).ledger ?? ['not read' as const]).map((fault) =>
    typeof fault === 'string' ? fault : `${fault.bot === null ? 'account' : 'bot'} ${fault.what}`,
  );

async function bot(preset: 'wide' | 'narrow' = 'wide'): Promise<string> {
  const { pairs } = await runtime.call<Market>('GET', '/market');
  const params = presetParams(preset, pairs[0]!, pairs[0]!.price, '1000');
  const { id } = await runtime.call<Bot>('POST', '/bots', { pair: 'BTC/USDT', params, start: true });
  await waitFor(
    async () => {
      const rows = await stack.sql(`select 1 from orders where bot_id = $1 and state = 'open'`, [id]);
      return rows.length >= 4 ? true : undefined;
    },
    { what: 'the orders of a new bot', deadlineMs: 20_000 },
  );
  return id;
}

/** As before every planned stop: orders are taken back, so that going on is work. */
async function stop(): Promise<void> {
  const hold = { kind: 'restart', seconds: 60 };
  const { status } = await privately('POST', '/hold', { claims: { hold }, audience: HOLD_AUDIENCE });
  expect(status).toBe(200);
  await runtime.stop();
}

async function startUnder(image: string): Promise<Resumption> {
  stack.write({ image });
  runtime = await stack.startReady();
  return resumption();
}

const gridOf = async (id: string): Promise<object> =>
  (await stack.sql<{ grid: object }>('select grid from bots where id = $1', [id]))[0]?.grid ?? {};
const unreadable = (): Promise<unknown> => stack.sql(`update bots set grid = grid - 'cells'`);

it('bots that ran run again after a start, those that a person paused do not count, and the books agree', async () => {
  const [runs, paused] = [await bot(), await bot()];
  await runtime.call('POST', `/bots/${paused}/pause`, {});
  const made = { resumed: true, ran: false, reason: null };
  expect((await resumption()).bots).toEqual(
    expect.arrayContaining([
      { id: runs, state: 'running', ...made },
      { id: paused, state: 'paused', ...made },
    ]),
  );
  await stop();
  runtime = await stack.startReady();
  expect(await resumption()).toEqual({
    starting: false,
    failure: null,
    bots: [
      { id: runs, state: 'running', ran: true, resumed: true, reason: null },
      { id: paused, state: 'paused', ran: false, resumed: true, reason: null },
    ],
    ledger: [],
  });
});

it('a bot that ended before the start is told of as ended', async () => {
  const id = await bot();
  await runtime.call('POST', `/bots/${id}/stop`, { onExit: 'sell' });
  await waitFor(async () => ((await told()).bots[0]?.state === 'stopped' ? true : undefined), {
    what: 'the end of the bot',
    deadlineMs: 20_000,
  });
  expect(await faults()).toEqual([]);
});

it('a bot whose stored state cannot be read did not resume, and the stack is ready all the same', async () => {
  const id = await bot();
  await stop();
  await unreadable();
  const { bots, ledger, failure } = await startUnder('sha256:first');
  expect(bots).toEqual([
    { id, state: 'error', ran: true, resumed: false, reason: expect.stringMatching(/^Something unforeseen stopped/) },
  ]);
  expect(ledger).toEqual([{ bot: id, what: 'state', text: `What is stored of bot ${id} cannot be read.` }]);
  expect(failure === null || failure.startsWith('Starting did not come to its end.')).toBe(true);
  expect((await runtime.request('GET', '/ready', { anonymous: true })).status).toBe(200);
});

it('what one release could not have go on, another does; what it was before it is again', async () => {
  const [runs, paused] = [await bot(), await bot()];
  await runtime.call('POST', `/bots/${paused}/pause`, {});
  await stop();
  const grids = [await gridOf(runs), await gridOf(paused)];
  await unreadable();
  const states = ({ bots }: Resumption): string[] =>
    [runs, paused].map((id) => {
      const found = bots.find((one) => one.id === id);
      return `${found?.state ?? 'gone'}${found?.resumed === true ? '' : ', not resumed'}`;
    });
  expect(states(await startUnder('sha256:second'))).toEqual(['error, not resumed', 'error, not resumed']);
  await runtime.stop();
  await stack.sql('update bots set grid = case id when $1 then $2::jsonb else $3::jsonb end', [runs, ...grids]);
  // The same again tries nothing: it failed under it, and nobody said that it is mended.
  const same = await startUnder('sha256:second');
  expect(same.bots.map(({ state }) => state)).toEqual(['error', 'error']);
  expect(same.bots.every(({ ran }) => !ran)).toBe(true);
  await runtime.stop();
  const back = await startUnder('sha256:first');
  expect(states(back)).toEqual(['running', 'paused']);
  expect(back.bots.find(({ id }) => id === runs)).toMatchObject({ ran: true });
  expect(back.ledger).toEqual([]);
  const open = await stack.sql(`select 1 from paper_orders where state = 'open'`);
  expect(open.length).toBeGreaterThan(0);
});

it.each([
  ['money in the account', `update assets set amount = amount + 1 where asset = 'USDT'`, ['account assets']],
  ['base currency in the account', `update assets set amount = 0.5 where asset = 'BTC'`, ['account assets']],
  ['money of a bot', `update bots set grid = jsonb_set(grid, '{cash}', '"1"')`, ['bot cash', 'bot profit']],
  ['the profit of a bot', `update bots set grid = jsonb_set(grid, '{gridProfit}', '"5"')`, ['bot profit']],
  ['the price of a trade', 'update fills set price = price + 1', ['bot cash', 'bot exchange']],
  ['an order', `update orders set filled = 0 where state = 'filled'`, ['bot filled']],
  ['an order that is open', `update orders set state = 'cancelled' where state = 'open'`, ['bot orders']],
  ['a trade', 'delete from fills', ['bot base', 'bot cash', 'bot filled', 'bot fills', 'bot unbooked']],
])('the ledger is not consistent where somebody changed %s by hand', async (_what, change, found) => {
  await bot();
  expect(await faults()).toEqual([]);
  await stack.sql(change);
  expect((await faults()).toSorted()).toEqual(found);
});

it('the ledger agrees at any moment while bots trade', async () => {
  await stack.sql(
    `update settings set value = value || '{"tickMs": 20, "partialChance": 0.5}' where key = 'price_source'`,
  );
  await runtime.stop();
  runtime = await stack.startReady();
  await Promise.all([bot('narrow'), bot('narrow')]);
  const seen = await waitFor(
    async () => {
      expect(await faults()).toEqual([]);
      const [row] = await stack.sql<{ count: number }>('select count(*)::int as count from fills');
      return (row?.count ?? 0) >= 30 ? row?.count : undefined;
    },
    { what: 'thirty trades', deadlineMs: 45_000, intervalMs: 20, maxIntervalMs: 20 },
  );
  expect(seen).toBeGreaterThanOrEqual(30);
});

it('tells the platform alone', async () => {
  const refused = [
    await privately('GET', '/resumption', { audience: RESUMPTION_AUDIENCE, key: newSigningKey() }),
    await privately('GET', '/resumption', { audience: ACTIVITY_AUDIENCE }),
    await runtime.request('GET', '/resumption', { anonymous: true }),
    await runtime.request('GET', '/resumption'),
  ];
  expect(refused.map(({ status }) => status)).toEqual([401, 401, 401, 401]);
});
