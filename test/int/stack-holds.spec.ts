import type { Accepted, Actor } from '#libs/contracts';
import { AuditEntryEntity, OperationEntity } from '#libs/db';
import { healthyProbes, stackWorld, type StackWorld } from '../support/stack-world.js';

// Several test files and an engine may share two cores.
jest.setTimeout(60_000);

let world: StackWorld;
let operator: Actor;
const never = new AbortController().signal;

beforeAll(async () => {
  world = await stackWorld();
  operator = await world.operator();
});
afterAll(() => world.close());

async function run(accepted: Accepted): Promise<OperationEntity> {
  await world.runner().run(accepted.operation.id, accepted.stack.id, never);
  return world.database.dataSource.manager.findOneByOrFail(OperationEntity, { id: accepted.operation.id });
}

async function running() {
  const owner = await world.account();
  const accepted = await world.stacks.create(owner, { template: 'standard' });
  expect(await run(accepted)).toMatchObject({ state: 'done' });
  return { owner, slug: accepted.stack.slug, id: accepted.stack.id };
}

const states = async (id: string): Promise<string[]> => {
  const { containers } = await world.engine.observe(
    { platform: world.database.platformId, tenant: id },
    { deadlineMs: 1_000 },
  );
  return containers.map(({ status }) => status);
};
/** What the stack's addresses lead to: the word of the gate's page, or nothing where they lead to the stack. */
const page = async (slug: string): Promise<string> => {
  const route = await world.folder.read(`${slug}.yml`);
  return route === null ? 'no route' : (/"X-Aviary-Page": ?"([a-z]*)"/.exec(route)?.[1] ?? '');
};

it('stops what is held, whatever its owner wants, and brings it back with what it was', async () => {
  const { owner, slug, id } = await running();
  const before = world.engine.names().volumes;
  const suspended = await run(await world.holds.suspend(operator, slug, 'Chargeback of 12 November'));
  expect(suspended).toMatchObject({ kind: 'suspend', state: 'done', error: null });
  expect(await states(id)).toEqual(['exited', 'exited', 'exited']);
  expect(await page(slug)).toBe('suspended');
  expect(await world.stacks.get(owner, slug)).toMatchObject({
    status: 'suspended',
    desired: 'running',
    holds: ['operator'],
    holdNote: 'Chargeback of 12 November',
    reason: null,
  });
  for (const kind of ['start', 'restart'] as const) {
    await expect(world.stacks.request(owner, slug, kind)).rejects.toMatchObject({
      code: 'WRONG_STATE',
      details: { why: 'suspended', holds: ['operator'] },
    });
  }
  expect(await run(await world.holds.resume(operator, slug))).toMatchObject({ state: 'done', error: null });
  expect(await states(id)).toEqual(['running', 'running', 'running']);
  expect(await page(slug)).toBe('');
  expect(await world.stacks.get(owner, slug)).toMatchObject({ status: 'running', holds: [], holdNote: null });
  expect(world.engine.names().volumes).toEqual(before);
});

it('may be asked for again at any time, and the newest note counts', async () => {
  const { owner, slug, id } = await running();
  const first = await world.holds.suspend(operator, slug, 'first');
  const second = await world.holds.suspend(operator, slug, 'second');
  expect(second.operation.id).toBe(first.operation.id);
  await run(first);
  expect(await run(await world.holds.suspend(operator, slug, 'third'))).toMatchObject({ state: 'done' });
  expect((await world.stacks.get(owner, slug)).holdNote).toBe('third');
  const resume = await world.holds.resume(operator, slug);
  expect((await world.holds.resume(operator, slug)).operation.id).toBe(resume.operation.id);
  await run(resume);
  expect(await run(await world.holds.resume(operator, slug))).toMatchObject({ state: 'done' });
  expect(await states(id)).toEqual(['running', 'running', 'running']);
});

it('is legal from every state but a destroy, and what the owner wanted meanwhile holds afterwards', async () => {
  const { owner, slug, id } = await running();
  await run(await world.stacks.request(owner, slug, 'stop'));
  await run(await world.holds.suspend(operator, slug, 'from stopped'));
  expect((await world.stacks.get(owner, slug)).status).toBe('suspended');
  // Its owner may always want less.
  await run(await world.stacks.request(owner, slug, 'stop'));
  expect(await run(await world.holds.resume(operator, slug))).toMatchObject({ state: 'done' });
  expect(await states(id)).toEqual(['exited', 'exited', 'exited']);
  expect(await world.stacks.get(owner, slug)).toMatchObject({ status: 'stopped', desired: 'stopped' });
  expect(await page(slug)).toBe('stopped');
  const destroy = await world.stacks.request(owner, slug, 'destroy');
  await expect(world.holds.suspend(operator, slug, 'too late')).rejects.toMatchObject({
    code: 'WRONG_STATE',
    details: { why: 'destroying' },
  });
  expect(await run(destroy)).toMatchObject({ state: 'done' });
});

it('takes the place of what is under way, which does nothing more', async () => {
  const owner = await world.account();
  const made = await world.stacks.create(owner, { template: 'standard' });
  const { promise: held, resolve: inHealth } = Promise.withResolvers<void>();
  const runner = world.runner({
    probes: {
      ...healthyProbes,
      ready: (_facts, { signal }) => {
        inHealth();
        return new Promise((_resolve, reject) =>
          signal.addEventListener('abort', () => reject(signal.reason as Error)),
        );
      },
    },
  });
  const provisioning = runner.run(made.operation.id, made.stack.id, never);
  await held;
  const suspend = await world.holds.suspend(operator, made.stack.slug, 'stop this');
  await runner.run(suspend.operation.id, made.stack.id, never);
  await provisioning;
  expect(await world.operations.get(owner, made.operation.id)).toMatchObject({
    state: 'cancelled',
    error: {
      code: 'OPERATION_CANCELLED',
      message: 'The stack is being suspended instead.',
      details: { why: 'suspend' },
    },
  });
  expect(await states(made.stack.id)).toEqual(['exited', 'exited', 'exited']);
  await expect(world.operations.cancel(operator, suspend.operation.id)).rejects.toMatchObject({ code: 'WRONG_STATE' });
  expect(await run(await world.holds.resume(operator, made.stack.slug))).toMatchObject({ state: 'done' });
  expect((await world.stacks.get(owner, made.stack.slug)).status).toBe('running');
});

it('is an operator’s, of whom the audit tells with the note', async () => {
  const { owner, slug, id } = await running();
  await expect(world.holds.suspend(owner, slug, 'me')).rejects.toMatchObject({ code: 'FORBIDDEN' });
  await expect(world.holds.resume(owner, slug)).rejects.toMatchObject({ code: 'FORBIDDEN' });
  await world.holds.suspend(operator, slug, 'Asked by the bank');
  const entry = await world.database.dataSource.manager.findOneByOrFail(AuditEntryEntity, {
    action: 'stack.suspend',
    targetId: id,
  });
  expect(entry).toMatchObject({ actorKind: 'operator', after: { note: 'Asked by the bank', slug } });
  const queued = (await world.stacks.get(owner, slug)).openOperation;
  await expect(world.operations.cancel(operator, queued?.id ?? '')).rejects.toMatchObject({ code: 'WRONG_STATE' });
});
