import { waitFor } from '#libs/async';
import type { Bot, OperationView, ReleaseList } from '#libs/contracts';
import { booksOf, tradingBot } from '../support/data-plane.js';
import { docker, testImage } from '../support/engine.js';
import { anotherRelease, endsAtOnce, resumesNoBot, sameAgain } from '../support/releases.js';
import { PlatformWorld, SOON, type RunningStack } from './platform/world.js';

jest.setTimeout(300_000);

let world: PlatformWorld;
let stack: RunningStack;
let bot: string;
let first: string;
const made: string[] = [];

const release = async (): Promise<string> =>
  world.platform.sql(`select release_id from tenants where id = '${stack.id}'`);
const startedAt = (service: 'postgres' | 'redis' | 'runtime'): Promise<string> =>
  docker('inspect', '-f', '{{.State.StartedAt}} {{.Image}}', world.platform.service(stack.slug, service));
const seenBot = async (): Promise<Bot> =>
  (await stack.owner.ask<Bot>(stack.owner.dashboardHost(stack.slug), `/api/v1/bots/${bot}`)).body;
const trades = (): Promise<unknown> =>
  waitFor(async () => ((await seenBot()).openOrders.total > 0 ? true : undefined), { what: 'open orders', ...SOON });

/** Of a runtime that works unless another is given. */
async function another(version: string, over: { image?: string; databaseMajor?: number } = {}): Promise<string> {
  const image = over.image ?? (await sameAgain(testImage('runtime'), version));
  made.push(image);
  return anotherRelease(world.platform, { version, like: first, ...over, image });
}

beforeAll(async () => {
  world = await PlatformWorld.open();
  stack = await world.runningStack();
  bot = await tradingBot(world.platform, stack);
  await trades();
  first = await release();
}, 400_000);
afterAll(async () => {
  await world?.platform.stop();
  for (const image of made) {
    await docker('rmi', image);
  }
}, 200_000);

it('an upgrade backs the stack up, changes its runtime alone, and the bot goes on', async () => {
  const next = await another('9.0.1');
  const [postgres, redis, runtime] = await Promise.all([
    startedAt('postgres'),
    startedAt('redis'),
    startedAt('runtime'),
  ]);
  const { code, document } = await world.platform.cli<OperationView>('tenant', 'upgrade', stack.slug, next);
  expect({ code, error: document.error }).toEqual({ code: 0, error: null });
  const done = document.data;
  await world.served(stack);
  expect(done.outageMs).toBeGreaterThan(0);
  expect(done.steps.filter(({ action }) => action === null).map(({ phase, state }) => `${phase} ${state}`)).toEqual([
    'preflight done',
    'safeguard done',
    'unpublish done',
    'quiesce skipped',
    'carry skipped',
    'adopt done',
    'prepare done',
    'converge done',
    'health done',
    'publish done',
  ]);
  expect(await Promise.all([startedAt('postgres'), startedAt('redis')])).toEqual([postgres, redis]);
  expect(await startedAt('runtime')).not.toBe(runtime);
  expect(await release()).toBe(next);
  const told = done.steps.find(({ phase, action }) => phase === 'health' && action === null)?.detail;
  expect(told).toBe('1 of 1 bots resumed, ledger consistent');
  expect((await seenBot()).state).toBe('running');
  await trades();
  const listed = await world.platform.cli<ReleaseList>('release', 'list');
  expect(listed.document.data.items.find(({ id }) => id === next)).toMatchObject({ state: 'candidate', stacks: 1 });
});

it('FM-16 a release whose runtime does not come up is rolled back by itself, and the bot goes on', async () => {
  const before = await release();
  const image = await endsAtOnce(testImage('runtime'));
  const bad = await another('9.0.2', { image });
  const { code, document } = await world.platform.cli<OperationView>('tenant', 'upgrade', stack.slug, bad);
  expect(code).not.toBe(0);
  const rollback = String((document.data.error?.details as { rollback?: string } | undefined)?.rollback);
  const over = await stack.owner.operationOver(rollback);
  expect(over).toMatchObject({ kind: 'rollback', state: 'done' });
  await world.served(stack);
  expect(await release()).toBe(before);
  expect((await seenBot()).state).toBe('running');
  await trades();
  const again = await world.platform.cli('tenant', 'upgrade', stack.slug, bad);
  expect(again.document.error?.message).toContain('failed');
  expect((await world.platform.cli('release', 'withdraw', bad)).code).toBe(0);
});

it('FM-16 a release that starts and answers, and whose bots do not resume, is rolled back with the counts, and the bot goes on', async () => {
  const before = await release();
  const image = await resumesNoBot(testImage('runtime'));
  const bad = await another('9.0.4', { image });
  const { code, document } = await world.platform.cli<OperationView>('tenant', 'upgrade', stack.slug, bad);
  expect(code).not.toBe(0);
  const { error, steps } = document.data;
  expect(error?.message).toMatch(/^0 of 1 bots resumed: Something unforeseen stopped the bot\./);
  expect(error).toMatchObject({
    code: 'HEALTH_GATE_FAILED',
    details: { why: 'not_resumed', expected: 1, resumed: 0, bots: [{ id: bot }], ledger: [] },
  });
  expect(JSON.stringify(error?.details)).toContain('this release has no bot go on');
  expect(steps.find(({ phase, action }) => phase === 'safeguard' && action === null)?.detail).toMatch(
    /; bots that run: 1$/,
  );
  const rollback = String((error?.details as { rollback?: string } | undefined)?.rollback);
  expect(await stack.owner.operationOver(rollback)).toMatchObject({ kind: 'rollback', state: 'done' });
  await world.served(stack);
  expect(await release()).toBe(before);
  await waitFor(async () => ((await seenBot()).state === 'running' ? true : undefined), { what: 'the bot', ...SOON });
  await trades();
  expect((await world.platform.cli('release', 'withdraw', bad)).code).toBe(0);
});

it('and back to the release before, where the books still agree', async () => {
  expect((await world.platform.cli('tenant', 'upgrade', stack.slug, first)).code).toBe(0);
  await world.served(stack);
  expect(await release()).toBe(first);
  await trades();
  await booksOf(world.platform, stack.slug);
});

it('FM-18 to a release of another major version the data goes into a new volume, and the bot goes on with its books', async () => {
  // The server is the same, since images of two are not at hand: all that carries goes by what releases say.
  const next = await another('9.0.3', { databaseMajor: 18 });
  const volume = async (): Promise<string> => {
    const mounts = await docker(
      'inspect',
      '-f',
      '{{range .Mounts}}{{.Name}} {{end}}',
      world.platform.service(stack.slug, 'postgres'),
    );
    return mounts.split(' ').find((name) => name.includes('-data-')) ?? '';
  };
  const before = await booksOf(world.platform, stack.slug);
  const old = await volume();
  const { code, document } = await world.platform.cli<OperationView>('tenant', 'upgrade', stack.slug, next);
  expect({ code, error: document.error }).toEqual({ code: 0, error: null });
  const phases = document.data.steps.filter(({ action }) => action === null);
  expect(phases.map(({ phase, state }) => `${phase} ${state}`)).toEqual(
    expect.arrayContaining(['quiesce done', 'carry done', 'adopt done']),
  );
  expect(phases.find(({ phase }) => phase === 'carry')?.detail).toMatch(/rows in \d+ tables, from PostgreSQL 17 to 18/);
  await world.served(stack);
  expect(await volume()).not.toBe(old);
  expect(await docker('volume', 'inspect', '-f', '{{index .Labels "aviary.database-major"}}', await volume())).toBe(
    '18',
  );
  expect((await seenBot()).state).toBe('running');
  await trades();
  const after = await booksOf(world.platform, stack.slug);
  expect(before.traded.filter((trade) => !after.traded.includes(trade))).toEqual([]);
  // And back likewise: the data of now, not the volume of then.
  expect((await world.platform.cli('tenant', 'upgrade', stack.slug, first)).code).toBe(0);
  await world.served(stack);
  expect(await volume()).not.toBe(old);
  const back = await booksOf(world.platform, stack.slug);
  expect(after.traded.filter((trade) => !back.traded.includes(trade))).toEqual([]);
  await trades();
});
