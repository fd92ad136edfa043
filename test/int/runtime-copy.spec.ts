import { randomUUID } from 'node:crypto';
import { waitFor } from '#libs/async';
import type { Bot, ErrorBody, Market } from '#libs/contracts';
import { presetParams } from '#libs/trading';
import { checkBooks, openBook } from '../support/runtime-books.js';
import { TestRedis, TestStack, type RuntimeProcess } from '../support/runtime.js';

jest.setTimeout(60_000);

const redis = new TestRedis();
let stack: TestStack;
beforeAll(() => redis.start());
beforeEach(async () => {
  stack = await TestStack.create({ redis });
  await stack.provision({ tickMs: 50, partialChance: 0, seed: 1 });
});
afterEach(() => stack.close());
afterAll(() => redis.close());

async function bot(runtime: RuntimeProcess): Promise<Bot> {
  const { pairs } = await runtime.call<Market>('GET', '/market');
  const params = presetParams('wide', pairs[0]!, pairs[0]!.price, '1000');
  const before = (await openBook(stack)).length;
  const made = await runtime.call<Bot>('POST', '/bots', { pair: 'BTC/USDT', params, start: true });
  await waitFor(async () => ((await openBook(stack)).length >= before + 4 ? true : undefined), {
    what: 'the orders of a new bot',
    deadlineMs: 20_000,
  });
  return made;
}

/** What is loaded is that of the stack as it is now; the next runtime is that of its copy, which may not trade. */
function becomesCopy(): void {
  stack.write({
    tenant: randomUUID(),
    clonedFrom: stack.spec.tenant,
    tradingHeldSince: '2026-11-20T10:00:00.000Z',
    provisioningGeneration: 0,
  });
}

const trades = async () => (await stack.sql<{ n: string }>('select count(*) as n from paper_trades'))[0]?.n;
const phaseOf = async (id: string) =>
  (await stack.sql<{ phase: string }>(`select grid ->> 'phase' as phase from bots where id = $1`, [id]))[0]?.phase;

/** As many other prices as the bots of the stack are told of. */
async function prices(runtime: RuntimeProcess, count: number): Promise<void> {
  const at = async () => (await runtime.call<Market>('GET', '/market')).pairs[0]?.price;
  for (let seen = 0; seen < count; seen += 1) {
    const price = await at();
    await waitFor(async () => ((await at()) === price ? undefined : true), { what: 'a new price', deadlineMs: 10_000 });
  }
}

const refusal = async (runtime: RuntimeProcess, path: string, body?: unknown): Promise<string> =>
  (await runtime.request<ErrorBody>('POST', `/api/v1${path}`, body === undefined ? {} : { body })).body.code;

it('a copy makes the data its own once: bots paused, no order open, no token valid, and no way to trade until that is allowed', async () => {
  const original = await stack.startReady();
  const { id } = await bot(original);
  const { id: guarded } = await bot(original);
  await original.call('POST', '/tokens', { name: 'program', scope: 'trade' });
  await original.stop();
  // Any price sets it off, in whatever acts on prices.
  await stack.sql(`update bots set grid = jsonb_set(grid, '{params,stopLoss}', '"100000000"') where id = $1`, [
    guarded,
  ]);
  becomesCopy();
  const copy = await stack.startReady();
  expect(await copy.call<Bot>('GET', `/bots/${id}`)).toMatchObject({ state: 'paused' });
  expect(await openBook(stack)).toEqual([]);
  expect(await copy.call('GET', '/tokens')).toEqual({ items: [] });
  expect(await refusal(copy, `/bots/${id}/resume`)).toBe('TRADING_HELD');
  expect(await refusal(copy, `/bots/${id}/stop`, { onExit: 'sell' })).toBe('TRADING_HELD');
  const { pairs } = await copy.call<Market>('GET', '/market');
  const params = presetParams('wide', pairs[0]!, pairs[0]!.price, '1000');
  expect(await refusal(copy, '/bots', { pair: 'BTC/USDT', params, start: true })).toBe('TRADING_HELD');
  // Prices go on, and whatever they would set off does not.
  const before = await trades();
  await prices(copy, 10);
  expect([await openBook(stack), await trades(), await phaseOf(guarded)]).toEqual([[], before, 'active']);
  await copy.stop();
  await checkBooks(stack);

  // Made its own once: it is not done again, and what was loaded is found by its own id.
  stack.write({ tradingHeldSince: null });
  const allowed = await stack.startReady();
  expect(await allowed.call<Bot>('GET', `/bots/${id}`)).toMatchObject({ state: 'paused' });
  // Allowed is not resumed: what guards the original's bot is not to sell a second time here.
  await prices(allowed, 10);
  expect([await openBook(stack), await trades(), await phaseOf(guarded)]).toEqual([[], before, 'active']);
  await allowed.call('POST', `/bots/${guarded}/resume`);
  await waitFor(async () => ((await phaseOf(guarded)) === 'ended' ? true : undefined), {
    what: 'the stop-loss of a bot that goes on',
    deadlineMs: 20_000,
  });
  await allowed.call('POST', `/bots/${id}/resume`);
  await waitFor(async () => ((await openBook(stack)).length > 0 ? true : undefined), {
    what: 'orders of the bot that goes on',
    deadlineMs: 20_000,
  });
  await allowed.stop();
  await checkBooks(stack);
});

it('a bot that was ending ends with what it has: it sells nothing in the copy, nor once that may trade', async () => {
  const original = await stack.startReady();
  const { id } = await bot(original);
  await original.stop();
  // As a backup finds it between the cancels of its grid and the order that sells at the end.
  await stack.sql(
    `update bots set grid = grid || '{"phase": "ending", "exit": {"reason": "user", "sell": true, "price": "1"}}'`,
  );
  becomesCopy();
  const before = await trades();
  const ended = (runtime: RuntimeProcess) =>
    waitFor(async () => ((await runtime.call<Bot>('GET', `/bots/${id}`)).state === 'stopped' ? true : undefined), {
      what: 'the end of the bot',
      deadlineMs: 20_000,
    });
  const copy = await stack.startReady();
  await ended(copy);
  const pending = `select id from orders where state = 'pending'`;
  expect([await openBook(stack), await trades(), await stack.sql(pending)]).toEqual([[], before, []]);
  await copy.stop();
  stack.write({ tradingHeldSince: null });
  const allowed = await stack.startReady();
  await ended(allowed);
  await prices(allowed, 5);
  expect([await openBook(stack), await trades(), await stack.sql(pending)]).toEqual([[], before, []]);
  await allowed.stop();
  await checkBooks(stack);
});

/** What the log of the stack says of that bot being in a copy. */
const warnedOf = async (id: string) =>
  stack.sql<{ kind: string; text: string }>(
    `select kind, text from events where bot_id = $1 and text like '%copy of another%' order by id`,
    [id],
  );
const adopted = (id: string) =>
  stack.sql(`select from bots where id = $1 and adopted_at is not null and grid -> 'paused' = 'true'`, [id]);

it('each bot that was in the market is told of in the log: what ran, what was paused, and what was ending', async () => {
  const original = await stack.startReady();
  const [runs, waits, ends] = [await bot(original), await bot(original), await bot(original)];
  await original.call('POST', `/bots/${waits.id}/pause`);
  await original.stop();
  await stack.sql(
    `update bots set grid = grid || '{"phase": "ending", "exit": {"reason": "user", "sell": true, "price": "1"}}' where id = $1`,
    [ends.id],
  );
  becomesCopy();
  await (await stack.startReady()).stop();
  expect(await warnedOf(runs.id)).toMatchObject([
    { kind: 'bot.paused', text: expect.stringContaining('not until it is resumed') as string },
  ]);
  expect(await warnedOf(waits.id)).toMatchObject([
    {
      kind: 'bot.adopted',
      text: expect.stringContaining('stop-loss and take-profit of this bot do nothing') as string,
    },
  ]);
  expect(await warnedOf(ends.id)).toMatchObject([{ text: expect.stringContaining('ends with what it has') as string }]);
});

it('a copy that a runtime of before made its own has its bots set aside by the next, as long as it may not trade', async () => {
  const original = await stack.startReady();
  const { id } = await bot(original);
  await original.stop();
  becomesCopy();
  await (await stack.startReady()).stop();
  // As that one left it.
  await stack.sql('update bots set adopted_at = null');
  await stack.sql(`delete from events where text like '%copy of another%'`);
  await (await stack.startReady()).stop();
  expect([await adopted(id), (await warnedOf(id)).length]).toMatchObject([[{}], 1]);
  await (await stack.startReady()).stop();
  expect(await warnedOf(id)).toHaveLength(1);
  // Of one that may trade a person may have had them go on.
  await stack.sql('update bots set adopted_at = null');
  stack.write({ tradingHeldSince: null });
  await (await stack.startReady()).stop();
  expect(await adopted(id)).toEqual([]);
});

it('whatever asks, no order gets past the exchange of a stack that may not trade', async () => {
  const original = await stack.startReady();
  const { id } = await bot(original);
  await original.stop();
  becomesCopy();
  await (await stack.startReady()).stop();
  // As if something had got by all that keeps it from running: it runs, and an order is meant and not sent.
  await stack.sql(`update bots set state = 'running', grid = jsonb_set(grid, '{paused}', 'false')`);
  const [meant] = await stack.sql(
    `update orders set state = 'pending', client_order_id = client_order_id || 'x'
      where id = (select id from orders where state = 'cancelled' and type = 'limit' limit 1) returning id`,
  );
  expect(meant).toBeDefined();
  const copy = await stack.startReady();
  await waitFor(async () => ((await copy.call<Bot>('GET', `/bots/${id}`)).state === 'error' ? true : undefined), {
    what: 'the bot being stopped by its error',
    deadlineMs: 20_000,
  });
  expect(await openBook(stack)).toEqual([]);
});

it('FM-15 only the database it is a copy of is made its own', async () => {
  const original = await stack.startReady();
  await original.stop();
  const { tenant } = stack.spec;
  stack.write({ tenant: randomUUID(), clonedFrom: randomUUID(), provisioningGeneration: 0 });
  const copy = await stack.start();
  await waitFor(
    async () =>
      (await copy.request<ErrorBody>('GET', '/ready', { anonymous: true })).body.code === 'DATA_MISSING'
        ? true
        : undefined,
    {
      what: 'the refusal of a foreign database',
      deadlineMs: 20_000,
    },
  );
  expect(await stack.sql('select tenant from stack')).toEqual([{ tenant }]);
});
