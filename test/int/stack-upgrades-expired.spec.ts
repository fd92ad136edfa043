import { randomUUID } from 'node:crypto';
import { OperationEntity, OperationStepEntity, ReleaseEntity, TenantEntity, UpgradeFailureEntity } from '#libs/db';
import { EXPIRE_AFTER_MS, expireOperations } from '#libs/tenants';
import { nextRelease } from '../support/next-release.js';
import { readyBackups } from '../support/ready-backups.js';
import { healthyProbes, stackWorld, type StackWorld } from '../support/stack-world.js';

jest.setTimeout(60_000);

let world: StackWorld;
let first: ReleaseEntity;
let second: ReleaseEntity;
const never = new AbortController().signal;
type RunOptions = NonNullable<Parameters<StackWorld['runner']>[0]>;

const db = () => world.database.dataSource.manager;
const tenant = (id: string): Promise<TenantEntity> => db().findOneByOrFail(TenantEntity, { id });
const operation = (id: string): Promise<OperationEntity> => db().findOneByOrFail(OperationEntity, { id });
const failures = (tenantId: string): Promise<UpgradeFailureEntity[]> => db().findBy(UpgradeFailureEntity, { tenantId });

beforeAll(async () => {
  world = await stackWorld();
  [first, second] = await nextRelease(world);
});
afterAll(() => world.close());

async function run(id: string, tenantId: string, options: RunOptions = {}): Promise<OperationEntity> {
  await world.runner({ backups: readyBackups, ...options }).run(id, tenantId, never);
  return operation(id);
}

/** Image of each of the stack's containers, as the engine has them. */
async function images({ id, slug }: { id: string; slug: string }): Promise<Record<string, string>> {
  const owner = { platform: world.database.platformId, tenant: id };
  const { containers } = await world.engine.observe(owner, { deadlineMs: 1_000 });
  return Object.fromEntries(
    containers.map(({ name, imageId }) => [name.slice(name.indexOf(slug) + slug.length + 1), imageId]),
  );
}

/** A stack that runs on the first release, and its upgrade to the second one, asked for. */
async function asked() {
  const { stack, operation: provision } = await world.stacks.create(await world.account(), { template: 'standard' });
  expect(await run(provision.id, stack.id)).toMatchObject({ state: 'done' });
  const operator = await world.operator();
  const upgrade = () => world.upgrades.upgrade(operator, stack.slug, { release: second.id });
  return { stack, operator, upgrade, id: (await upgrade()).operation.id };
}

/** What the worker does each minute, once that one is so late. */
async function expire(id: string): Promise<string[]> {
  const { deadlineAt } = await operation(id);
  const { dataSource } = world.database;
  const late = new Date(deadlineAt.getTime() + EXPIRE_AFTER_MS + 1_000);
  return (await expireOperations({ dataSource, queue: world.queue }, late)).map((ended) => ended.id);
}

/** Has an agent work on it until `probe` of the stack is asked, and end there as one that is stopped. */
async function runInto(id: string, tenantId: string, probe: 'ready' | 'served'): Promise<void> {
  const stop = new AbortController();
  const end = (): Promise<never> => {
    stop.abort(new Error('the agent is stopping'));
    return Promise.reject(new Error('the agent is stopping'));
  };
  const runner = world.runner({ backups: readyBackups, probes: { ...healthyProbes, [probe]: end } });
  await expect(runner.run(id, tenantId, stop.signal)).rejects.toThrow('the agent is stopping');
}

const ENDED = 'The agent that began this did not come to an end in time, so it was ended.';

it.each(['ready', 'served'] as const)(
  'FM-16 one that took its release over and that nobody ended goes back by itself (until %s), and is not tried again until it is fixed',
  async (probe) => {
    const { stack, operator, upgrade, id } = await asked();
    await runInto(id, stack.id, probe);
    expect(await tenant(stack.id)).toMatchObject({ releaseId: second.id });
    expect(await images(stack)).toEqual(second.images);
    expect(await expire(id)).toEqual([id]);
    // At once, in the same moment: nobody comes between.
    expect(await tenant(stack.id)).toMatchObject({ releaseId: first.id, epoch: 1 });
    const rollback = await db().findOneByOrFail(OperationEntity, { tenantId: stack.id, state: 'queued' });
    expect(rollback).toMatchObject({ kind: 'rollback', requestedBy: 'system:health-gate', input: { upgrade: id } });
    expect(await operation(id)).toMatchObject({
      state: 'failed',
      error: {
        code: 'DEADLINE_EXCEEDED',
        message: `${ENDED} The stack goes back to what it was.`,
        details: { why: 'nobody_ended', kind: 'upgrade', rollback: rollback.id },
      },
    });
    expect(await failures(stack.id)).toMatchObject([
      { fromRelease: first.id, toRelease: second.id, operationId: id, message: ENDED },
    ]);
    expect(await run(rollback.id, stack.id)).toMatchObject({ state: 'done', error: null });
    expect(await images(stack)).toEqual(first.images);
    expect(await tenant(stack.id)).toMatchObject({ releaseId: first.id, observed: 'running', reason: null });
    await expect(upgrade()).rejects.toMatchObject({ code: 'WRONG_STATE', details: { why: 'failed_before' } });
    expect(await world.releases.markFixed(operator, second.id)).toBe(1);
    expect(await run((await upgrade()).operation.id, stack.id)).toMatchObject({ state: 'done' });
  },
);

it('FM-16 an agent that is only slow does nothing against the way back', async () => {
  const { stack, id } = await asked();
  const { promise: hangs, resolve: letGo } = Promise.withResolvers<void>();
  const { promise: held, resolve: inReady } = Promise.withResolvers<void>();
  // Deaf to its signal, and it renews its lease.
  const probes = { ...healthyProbes, ready: () => (inReady(), hangs) };
  const slow = world.runner({ backups: readyBackups, probes, owner: randomUUID(), leaseSeconds: 2 });
  const working = slow.run(id, stack.id, never);
  await held;
  expect(await expire(id)).toEqual([id]);
  const rollback = await db().findOneByOrFail(OperationEntity, { tenantId: stack.id, state: 'queued' });
  expect(await run(rollback.id, stack.id)).toMatchObject({ kind: 'rollback', state: 'done' });
  const calls = world.engine.log.calls.length;
  letGo();
  await working;
  expect(world.engine.log.calls.length).toBe(calls);
  expect(await operation(id)).toMatchObject({ state: 'failed', error: { details: { rollback: rollback.id } } });
  expect(await tenant(stack.id)).toMatchObject({ releaseId: first.id, observed: 'running', reason: null });
  expect(await images(stack)).toEqual(first.images);
});

it.each([
  ['that no agent took up', 'nobody_began', () => Promise.resolve()],
  [
    'that ended in its backup',
    'nobody_ended',
    async (id: string, tenantId: string) => {
      const stop = new AbortController();
      const prove = (): Promise<never> => {
        stop.abort(new Error('the agent is stopping'));
        return Promise.reject(new Error('the agent is stopping'));
      };
      const runner = world.runner({ backups: { ...readyBackups, prove } });
      await expect(runner.run(id, tenantId, stop.signal)).rejects.toThrow('the agent is stopping');
    },
  ],
  [
    'that ended between its backup and what touches the stack',
    'nobody_ended',
    async (id: string, tenantId: string) => {
      const stop = new AbortController();
      const prove = (): Promise<string> => {
        stop.abort(new Error('the agent is stopping'));
        return Promise.resolve('proven');
      };
      const runner = world.runner({ backups: { ...readyBackups, prove } });
      await expect(runner.run(id, tenantId, stop.signal)).rejects.toThrow('the agent is stopping');
      const steps = await db().findBy(OperationStepEntity, { operationId: id, state: 'done' });
      expect(steps.map(({ phase }) => phase)).toContain('safeguard');
    },
  ],
])('FM-16 of one %s nothing is led back, and it may be asked for again', async (_which, why, begin) => {
  const { stack, upgrade, id } = await asked();
  const route = await world.folder.read(`${stack.slug}.yml`);
  await begin(id, stack.id);
  expect(await expire(id)).toEqual([id]);
  const { error } = await operation(id);
  expect(error).toMatchObject({ code: 'DEADLINE_EXCEEDED', details: { why } });
  expect(error?.message).toMatch(/Ask for it again/);
  expect(error?.details).not.toHaveProperty('rollback');
  expect(await db().countBy(OperationEntity, { tenantId: stack.id, kind: 'rollback' })).toBe(0);
  expect(await failures(stack.id)).toEqual([]);
  expect(await tenant(stack.id)).toMatchObject({ releaseId: first.id, observed: 'running', reason: null });
  expect(await images(stack)).toEqual(first.images);
  expect(await world.folder.read(`${stack.slug}.yml`)).toBe(route);
  expect(await run((await upgrade()).operation.id, stack.id)).toMatchObject({ state: 'done' });
});
