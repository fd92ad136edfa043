import { randomUUID } from 'node:crypto';
import { waitFor } from '#libs/async';
import {
  HOLD_AUDIENCE,
  RESUMPTION_AUDIENCE,
  resumptionSchema,
  type Bot,
  type ErrorBody,
  type Hold,
  type HoldAnswer,
  type Market,
  type Ready,
  type Resumption,
} from '#libs/contracts';
import { signToken } from '#libs/crypto';
import { presetParams } from '#libs/trading';
import { checkBooks, openBook } from '../support/runtime-books.js';
import { TestRedis, TestStack, type RuntimeProcess } from '../support/runtime.js';

jest.setTimeout(60_000);

/** The upgrade after which it may trade. */
const UPGRADE = randomUUID();
const DEADLINE = { deadlineMs: 20_000 };

const redis = new TestRedis();
let stack: TestStack;
let runtime: RuntimeProcess;

beforeAll(() => redis.start());
beforeEach(async () => {
  stack = await TestStack.create({ redis });
  await stack.provision({ tickMs: 50, partialChance: 0, seed: 1 });
  runtime = await stack.startReady();
});
afterEach(() => stack.close());
afterAll(() => redis.close());

async function privately<T>(method: string, path: string, audience: string, claims: Record<string, unknown> = {}) {
  const token = await signToken(stack.stackKey, claims, { issuer: stack.spec.tenant, audience, ttlSeconds: 30 });
  return runtime.request<T>(method, path, { headers: { authorization: `Stack ${token}` }, anonymous: true });
}

async function hold(wanted: Hold): Promise<HoldAnswer> {
  const { status, body } = await privately<HoldAnswer>('POST', '/hold', HOLD_AUDIENCE, { hold: wanted });
  expect([status, body]).toEqual([200, expect.anything()]);
  return body;
}
const over = (upgrade: string): Promise<HoldAnswer> => hold({ kind: 'upgrade', over: upgrade });

/** What it says of its bots once its start is over. */
const bots = (): Promise<Resumption['bots']> =>
  waitFor(
    async () => {
      const told = resumptionSchema.parse((await privately('GET', '/resumption', RESUMPTION_AUDIENCE)).body);
      return told.starting ? undefined : told.bots;
    },
    { what: 'the start being over', ...DEADLINE },
  );

async function bot(): Promise<string> {
  const { pairs } = await runtime.call<Market>('GET', '/market');
  const params = presetParams('wide', pairs[0]!, pairs[0]!.price, '1000');
  const before = (await openBook(stack)).length;
  const { id } = await runtime.call<Bot>('POST', '/bots', { pair: 'BTC/USDT', params, start: true });
  await waitFor(async () => ((await openBook(stack)).length >= before + 4 ? true : undefined), {
    what: 'the orders of a new bot',
    ...DEADLINE,
  });
  return id;
}

/** As an upgrade that carries data stops it; `meanwhile` in its database, and then it starts on the new volumes. */
async function carried(meanwhile: () => Promise<unknown> = () => Promise.resolve()): Promise<void> {
  await hold({ kind: 'restart', seconds: 60 });
  await runtime.stop();
  await meanwhile();
  stack.write({ tradesAfter: UPGRADE });
  runtime = await stack.startReady();
  await runtime.recovered();
}

/** As many other prices as the bots of the stack are told of. */
async function prices(count: number): Promise<void> {
  const at = async () => (await runtime.call<Market>('GET', '/market')).pairs[0]?.price;
  for (let seen = 0; seen < count; seen += 1) {
    const price = await at();
    await waitFor(async () => ((await at()) === price ? undefined : true), { what: 'a new price', ...DEADLINE });
  }
}

const ready = async (): Promise<Ready> => (await runtime.request<Ready>('GET', '/ready', { anonymous: true })).body;
const ordersAtExchange = async (): Promise<number> =>
  (await stack.sql<{ n: number }>('select count(*)::int as n from paper_orders'))[0]?.n ?? -1;
const phaseOf = async (id: string) =>
  (await stack.sql<{ phase: string }>(`select grid ->> 'phase' as phase from bots where id = $1`, [id]))[0]?.phase;
const trading = (): Promise<unknown> =>
  waitFor(async () => ((await openBook(stack)).length > 0 ? true : undefined), { what: 'open orders', ...DEADLINE });

it('FM-18 bots resume and send nothing before the upgrade is over, whatever asks; then they trade, without another start', async () => {
  const [id, guarded] = [await bot(), await bot()];
  await carried(() =>
    // Any price sets it off.
    stack.sql(`update bots set grid = jsonb_set(grid, '{params,stopLoss}', '"100000000"') where id = $1`, [guarded]),
  );
  const before = await ordersAtExchange();
  expect((await ready()).tradesAfter).toBe(UPGRADE);
  // Whoever judges the release by them finds them at their work, as held ones are.
  expect((await bots()).map(({ state, ran, resumed }) => ({ state, ran, resumed }))).toEqual([
    { state: 'running', ran: true, resumed: true },
    { state: 'running', ran: true, resumed: true },
  ]);
  await prices(10);
  expect([await openBook(stack), await ordersAtExchange(), await phaseOf(guarded)]).toEqual([[], before, 'active']);
  const { params } = await runtime.call<Bot>('GET', `/bots/${id}`);
  for (const [path, body] of [
    ['/bots', { pair: 'BTC/USDT', params, start: true }],
    [`/bots/${id}/stop`, { onExit: 'sell' }],
    [`/bots/${id}/resume`, {}],
  ] as const) {
    const refused = await runtime.request<ErrorBody>('POST', `/api/v1${path}`, { body });
    expect([path, refused.status, refused.body.code]).toEqual([path, 503, 'UNAVAILABLE']);
  }
  // The end of another one is none of it.
  await over(randomUUID());
  await prices(3);
  expect([await openBook(stack), await ordersAtExchange()]).toEqual([[], before]);

  expect(await over(UPGRADE)).toMatchObject({ held: 0 });
  await trading();
  await waitFor(async () => ((await phaseOf(guarded)) === 'ended' ? true : undefined), {
    what: 'the stop-loss that was due',
    ...DEADLINE,
  });
  await waitFor(async () => ((await ready()).tradesAfter === null ? true : undefined), {
    what: 'nothing being waited for',
    ...DEADLINE,
  });
  await over(UPGRADE);
  await runtime.stop();
  await checkBooks(stack);
});

it('FM-18 a process that dies before the end of the upgrade is heard of waits again, and one whose files name none trades', async () => {
  await bot();
  await carried();
  await runtime.stop();
  runtime = await stack.startReady();
  await runtime.recovered();
  await prices(5);
  expect(await openBook(stack)).toEqual([]);
  await runtime.stop();
  stack.write({ tradesAfter: null });
  runtime = await stack.startReady();
  await trading();
});

it('FM-18 an order that was meant and not sent before the stack was carried is sent once the upgrade is over, and not before', async () => {
  const id = await bot();
  const sent = () => stack.sql(`select 1 from paper_orders where client_order_id like '%meant'`);
  const meant = () => stack.sql<{ state: string }>(`select state from orders where client_order_id like '%meant'`);
  await carried(() =>
    stack.sql(
      `update orders set state = 'pending', client_order_id = client_order_id || 'meant'
        where id = (select id from orders where state = 'cancelled' and type = 'limit' limit 1)`,
    ),
  );
  expect(await bots()).toMatchObject([{ id, state: 'running', resumed: true }]);
  await prices(5);
  expect([await sent(), await meant()]).toEqual([[], [{ state: 'pending' }]]);
  await over(UPGRADE);
  await waitFor(async () => ((await sent()).length === 1 ? true : undefined), {
    what: 'the order that was meant',
    ...DEADLINE,
  });
});

it('FM-18 a bot that this release could not have go on did not resume, though it is held', async () => {
  const id = await bot();
  await carried(() =>
    // Nobody reads it before the bot goes on.
    stack.sql(`update bots set grid = jsonb_set(grid, '{params,stopLoss}', '"no price"') where id = $1`, [id]),
  );
  expect(await bots()).toMatchObject([{ id, state: 'error', ran: true, resumed: false }]);
  expect(await openBook(stack)).toEqual([]);
});
