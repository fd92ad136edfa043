import { randomUUID } from 'node:crypto';
import { waitFor } from '#libs/async';
import {
  ACTIVITY_AUDIENCE,
  HOLD_AUDIENCE,
  type Bot,
  type BotEventList,
  type ErrorBody,
  type Hold,
  type HoldAnswer,
  type Market,
  type OrderList,
  type Overview,
} from '#libs/contracts';
import { newSigningKey, signToken } from '#libs/crypto';
import { presetParams } from '#libs/trading';
import { TestRedis, TestStack, type RuntimeProcess } from '../support/runtime.js';

jest.setTimeout(60_000);

const redis = new TestRedis();
let stack: TestStack;
let runtime: RuntimeProcess;

beforeAll(async () => {
  await redis.start();
});
beforeEach(async () => {
  stack = await TestStack.create({ redis });
  // A market that moves at a process's start alone while a test looks, and then by the same steps in every run: those
  // of this seed cross no line of the grid.
  await stack.provision({ tickMs: 60_000, partialChance: 0, seed: 1 });
  await stack.sql('delete from paper_prices');
  runtime = await stack.startReady();
});
afterEach(() => stack.close());
afterAll(() => redis.close());

async function ask(hold: unknown, { key = stack.stackKey, audience = HOLD_AUDIENCE, issuer = stack.spec.tenant } = {}) {
  const token = await signToken(key, { hold }, { issuer, audience, ttlSeconds: 30 });
  const headers = { authorization: `Stack ${token}` };
  return runtime.request<HoldAnswer>('POST', '/hold', { headers, anonymous: true });
}

async function hold(hold: Hold): Promise<HoldAnswer> {
  const { status, body } = await ask(hold);
  expect([status, body]).toEqual([200, expect.anything()]);
  return body;
}

async function bot(): Promise<Bot> {
  const { pairs } = await runtime.call<Market>('GET', '/market');
  const btc = pairs[0];
  if (!btc) {
    throw new Error('no market');
  }
  const params = presetParams('wide', btc, btc.price, '1000');
  const made = await runtime.call<Bot>('POST', '/bots', { pair: 'BTC/USDT', params, start: true });
  await waitFor(async () => ((await ordersOf(made.id)).length >= 8 ? true : undefined), {
    what: 'the orders of a new bot',
    deadlineMs: 20_000,
  });
  return made;
}

const ordersOf = async (id: string): Promise<string[]> =>
  (await runtime.call<OrderList>('GET', `/bots/${id}/orders?state=open&limit=100`)).items
    .map(({ side, price, quantity }) => `${side} ${quantity} at ${price}`)
    .toSorted();
const atExchange = async (): Promise<number> => {
  const [row] = await stack.sql<{ n: number }>(`select count(*)::int as n from paper_orders where state = 'open'`);
  return row?.n ?? -1;
};
const stateOf = async (id: string): Promise<string> => (await runtime.call<Bot>('GET', `/bots/${id}`)).state;
const saidOf = async (id: string): Promise<(string | undefined)[]> =>
  (await runtime.call<BotEventList>('GET', `/bots/${id}/events`)).items.map(({ code }) => code);

describe('a hold by the platform', () => {
  it('FM-25 takes back open orders before a restart, and the next process places the same again', async () => {
    const { id } = await bot();
    const before = await ordersOf(id);
    expect(await hold({ kind: 'restart', seconds: 60 })).toEqual({ held: 1, openOrders: 0 });
    expect([await atExchange(), await stateOf(id)]).toEqual([0, 'running']);
    const refused = await runtime.request<ErrorBody>('POST', `/api/v1/bots`, {
      body: { pair: 'BTC/USDT', params: (await runtime.call<Bot>('GET', `/bots/${id}`)).params, start: true },
    });
    expect([refused.status, refused.body.code]).toEqual([503, 'UNAVAILABLE']);
    await runtime.stop();
    runtime = await stack.startReady();
    await runtime.recovered();
    expect(await ordersOf(id)).toEqual(before);
    expect(await atExchange()).toBe(before.length);
    expect((await saidOf(id)).filter((code) => code?.startsWith('bot.'))).toEqual([
      'bot.released',
      'bot.held_restart',
      'bot.started',
      'bot.created',
    ]);
  });

  it('FM-25 lets bots go on when the restart does not come', async () => {
    await stack.sql(`update settings set value = value || '{"tickMs": 500}' where key = 'price_source'`);
    await runtime.stop();
    runtime = await stack.startReady();
    const { id } = await bot();
    expect((await hold({ kind: 'restart', seconds: 1 })).openOrders).toBe(0);
    await waitFor(async () => ((await ordersOf(id)).length > 0 ? true : undefined), {
      what: 'orders after the hold',
      deadlineMs: 15_000,
    });
  });

  it('FM-27 a nearly full disk takes back orders, refuses what is new with its reason, outlasts a restart and ends', async () => {
    const { id } = await bot();
    const paused = await bot();
    await runtime.call('POST', `/bots/${paused.id}/pause`, {});
    const before = await ordersOf(id);
    expect(await hold({ kind: 'disk', percent: 96 })).toEqual({ held: 1, openOrders: 0 });
    expect(await atExchange()).toBe(0);
    expect([await stateOf(id), await stateOf(paused.id)]).toEqual(['running', 'paused']);

    const refusals = async (): Promise<unknown[]> =>
      Promise.all(
        [
          { path: '/bots', body: { pair: 'BTC/USDT', params: paused.params, start: false } },
          { path: `/bots/${paused.id}/resume`, body: {} },
          { path: '/tokens', body: { name: 'late', scope: 'read' } },
        ].map(async ({ path, body }) => {
          const answer = await runtime.request<ErrorBody>('POST', `/api/v1${path}`, { body });
          return [answer.status, answer.body.code];
        }),
      );
    const no = [507, 'DISK_FULL'];
    expect(await refusals()).toEqual([no, no, no]);
    const need = async () =>
      (await runtime.call<Overview>('GET', '/overview')).needs.find(({ kind }) => kind === 'disk_full');
    expect(await need()).toMatchObject({ code: 'need.disk_full', params: { percent: '96' } });
    const since = (await need())?.since;

    await runtime.stop();
    runtime = await stack.startReady();
    await runtime.recovered();
    expect(await atExchange()).toBe(0);
    expect(await refusals()).toEqual([no, no, no]);
    expect(await need()).toMatchObject({ since });
    // Said again each minute, it costs no row.
    const versions = () => stack.sql(`select xmin, value from settings where key = 'disk_hold'`);
    const row = await versions();
    await hold({ kind: 'disk', percent: 97 });
    expect(await versions()).toEqual(row);
    expect(await need()).toMatchObject({ params: { percent: '97' } });
    // Ending is never refused: it gives room.
    await runtime.call('POST', `/bots/${paused.id}/stop`, { onExit: 'keep' });

    expect(await hold({ kind: 'disk', percent: null })).toMatchObject({ held: 0 });
    expect(await need()).toBeUndefined();
    expect(await ordersOf(id)).toEqual(before);
    await runtime.call('POST', '/tokens', { name: 'in time', scope: 'read' });
  });

  it('is taken from the platform alone, and only as signed', async () => {
    const { id } = await bot();
    const signed = { kind: 'disk', percent: 99 };
    expect((await ask(signed, { key: newSigningKey() })).status).toBe(401);
    expect((await ask(signed, { key: stack.gateKey })).status).toBe(401);
    expect((await ask(signed, { audience: ACTIVITY_AUDIENCE })).status).toBe(401);
    expect((await ask(signed, { issuer: randomUUID() })).status).toBe(401);
    expect((await ask({ kind: 'disk' })).status).toBe(422);
    expect((await ask({ kind: 'restart', seconds: 1e9 })).status).toBe(422);
    const person = await runtime.request('POST', '/hold', { body: signed });
    expect(person.status).toBe(401);
    expect((await ordersOf(id)).length).toBeGreaterThan(0);
  });
});
