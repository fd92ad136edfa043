import { newId, OperationEntity, TenantEntity } from '#libs/db';
import { ringsIn, RolloutWorld } from '../support/rollout-world.js';
import { healthyProbes } from '../support/stack-world.js';

jest.setTimeout(120_000);

let w: RolloutWorld;

beforeEach(async () => {
  w = await RolloutWorld.open();
});
afterEach(() => w.close());

it('takes old news of a stack for none, and watches a ring anew from a repair on', async () => {
  await w.stacks(2);
  await w.offer('stable');
  const { id } = await w.start({ settings: { soakSeconds: 700 } });
  await w.settle();
  w.pass(701);
  expect(await w.settle()).toEqual([]);
  expect(await w.view(id)).toMatchObject({
    state: 'running',
    waits: { for: 'unwell' },
    counts: { done: 1, unwell: 0 },
  });
  const upgrade = await w.db.findOneByOrFail(OperationEntity, { kind: 'upgrade' });
  const repair = Object.assign(upgrade, { id: newId(), kind: 'repair', state: 'running', finishedAt: null });
  await w.db.insert(OperationEntity, repair as object);
  await w.watched(0);
  expect(await w.settle()).toEqual([]);
  expect(await w.view(id)).toMatchObject({ waits: { for: 'unwell' } });
  await w.db.update(OperationEntity, { id: repair.id }, { state: 'done', finishedAt: w.now() });
  await w.watched(699);
  expect(await w.settle()).toEqual([]);
  expect(await w.view(id)).toMatchObject({ waits: { for: 'soak' } });
  await w.watched(2);
  expect(await w.settle()).toHaveLength(1);
});

it('halts, and is not done, where its last ring broke after its upgrade', async () => {
  await w.stacks(2);
  await w.offer('stable');
  const { id } = await w.start({ settings: { soakSeconds: 60 } });
  const [, [last = ''] = []] = ringsIn(await w.report(id));
  await w.settle();
  await w.watched(61);
  await w.settle();
  expect(await w.view(id)).toMatchObject({ state: 'running', counts: { done: 2 } });
  await w.db.update(TenantEntity, { slug: last }, { observed: 'failed', observedSince: w.now() });
  await w.watched(30);
  await w.settle();
  expect(await w.view(id)).toMatchObject({ state: 'running', waits: { for: 'unwell' }, counts: { unwell: 1 } });
  await w.watched(31);
  await w.settle();
  expect(await w.view(id)).toMatchObject({ state: 'halted', cause: 'budget', counts: { done: 2, unwell: 1 } });
});

it('halts by bots that stopped by an error after the gate, though their stack is well from outside, and not by those that came back', async () => {
  await w.stacks(3);
  await w.offer('stable');
  const { id } = await w.start({ settings: { soakSeconds: 600, waves: [50, 100] } });
  const [[canary = ''] = []] = ringsIn(await w.report(id));
  await w.settle();
  const { id: tenantId } = await w.db.findOneByOrFail(TenantEntity, { slug: canary });
  const bot = newId();
  /** What the agent sees of the canary after that time. */
  const seen = async (seconds: number, state: 'running' | 'error'): Promise<void> => {
    const reason = state === 'error' ? 'Something unforeseen stopped the bot.' : null;
    const bots = [{ id: bot, state, ran: true, resumed: true, reason }];
    const resumption = () => Promise.resolve({ starting: false, failure: null, bots, ledger: [] });
    w.pass(seconds);
    const probes = { ...healthyProbes, resumption };
    await w.world.reconciler({ probes }).look(tenantId, new AbortController().signal);
    await w.settle();
  };
  const row = async () => (await w.report(id)).find(({ slug }) => slug === canary);
  await seen(100, 'running');
  expect(await w.view(id)).toMatchObject({ waits: { for: 'soak' }, counts: { done: 1, unwell: 0 } });
  await seen(100, 'error');
  expect(await w.db.findOneBy(TenantEntity, { slug: canary })).toMatchObject({ observed: 'running', reason: null });
  expect(await w.view(id)).toMatchObject({ waits: { for: 'unwell' }, counts: { done: 1, unwell: 1 } });
  expect(await row()).toMatchObject({
    state: 'done',
    reason: '1 of 1 bots stopped by an error since: Something unforeseen stopped the bot.',
  });
  // Somebody started it again: the ring is watched anew from then on.
  await seen(100, 'running');
  expect(await row()).toMatchObject({ state: 'done', reason: null });
  await seen(599, 'running');
  expect(await w.view(id)).toMatchObject({ state: 'running', waits: { for: 'soak' }, counts: { done: 1, unwell: 0 } });
  await seen(0, 'error');
  await seen(599, 'error');
  expect(await w.view(id)).toMatchObject({ state: 'running', waits: { for: 'unwell' }, counts: { waiting: 2 } });
  await seen(2, 'error');
  expect(await w.view(id)).toMatchObject({ state: 'halted', cause: 'budget', counts: { waiting: 2, unwell: 1 } });
});

it('a halt cancels its upgrades that have not touched their stack, which go once it is gone on with', async () => {
  await w.stacks(4);
  await w.offer('stable');
  const { id } = await w.start({ settings: { canaryPercent: 100, concurrency: 3, soakSeconds: 0 } });
  await w.look();
  const [fails, queued, safeguards] = (await w.open()) as [OperationEntity, OperationEntity, OperationEntity];
  w.broken.add(fails.slug);
  await w.run(fails.id, fails.tenantId);
  await w.beganTo(safeguards.id, 'safeguard');
  await w.look();
  expect(await w.view(id)).toMatchObject({ state: 'halted', counts: { waiting: 2, open: 2 } });
  const operation = (one: string) => w.db.findOneByOrFail(OperationEntity, { id: one });
  expect(await operation(queued.id)).toMatchObject({ state: 'cancelled' });
  expect((await operation(safeguards.id)).cancelRequestedAt).not.toBeNull();
  await w.settle();
  expect(await w.view(id)).toMatchObject({ state: 'halted', counts: { rolledBack: 1, waiting: 3, skipped: 0 } });
  expect(await w.releaseOf(safeguards.slug)).toBe(w.first.id);
  await w.world.rollouts.resume(w.operator, id, { acknowledge: true });
  await w.settle();
  expect(await w.view(id)).toMatchObject({ state: 'done', counts: { done: 3, rolledBack: 1 } });
});

it('FM-13 a stack whose begun upgrade a halt called off is repaired by itself as before', async () => {
  await w.stacks(2);
  await w.offer('stable');
  await w.start({ settings: { canaryPercent: 100, concurrency: 2, soakSeconds: 0 } });
  await w.look();
  const [fails, { id, tenantId, slug }] = (await w.open()) as [OperationEntity, OperationEntity];
  w.broken.add(fails.slug);
  await w.run(fails.id, fails.tenantId);
  await w.beganTo(id, 'safeguard');
  await w.settle();
  const { state, startedAt } = await w.db.findOneByOrFail(OperationEntity, { id });
  expect([state, startedAt]).toEqual(['cancelled', expect.any(Date)]);
  const { engine } = w.world;
  engine.kill(engine.names().containers.find((name) => name.includes(slug) && name.endsWith('-runtime')) ?? '');
  await w.world.reconciler().look(tenantId, new AbortController().signal);
  const repair = await w.db.findOneByOrFail(OperationEntity, { tenantId, kind: 'repair' });
  await w.run(repair.id, tenantId);
  expect(await w.db.findOneBy(OperationEntity, { tenantId, kind: 'repair' })).toMatchObject({ state: 'done' });
});

it('a stack brought back by hand is one on which it failed, and one that rests shows nothing to the next ring', async () => {
  await w.stacks(4);
  await w.offer('stable');
  const { id } = await w.start({ settings: { soakSeconds: 60, waves: [50, 100] } });
  const [[canary = ''] = [], [second = ''] = []] = ringsIn(await w.report(id));
  await w.settle();
  const back = await w.world.upgrades.upgrade(w.operator, canary, { release: w.first.id });
  await w.run(back.operation.id, back.stack.id);
  await w.watched(61);
  await w.settle();
  expect(await w.view(id)).toMatchObject({ state: 'halted', cause: 'budget', counts: { done: 0, rolledBack: 1 } });
  const [row] = await w.report(id);
  expect(row).toMatchObject({
    slug: canary,
    state: 'rolled_back',
    reason: `It was brought back to ${w.first.id} by ${w.operator.username}.`,
  });
  await w.world.rollouts.resume(w.operator, id, { acknowledge: true, failures: 1 });
  expect(await w.settle()).toEqual([[second]]);
  await w.db.update(TenantEntity, { slug: second }, { desired: 'hibernated', observed: 'stopped' });
  await w.watched(61);
  expect(await w.settle()).toEqual([]);
  expect(await w.view(id)).toMatchObject({ state: 'halted', cause: 'unproven', counts: { waiting: 2 } });
  await w.world.rollouts.resume(w.operator, id, { acknowledge: true, failures: 0 });
  expect(await w.settle()).toHaveLength(1);
});

it('a stack brought back by hand more than once is told by the last time, and as soon as it is there', async () => {
  await w.stacks(2);
  await w.offer('stable');
  const { id } = await w.start({ settings: { soakSeconds: 600 } });
  const [[canary = ''] = []] = ringsIn(await w.report(id));
  await w.settle();
  const row = async () => (await w.report(id)).find(({ slug }) => slug === canary);
  const bring = async (release: string) => {
    w.pass(10);
    const by = await w.world.operator();
    const { operation, stack } = await w.world.upgrades.upgrade(by, canary, { release });
    return { ...operation, tenantId: stack.id, by: by.username };
  };
  for (const release of [w.first.id, w.second.id]) {
    const { id: operation, tenantId } = await bring(release);
    await w.run(operation, tenantId);
  }
  const last = await bring(w.first.id);
  await w.beganTo(last.id, 'prepare');
  await w.db.update(TenantEntity, { slug: canary }, { releaseId: w.first.id });
  await w.look();
  expect(await row()).toMatchObject({ state: 'done' });
  await w.run(last.id, last.tenantId);
  const ended = await w.db.findOneByOrFail(OperationEntity, { id: last.id });
  expect(ended).toMatchObject({ state: 'done' });
  await w.look();
  expect(await row()).toMatchObject({
    state: 'rolled_back',
    endedAt: ended.finishedAt?.toISOString(),
    reason: `It was brought back to ${w.first.id} by ${last.by}.`,
  });
});

it('forgives only the failures its operator has seen', async () => {
  await w.stacks(3);
  await w.offer('stable');
  const { id } = await w.start({ settings: { canaryPercent: 100, concurrency: 3, soakSeconds: 0 } });
  await w.look();
  const [seen, unseen] = (await w.open()) as [OperationEntity, OperationEntity, OperationEntity];
  [seen, unseen].forEach(({ slug }) => w.broken.add(slug));
  await w.beganTo(unseen.id, 'unpublish');
  await w.run(seen.id, seen.tenantId);
  await w.look();
  expect(await w.view(id)).toMatchObject({ state: 'halted', budget: { failures: 1 } });
  // Nobody looked since.
  await w.run(unseen.id, unseen.tenantId);
  await expect(w.world.rollouts.resume(w.operator, id, { acknowledge: true, failures: 1 })).rejects.toMatchObject({
    code: 'WRONG_STATE',
    details: { why: 'more_failed', failures: 2, seen: 1 },
  });
  await w.world.rollouts.resume(w.operator, id, { acknowledge: true, failures: 2 });
  await w.settle();
  expect(await w.view(id)).toMatchObject({ state: 'done', counts: { done: 1, rolledBack: 2 } });
});

it('forgives only those failures, and no other that took the place of one of them', async () => {
  await w.stacks(3);
  await w.offer('stable');
  const { id } = await w.start({ settings: { canaryPercent: 100, concurrency: 3, soakSeconds: 60 } });
  await w.settle();
  const [seen = '', unseen = ''] = (await w.report(id)).map(({ slug }) => slug);
  const breaks = (slug: string) => w.db.update(TenantEntity, { slug }, { observed: 'failed', observedSince: w.now() });
  await breaks(seen);
  await w.watched(61);
  await w.settle();
  const { state, budget } = await w.view(id);
  expect([state, budget]).toEqual(['halted', { failures: 1, allowed: 0, newest: expect.any(String) }]);
  await w.db.update(TenantEntity, { slug: seen }, { observed: 'running', observedSince: w.now() });
  await breaks(unseen);
  await w.watched(61);
  const now = (await w.view(id)).budget;
  expect(now).toMatchObject({ failures: 1 });
  const known = { acknowledge: true, failures: budget.failures, newest: budget.newest };
  await expect(w.world.rollouts.resume(w.operator, id, known)).rejects.toMatchObject({
    code: 'WRONG_STATE',
    details: { why: 'more_failed', failures: 1, newest: now.newest },
  });
  await w.world.rollouts.resume(w.operator, id, { ...known, newest: now.newest });
  expect(await w.view(id)).toMatchObject({ state: 'running', budget: { failures: 0, newest: null } });
});
