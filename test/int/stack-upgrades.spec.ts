import { IsNull } from 'typeorm';
import type { Accepted } from '#libs/contracts';
import {
  AuditEntryEntity,
  newId,
  OperationEntity,
  OperationStepEntity,
  ReleaseEntity,
  TenantEntity,
  UpgradeFailureEntity,
} from '#libs/db';
import type { StackBackups } from '#libs/orchestrator';
import { IMAGES_OF_RELEASES } from '../../apps/agent/src/host/old-images.js';
import { readyBackups } from '../support/ready-backups.js';
import { nextRelease } from '../support/next-release.js';
import { healthyProbes, stackWorld, type StackWorld } from '../support/stack-world.js';

jest.setTimeout(60_000);

let world: StackWorld;
let first: ReleaseEntity;
let second: ReleaseEntity;
const never = new AbortController().signal;
/** What was backed up, by stack; upgrades here are about what comes after. */
const backedUp: string[] = [];
const backups: StackBackups = {
  ...readyBackups,
  dump: ({ facts }) => Promise.resolve(`${backedUp.push(facts.slug)} dumped`),
};
type RunOptions = NonNullable<Parameters<StackWorld['runner']>[0]>;
type Owner = Awaited<ReturnType<StackWorld['account']>>;

const db = () => world.database.dataSource.manager;
const tenant = (id: string): Promise<TenantEntity> => db().findOneByOrFail(TenantEntity, { id });
const operation = (id: string): Promise<OperationEntity> => db().findOneByOrFail(OperationEntity, { id });

beforeAll(async () => {
  world = await stackWorld();
  [first, second] = await nextRelease(world);
});
afterAll(() => world.close());

async function run({ operation: { id }, stack }: Pick<Accepted, 'operation' | 'stack'>, options: RunOptions = {}) {
  await world.runner({ backups, ...options }).run(id, stack.id, never);
  return operation(id);
}

async function running(): Promise<{ owner: Owner; slug: string; id: string }> {
  const owner = await world.account();
  await world.releases.move(await world.operator(), second.id, 'withdraw').catch(() => undefined);
  const accepted = await world.stacks.create(owner, { template: 'standard' });
  expect(await run(accepted)).toMatchObject({ state: 'done' });
  await db().update(ReleaseEntity, { id: second.id }, { state: 'candidate' });
  return { owner, slug: accepted.stack.slug, id: accepted.stack.id };
}

/** Image of each of the stack's containers, as the engine has them. */
async function images({ id, slug }: { id: string; slug: string }): Promise<Record<string, string>> {
  const owner = { platform: world.database.platformId, tenant: id };
  const { containers } = await world.engine.observe(owner, { deadlineMs: 1_000 });
  return Object.fromEntries(
    containers.map(({ name, imageId }) => [name.slice(name.indexOf(slug) + slug.length + 1), imageId]),
  );
}

function killRuntime({ slug }: { slug: string }): void {
  world.engine.kill(world.engine.names().containers.find((name) => name.endsWith(`${slug}-runtime`)) ?? '');
}

/** Runs what the platform ordered by itself. */
async function runOpen(tenantId: string, options: RunOptions = {}): Promise<OperationEntity> {
  const open = await db().findOneByOrFail(OperationEntity, { tenantId, state: 'queued' });
  await world.runner({ backups, ...options }).run(open.id, tenantId, never);
  return operation(open.id);
}

it('an upgrade backs up, changes what differs and nothing else, and serves', async () => {
  const stack = await running();
  const started = world.engine.log.calls.length;
  const accepted = await world.upgrades.upgrade(await world.operator(), stack.slug, { release: second.id });
  expect(accepted.operation.steps.map(({ phase }) => phase)).toEqual([
    'preflight',
    'safeguard',
    'unpublish',
    'quiesce',
    'carry',
    'adopt',
    'prepare',
    'converge',
    'health',
    'publish',
  ]);
  expect(await run(accepted)).toMatchObject({ state: 'done', error: null });
  expect(backedUp).toContain(stack.slug);
  expect(await images(stack)).toEqual(second.images);
  expect(await tenant(stack.id)).toMatchObject({ releaseId: second.id, observed: 'running', reason: null });
  // Databases go on: two of three containers were never stopped.
  const stopped = world.engine.log.calls.slice(started).filter(({ method }) => method === 'stopContainer');
  expect(stopped.map(({ args }) => String(args[0]).split('-').at(-1))).toEqual(['runtime']);
  const entry = await db().findOneByOrFail(AuditEntryEntity, { action: 'stack.upgrade', targetId: stack.id });
  expect(entry).toMatchObject({ before: { release: first.id }, after: { release: second.id } });
  // And back: a downgrade is the same.
  const back = await world.upgrades.upgrade(stack.owner, stack.slug, { release: first.id });
  expect(await run(back)).toMatchObject({ state: 'done' });
  expect(await images(stack)).toEqual(first.images);
});

it('a copy that may not trade yet goes to no release whose runtime would trade, and to any once it is allowed', async () => {
  const stack = await running();
  const { copies, ...aviary } = (first.definition as { aviary: { copies: boolean } }).aviary;
  expect(copies).toBe(true);
  const id = 'standard@0.0.1+00000001';
  const before = Object.assign(new ReleaseEntity(), second, {
    id,
    images: first.images,
    definition: { ...first.definition, aviary },
  });
  await db().insert(ReleaseEntity, before as object);
  await db().update(TenantEntity, { id: stack.id }, { tradingHeldSince: new Date() });
  const operator = await world.operator();
  const upgrade = (release: string) => world.upgrades.upgrade(operator, stack.slug, { release });
  await expect(upgrade(before.id)).rejects.toMatchObject({ code: 'WRONG_STATE', details: { why: 'trading_held' } });
  expect(await run(await upgrade(second.id))).toMatchObject({ state: 'done' });
  await expect(upgrade(before.id)).rejects.toMatchObject({ details: { why: 'trading_held' } });
  await db().update(TenantEntity, { id: stack.id }, { tradingHeldSince: null });
  expect(await run(await upgrade(before.id))).toMatchObject({ state: 'done' });
  expect(await tenant(stack.id)).toMatchObject({ releaseId: before.id });
});

it('FM-16 what fails the health gate is rolled back by itself, and the same is not tried again until it is fixed', async () => {
  const stack = await running();
  const operator = await world.operator();
  const sick: RunOptions['probes'] = {
    ...healthyProbes,
    ready: (facts) =>
      facts.release === second.version ? Promise.reject(new Error('the new one does not answer')) : Promise.resolve(),
  };
  const accepted = await world.upgrades.upgrade(operator, stack.slug, { release: second.id });
  const failed = await run(accepted, { probes: sick });
  expect(failed.state).toBe('failed');
  // At once, in the same moment: nobody comes between.
  expect(await tenant(stack.id)).toMatchObject({ releaseId: first.id });
  const rollback = await runOpen(stack.id, { probes: sick });
  expect(rollback).toMatchObject({ kind: 'rollback', state: 'done', requestedBy: 'system:health-gate' });
  expect(failed.error?.details).toMatchObject({ rollback: rollback.id });
  expect(await images(stack)).toEqual(first.images);
  expect(await tenant(stack.id)).toMatchObject({ releaseId: first.id, observed: 'running', reason: null });
  await expect(world.upgrades.upgrade(operator, stack.slug, { release: second.id })).rejects.toMatchObject({
    code: 'WRONG_STATE',
    details: { why: 'failed_before' },
  });
  expect(await world.releases.get(operator, second.id)).toMatchObject({ failed: 1 });
  expect(await world.releases.markFixed(operator, second.id)).toBe(1);
  const again = await world.upgrades.upgrade(operator, stack.slug, { release: second.id });
  expect(await run(again)).toMatchObject({ state: 'done' });
});

it('a release withdrawn while the backup before is taken is not gone to: the stack serves as before, nothing is rolled back', async () => {
  const stack = await running();
  const operator = await world.operator();
  const route = await world.folder.read(`${stack.slug}.yml`);
  const accepted = await world.upgrades.upgrade(operator, stack.slug, { release: second.id });
  const prove = async (): Promise<string> => {
    await world.releases.move(operator, second.id, 'withdraw');
    return 'proven';
  };
  const ended = await run(accepted, { backups: { ...backups, prove } });
  expect(ended).toMatchObject({ state: 'failed', error: { code: 'WRONG_STATE', details: { why: 'withdrawn' } } });
  expect(ended.error?.details).not.toHaveProperty('rollback');
  expect(await db().countBy(OperationEntity, { tenantId: stack.id, kind: 'rollback' })).toBe(0);
  expect(await tenant(stack.id)).toMatchObject({ releaseId: first.id, observed: 'running', reason: null });
  expect(await images(stack)).toEqual(first.images);
  expect(await world.folder.read(`${stack.slug}.yml`)).toBe(route);
  expect(await db().countBy(UpgradeFailureEntity, { tenantId: stack.id })).toBe(0);
});

it('FM-13 one that is cancelled at the end of its backup goes nowhere either: the stack serves as before, and is repaired as before', async () => {
  const stack = await running();
  const operator = await world.operator();
  const route = await world.folder.read(`${stack.slug}.yml`);
  const accepted = await world.upgrades.upgrade(operator, stack.slug, { release: second.id });
  const prove = async (): Promise<string> => {
    await world.operations.cancel(operator, accepted.operation.id);
    return 'proven';
  };
  // The next turn of the lease is far away.
  const ended = await run(accepted, { backups: { ...backups, prove }, leaseSeconds: 300 });
  expect(ended).toMatchObject({
    state: 'cancelled',
    error: { code: 'OPERATION_CANCELLED', details: { why: 'request' } },
  });
  expect(await db().countBy(OperationEntity, { tenantId: stack.id, kind: 'rollback' })).toBe(0);
  expect(await tenant(stack.id)).toMatchObject({ releaseId: first.id, observed: 'running', reason: null });
  expect(await images(stack)).toEqual(first.images);
  expect(await world.folder.read(`${stack.slug}.yml`)).toBe(route);
  expect(await db().countBy(UpgradeFailureEntity, { tenantId: stack.id })).toBe(0);
  killRuntime(stack);
  await world.reconciler().look(stack.id, never);
  expect(await runOpen(stack.id)).toMatchObject({ kind: 'repair', state: 'done' });
});

it.each(['withdrawn', 'not backed up'])('an outage after one that was %s is told by what is missing', async (why) => {
  const stack = await running();
  const operator = await world.operator();
  const accepted = await world.upgrades.upgrade(operator, stack.slug, { release: second.id });
  const prove = async (): Promise<string> => {
    if (why !== 'withdrawn') {
      throw new Error('it does not come back');
    }
    await world.releases.move(operator, second.id, 'withdraw');
    return 'proven';
  };
  expect(await run(accepted, { backups: { ...backups, prove } })).toMatchObject({ state: 'failed' });
  killRuntime(stack);
  expect(await world.checker.look(stack.id, never)).toMatchObject({ reason: { code: 'NOT_RUNNING' } });
});

it('owners are offered the newest stable release their stack can go to, each stack its own', async () => {
  const [stack, other] = [await running(), await running()];
  const operator = await world.operator();
  const offers = async () => {
    const { items } = await world.stacks.list(operator);
    return [stack, other].map(({ id }) => items.find((item) => item.id === id)?.upgrade ?? null);
  };
  expect(await offers()).toEqual([null, null]);
  await world.releases.move(operator, second.id, 'promote');
  const offer = { release: second.id, version: second.version };
  expect(await offers()).toEqual([offer, offer]);
  const failure = { fromRelease: first.id, toRelease: second.id, operationId: newId(), message: '', at: new Date() };
  await db().insert(UpgradeFailureEntity, { ...failure, tenantId: other.id });
  expect(await offers()).toEqual([offer, null]);
  await world.releases.markFixed(operator, second.id);
  await db().update(TenantEntity, { id: stack.id }, { releaseId: second.id });
  expect(await offers()).toEqual([null, offer]);
  await world.releases.move(operator, second.id, 'withdraw');
  expect(await offers()).toEqual([null, null]);
});

it('FM-17 what cannot begin leaves the stack alone: no image, no backup, withdrawn meanwhile', async () => {
  const stack = await running();
  const operator = await world.operator();
  const third = 'standard@0.3.0+00000003';
  await db().insert(
    ReleaseEntity,
    Object.assign({}, second, {
      id: third,
      version: '0.3.0',
      images: { ...first.images, runtime: 'sha256:nowhere' },
      state: 'candidate' as const,
    }),
  );
  const before = await images(stack);
  const missing = await run(await world.upgrades.upgrade(operator, stack.slug, { release: third }));
  expect(missing).toMatchObject({ state: 'failed', error: { code: 'IMAGE_MISSING' } });
  const broken = { ...backups, prove: () => Promise.reject(new Error('it does not come back')) };
  const unsafe = await run(await world.upgrades.upgrade(operator, stack.slug, { release: second.id }), {
    backups: broken,
  });
  expect(unsafe.state).toBe('failed');
  const late = await world.upgrades.upgrade(operator, stack.slug, { release: second.id });
  await world.releases.move(operator, second.id, 'withdraw');
  expect(await run(late)).toMatchObject({ state: 'failed', error: { details: { why: 'withdrawn' } } });
  expect(await images(stack)).toEqual(before);
  expect(await tenant(stack.id)).toMatchObject({ releaseId: first.id, observed: 'running', reason: null });
  expect(await db().countBy(UpgradeFailureEntity, { tenantId: stack.id })).toBe(0);
  expect(await db().countBy(OperationEntity, { tenantId: stack.id, kind: 'rollback' })).toBe(0);
});

it('FM-17 the images of a withdrawn release are kept while a stack is on it, or may be led back to it', async () => {
  const stack = await running();
  const operator = await world.operator();
  const image = second.images['runtime'] ?? '';
  const kept = async (): Promise<boolean> => {
    const found: { value: string }[] = await db().query(IMAGES_OF_RELEASES);
    return found.some(({ value }) => value === image);
  };
  await db().update(TenantEntity, { releaseId: second.id }, { releaseId: first.id });
  const seen = [await kept()];
  const upgrade = await world.upgrades.upgrade(operator, stack.slug, { release: second.id });
  expect(await run(upgrade)).toMatchObject({ state: 'done' });
  await world.releases.move(operator, second.id, 'withdraw');
  // its release is withdrawn, and it is still on it
  seen.push(await kept());
  const back = await world.upgrades.upgrade(operator, stack.slug, { release: first.id });
  await db().update(TenantEntity, { id: stack.id }, { releaseId: first.id });
  // on its way from it, so what fails leads back to it
  seen.push(await kept());
  await db().update(TenantEntity, { id: stack.id }, { releaseId: second.id });
  expect(await run(back)).toMatchObject({ state: 'done' });
  seen.push(await kept());
  expect(seen).toEqual([true, true, true, false]);
  await db().update(ReleaseEntity, { id: second.id }, { state: 'candidate' });
});

it('is refused with the reason before anything is done', async () => {
  const stack = await running();
  const operator = await world.operator();
  const refused = async (actor: Owner | typeof operator, release: string | undefined) =>
    world.upgrades.upgrade(actor, stack.slug, release === undefined ? {} : { release }).then(
      () => null,
      (error: { code: string; details: { why?: string } }) => error.details.why ?? error.code,
    );
  expect(await refused(operator, first.id)).toBe('same');
  expect(await refused(stack.owner, second.id)).toBe('draft');
  expect(await refused(operator, 'standard@9+00000000')).toBe('NOT_FOUND');
  expect(await refused(stack.owner, undefined)).toBe('same');
  await world.releases.move(operator, second.id, 'withdraw');
  expect(await refused(operator, second.id)).toBe('withdrawn');
  await db().update(ReleaseEntity, { id: second.id }, { state: 'candidate' });
  await db().update(TenantEntity, { id: stack.id }, { observed: 'failed' });
  expect(await refused(operator, second.id)).toBe('not_running');
  expect(await db().countBy(OperationEntity, { tenantId: stack.id, kind: 'upgrade' })).toBe(0);
});

it.each(['unpublish', 'adopt', 'converge', 'health'] as const)(
  'FM-10 an agent that dies in %s: another goes on, and the stack is on the new release',
  async (phase) => {
    const stack = await running();
    const accepted = await world.upgrades.upgrade(await world.operator(), stack.slug, { release: second.id });
    const stop = new AbortController();
    const dying = world.runner({
      backups,
      leaseSeconds: 1,
      probes: {
        ...healthyProbes,
        ready: () => {
          if (phase === 'health') {
            stop.abort(new Error('the agent dies'));
          }
          return stop.signal.aborted ? Promise.reject(stop.signal.reason as Error) : Promise.resolve();
        },
      },
    });
    const watching = setInterval(() => {
      void db()
        .findOneBy(OperationStepEntity, { operationId: accepted.operation.id, phase, action: IsNull() })
        .then((step) => {
          if (step && step.state !== 'pending') {
            stop.abort(new Error('the agent dies'));
          }
        });
    }, 5);
    await dying.run(accepted.operation.id, stack.id, stop.signal).catch(() => undefined);
    clearInterval(watching);
    expect(await run(accepted)).toMatchObject({ state: 'done' });
    expect(await images(stack)).toEqual(second.images);
    expect(await tenant(stack.id)).toMatchObject({ releaseId: second.id, observed: 'running' });
  },
);

it('a suspend in the middle of it leaves the release that is known to work', async () => {
  const stack = await running();
  const operator = await world.operator();
  const accepted = await world.upgrades.upgrade(operator, stack.slug, { release: second.id });
  const reached = Promise.withResolvers<void>();
  const probes: RunOptions['probes'] = {
    ...healthyProbes,
    ready: (_facts, { signal }) => {
      reached.resolve();
      return new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error));
      });
    },
  };
  const working = run(accepted, { probes });
  await Promise.race([reached.promise, working]);
  expect(await tenant(stack.id)).toMatchObject({ releaseId: second.id });
  const suspended = await world.holds.suspend(operator, stack.slug, 'A look is needed.');
  await working;
  expect(await run(suspended)).toMatchObject({ state: 'done' });
  expect(await tenant(stack.id)).toMatchObject({ releaseId: first.id, observed: 'stopped' });
  expect(await run(await world.holds.resume(operator, stack.slug))).toMatchObject({ state: 'done' });
  expect(await images(stack)).toEqual(first.images);
});
