import { OperationEntity, TenantEntity, UpgradeFailureEntity } from '#libs/db';
import { EXPIRE_AFTER_MS, expireOperations, stackNames } from '#libs/tenants';
import type { BackedUpStack, BackupWorld } from '../support/backup-world.js';
import { Majors, WHOLE } from '../support/majors.js';
import { healthyProbes } from '../support/stack-world.js';

// Upgrades that carry data to another major version, whose agents all end and which nobody goes on with.

jest.setTimeout(120_000);

let majors: Majors;
let world: BackupWorld;
beforeAll(async () => {
  majors = await Majors.start();
  ({ world } = majors);
});
afterAll(() => majors.close());
afterEach(() => world.asUsual());

const db = () => world.world.database.dataSource.manager;
const rowOf = (id: string): Promise<TenantEntity> => db().findOneByOrFail(TenantEntity, { id });
const operationOf = (id: string): Promise<OperationEntity> => db().findOneByOrFail(OperationEntity, { id });

type Probes = NonNullable<NonNullable<Parameters<BackupWorld['runner']>[0]>['probes']>;
type End = () => Promise<never>;

/** What its runtime reads in its files that it waits for before it trades. */
function waitsFor({ slug }: BackedUpStack): unknown {
  const name = stackNames(world.world.database.platformId, slug).secrets('runtime');
  return (JSON.parse(world.world.engine.fileIn(name, 'spec.json') ?? '{}') as { tradesAfter?: unknown }).tradesAfter;
}

/** Whose upgrade came as far as the probe that ends its agent. */
async function upgradedInto(probes: (end: End) => Partial<Probes>) {
  const stack = await majors.stackOn(majors.fifteen);
  const { operation } = await world.world.upgrades.upgrade(await world.world.operator(), stack.slug, {
    release: majors.seventeen.id,
  });
  const stop = new AbortController();
  const end: End = () => {
    stop.abort(new Error('the agent is stopping'));
    return Promise.reject(new Error('the agent is stopping'));
  };
  const runner = world.runner({ probes: { ...healthyProbes, ...probes(end) } });
  await expect(runner.run(operation.id, stack.id, stop.signal)).rejects.toThrow('the agent is stopping');
  const adopted = { releaseId: majors.seventeen.id, epoch: 2, nextEpoch: null, carriedEpochs: [1] };
  expect(await rowOf(stack.id)).toMatchObject(adopted);
  return { stack, id: operation.id, adopted };
}

/** What the worker does each minute, once that one is so late. */
async function expire(id: string): Promise<void> {
  const { deadlineAt } = await operationOf(id);
  const { dataSource } = world.world.database;
  const late = new Date(deadlineAt.getTime() + EXPIRE_AFTER_MS + 1_000);
  expect(await expireOperations({ dataSource, queue: world.world.queue }, late)).toMatchObject([{ id }]);
}

it('FM-18 one that nobody ended behind its adoption goes back to its release and its volumes, with all of its data', async () => {
  const { stack, id } = await upgradedInto((end) => ({ ready: end }));
  expect(waitsFor(stack)).toBe(id);
  await expire(id);
  // At once, in the same moment, and what was filled counts as half-filled.
  const back = { releaseId: majors.fifteen.id, epoch: 1, nextEpoch: 2, keptEpochs: [], carriedEpochs: [] };
  expect(await rowOf(stack.id)).toMatchObject(back);
  expect(await db().findBy(UpgradeFailureEntity, { tenantId: stack.id })).toMatchObject([
    { fromRelease: majors.fifteen.id, toRelease: majors.seventeen.id, operationId: id },
  ]);
  const { id: rollback } = await db().findOneByOrFail(OperationEntity, { tenantId: stack.id, state: 'queued' });
  expect(await operationOf(id)).toMatchObject({ state: 'failed', error: { details: { rollback } } });
  expect(await world.run(rollback, stack.id)).toMatchObject({ kind: 'rollback', state: 'done', error: null });
  expect(await majors.dataOf(stack)).toMatchObject({ ...WHOLE, major: 15 });
  expect(await rowOf(stack.id)).toMatchObject({ ...back, observed: 'running', reason: null });
  expect(world.leftOver(stack)).toEqual([]);
  // What was half filled goes with the next good backup.
  expect((await world.backUp(stack)).backup).toMatchObject({ state: 'verified' });
  expect(await rowOf(stack.id)).toMatchObject({ ...back, nextEpoch: null });
});

it('one that may trade by then stays where it was brought, and says so', async () => {
  const { stack, id, adopted } = await upgradedInto((end) => ({
    hold: (...asked) => (asked[2].kind === 'upgrade' ? end() : healthyProbes.hold(...asked)),
  }));
  expect((await operationOf(id)).input).toMatchObject({ settled: true });
  await expire(id);
  expect(await rowOf(stack.id)).toMatchObject(adopted);
  const { error } = await operationOf(id);
  expect(error?.details).not.toHaveProperty('rollback');
  expect(error?.message).toMatch(/The stack is on its new release and stays there\.$/);
  expect(await db().countBy(UpgradeFailureEntity, { tenantId: stack.id })).toBe(0);
  expect(await db().countBy(OperationEntity, { tenantId: stack.id, state: 'queued' })).toBe(0);
});
