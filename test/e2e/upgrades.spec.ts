import { waitFor } from '#libs/async';
import type { Bot, OperationView, ReleaseList } from '#libs/contracts';
import { LABEL } from '#libs/engine';
import { ContainerEvents } from '../support/container-events.js';
import { booksOf, tradingBot } from '../support/data-plane.js';
import { docker, testImage } from '../support/engine.js';
import {
  anotherRelease,
  endsAtOnce,
  olderDatabase,
  resumesNoBot,
  sameAgain,
  type OtherDatabase,
} from '../support/releases.js';
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

const runtimeId = (): Promise<string> =>
  docker('inspect', '-f', '{{.Id}}', world.platform.service(stack.slug, 'runtime'));

/** What `work` gives, and which runtimes of the stack started and ended meanwhile: the one before, and the one it has now. */
async function runtimesOf<T>(
  work: () => Promise<T>,
): Promise<{ result: T; before: string; after: string; events: ContainerEvents }> {
  const before = await runtimeId();
  const events = new ContainerEvents({ [LABEL.tenant]: stack.id, [LABEL.service]: 'runtime' });
  try {
    const result = await work();
    const after = await runtimeId();
    await events.until('start', after);
    return { result, before, after, events };
  } finally {
    await events.end();
  }
}

/** Of a runtime that works unless another is given. */
async function another(version: string, over: { image?: string; database?: OtherDatabase } = {}): Promise<string> {
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

it('FM-16 an upgrade backs the stack up, changes its runtime alone and never has two of it, and the bot goes on', async () => {
  const next = await another('9.0.1');
  const [postgres, redis, runtime] = await Promise.all([
    startedAt('postgres'),
    startedAt('redis'),
    startedAt('runtime'),
  ]);
  const { result, before, after, events } = await runtimesOf(() =>
    world.platform.cli<OperationView>('tenant', 'upgrade', stack.slug, next),
  );
  const { code, document } = result;
  expect({ code, error: document.error }).toEqual({ code: 0, error: null });
  // The old one has ended before the new one starts: two would trade one key.
  expect(events.seen).toEqual([
    ['die', before],
    ['start', after],
  ]);
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

it('FM-16 a release whose runtime does not come up is rolled back by itself, without two at any time, and the bot goes on', async () => {
  const before = await release();
  const image = await endsAtOnce(testImage('runtime'));
  const bad = await another('9.0.2', { image });
  const { result: over, ...runtimes } = await runtimesOf(async () => {
    const { code, document } = await world.platform.cli<OperationView>('tenant', 'upgrade', stack.slug, bad);
    expect(code).not.toBe(0);
    const rollback = String((document.data.error?.details as { rollback?: string } | undefined)?.rollback);
    return stack.owner.operationOver(rollback);
  });
  expect(over).toMatchObject({ kind: 'rollback', state: 'done' });
  expect(runtimes.events.seen[0]).toEqual(['die', runtimes.before]);
  expect(runtimes.events.mostAtOnce(runtimes.before)).toBe(1);
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

/** What the stack's database says of itself, from inside its container, and its volume of that role. */
async function database(): Promise<{ server: string; files: string; volume: string; label: string }> {
  const container = world.platform.service(stack.slug, 'postgres');
  const mounts = await docker('inspect', '-f', '{{range .Mounts}}{{.Name}} {{end}}', container);
  const volume = mounts.split(' ').find((name) => name.includes('-data-')) ?? '';
  return {
    server: await world.platform.stackSql(stack.slug, 'show server_version'),
    files: await docker('exec', container, 'cat', '/var/lib/postgresql/data/PG_VERSION'),
    volume,
    label: await docker('volume', 'inspect', '-f', '{{index .Labels "aviary.database-major"}}', volume),
  };
}

it('FM-18 a release that says another PostgreSQL than its image has is not made', async () => {
  const given = ['--like', first, '--version', '9.0.3', '--database-major', '18'];
  const { code, document } = await world.platform.cli('release', 'make', ...given);
  expect([code, document.error?.code]).toEqual([5, 'WRONG_STATE']);
  expect(document.error?.message).toMatch(/has PostgreSQL 17, and the release is for PostgreSQL 18\./);
});

it('FM-18 bots that could not go on on another PostgreSQL are found out while they are held, and the stack goes on on its old volumes', async () => {
  const image = await resumesNoBot(testImage('runtime'));
  const bad = await another('9.0.6', { image, database: olderDatabase() });
  const [was, before] = [await database(), await booksOf(world.platform, stack.slug)];
  const { code, document } = await world.platform.cli<OperationView>('tenant', 'upgrade', stack.slug, bad);
  expect(code).not.toBe(0);
  const { error, steps } = document.data;
  expect(steps.find(({ phase, action }) => phase === 'carry' && action === null)?.state).toBe('done');
  expect(error?.message).toMatch(/^0 of 1 bots resumed: Something unforeseen stopped the bot\./);
  const rollback = String((error?.details as { rollback?: string } | undefined)?.rollback);
  expect(await stack.owner.operationOver(rollback)).toMatchObject({ kind: 'rollback', state: 'done' });
  await world.served(stack);
  expect([await release(), await database()]).toEqual([first, was]);
  await waitFor(async () => ((await seenBot()).state === 'running' ? true : undefined), { what: 'the bot', ...SOON });
  await trades();
  const after = await booksOf(world.platform, stack.slug);
  expect(before.traded.filter((trade) => !after.traded.includes(trade))).toEqual([]);
  expect((await world.platform.cli('release', 'withdraw', bad)).code).toBe(0);
});

it('FM-18 a stack goes down to PostgreSQL 15 and up to 17 again, its data in new volumes each time, and the bot goes on with its books', async () => {
  const older = await another('9.0.5', { database: olderDatabase() });
  let before = await booksOf(world.platform, stack.slug);
  let was = await database();
  expect(was).toMatchObject({ server: expect.stringMatching(/^17\./) as string, files: '17', label: '17' });
  for (const [from, to, id] of [
    [17, 15, older],
    [15, 17, first],
  ] as const) {
    const { code, document } = await world.platform.cli<OperationView>('tenant', 'upgrade', stack.slug, id);
    expect({ to, code, error: document.error }).toEqual({ to, code: 0, error: null });
    const phases = document.data.steps.filter(({ action }) => action === null);
    expect(phases.map(({ phase, state }) => `${phase} ${state}`)).toEqual(
      expect.arrayContaining(['quiesce done', 'carry done', 'adopt done']),
    );
    const told = (name: string) => phases.find(({ phase }) => phase === name)?.detail;
    expect(told('carry')).toMatch(new RegExp(`rows in \\d+ tables, from PostgreSQL ${from} to ${to}$`));
    expect(told('health')).toBe('1 of 1 bots resumed, ledger consistent');
    await world.served(stack);
    const now = await database();
    expect(now).toMatchObject({
      server: expect.stringMatching(new RegExp(`^${to}\\.`)) as string,
      files: String(to),
      label: String(to),
    });
    expect(now.volume).not.toBe(was.volume);
    expect((await seenBot()).state).toBe('running');
    await trades();
    const after = await booksOf(world.platform, stack.slug);
    expect(before.traded.filter((trade) => !after.traded.includes(trade))).toEqual([]);
    [was, before] = [now, after];
  }
});
