import {
  AlarmEntity,
  AuditEntryEntity,
  OperationEntity,
  ReleaseEntity,
  RolloutStackEntity,
  TenantEntity,
  UpgradeFailureEntity,
} from '#libs/db';
import { ringsIn, RolloutWorld } from '../support/rollout-world.js';

jest.setTimeout(120_000);

let w: RolloutWorld;

beforeEach(async () => {
  w = await RolloutWorld.open();
});
afterEach(() => w.close());

const upgradesOf = (slug: string): Promise<number> => w.db.countBy(OperationEntity, { slug, kind: 'upgrade' });

it('goes ring by ring, each after its soak, with as many at once as may be, by ordinary upgrades', async () => {
  const slugs = await w.stacks(7);
  await w.offer('stable');
  const plan = await w.world.rollouts.plan(w.operator, w.order());
  expect(plan.rings.map(({ stacks }) => stacks.length)).toEqual([1, 1, 5]);
  const { id, state } = await w.start({ settings: { concurrency: 2, soakSeconds: 600 } });
  expect(state).toBe('planned');
  expect(ringsIn(await w.report(id))).toEqual(plan.rings.map(({ stacks }) => stacks));
  const [canary = [], first = [], rest = []] = plan.rings.map(({ stacks }) => stacks);
  expect(await w.settle()).toEqual([canary]);
  expect(await w.view(id)).toMatchObject({ state: 'running', waits: { for: 'soak' }, counts: { done: 1, waiting: 6 } });
  await w.watched(599);
  expect(await w.settle()).toEqual([]);
  await w.watched(2);
  expect(await w.settle()).toEqual([first]);
  await w.watched(601);
  expect(await w.settle()).toEqual([rest.slice(0, 2), rest.slice(2, 4), rest.slice(4)]);
  // The last ring is watched too: all are upgraded, and it is not over.
  expect(await w.view(id)).toMatchObject({ state: 'running', waits: { for: 'soak' }, counts: { done: 7 } });
  await w.watched(601);
  expect(await w.settle()).toEqual([]);
  const done = await w.view(id);
  expect(done).toMatchObject({
    state: 'done',
    cause: 'finished',
    waits: null,
    counts: { total: 7, done: 7, waiting: 0, open: 0 },
    budget: { failures: 0 },
  });
  expect(done.moves.map(({ to, by }) => `${to} by ${by}`)).toEqual([
    `planned by ${w.operator.username}`,
    'running by system:rollout',
    'done by system:rollout',
  ]);
  expect(done.rings.map(({ outageMs }) => (outageMs?.p95 ?? -1) >= (outageMs?.median ?? 0))).toEqual([
    true,
    true,
    true,
  ]);
  expect(await Promise.all(slugs.map((slug) => w.releaseOf(slug)))).toEqual(slugs.map(() => w.second.id));
  const operations = await w.db.findBy(OperationEntity, { kind: 'upgrade' });
  expect(operations.map(({ requestedBy, input }) => [requestedBy, input])).toEqual(
    slugs.map(() => [
      'system:rollout',
      { rollout: id, from: w.first.id, to: w.second.id, before: { running: [], ledger: [] } },
    ]),
  );
});

it('halts by itself where too many fail: those are back on the old release, the rest untouched, operators alarmed', async () => {
  const slugs = await w.stacks(7);
  await w.offer('stable');
  const { id } = await w.start({ settings: { soakSeconds: 60, concurrency: 2 } });
  const [canary = [], first = [], rest = []] = ringsIn(await w.report(id));
  const bad = rest.slice(0, 2);
  bad.forEach((slug) => w.broken.add(slug));
  await w.settle();
  await w.watched(61);
  await w.settle();
  await w.watched(61);
  await w.settle();
  const halted = await w.view(id);
  expect(halted).toMatchObject({
    state: 'halted',
    cause: 'budget',
    waits: { for: 'operator' },
    budget: { allowed: 0 },
  });
  expect(halted.reason).toContain(`failed on 2 stacks where none may: ${bad.join(', ')}.`);
  expect(halted.counts).toMatchObject({ done: 2, rolledBack: 2, waiting: 3 });
  const on = Object.fromEntries(await Promise.all(slugs.map(async (slug) => [slug, await w.releaseOf(slug)] as const)));
  for (const slug of slugs) {
    expect([slug, on[slug]]).toEqual([slug, [...canary, ...first].includes(slug) ? w.second.id : w.first.id]);
  }
  expect(await w.db.findBy(TenantEntity, { observed: 'running' })).toHaveLength(7);
  for (const slug of rest.slice(2)) {
    expect(await upgradesOf(slug)).toBe(0);
  }
  const rows = (await w.report(id)).filter(({ slug }) => bad.includes(slug));
  for (const row of rows) {
    expect(row).toMatchObject({ state: 'rolled_back', rollbackId: expect.any(String), outageMs: expect.any(Number) });
    expect(row.reason).toContain('The new one does not answer.');
  }
  const alarm = () => w.db.findOneByOrFail(AlarmEntity, { key: `rollout/${id}` });
  expect(await alarm()).toMatchObject({ code: 'ROLLOUT_HALTED', severity: 'critical', endedAt: null });
  // Nothing goes on by itself, however often it is looked at.
  w.pass(86_400);
  expect(await w.settle()).toEqual([]);
  await expect(w.world.rollouts.resume(w.operator, id, { acknowledge: false })).rejects.toMatchObject({
    code: 'WRONG_STATE',
    details: { why: 'acknowledge' },
  });
  await w.world.rollouts.resume(w.operator, id, { acknowledge: true });
  expect((await w.settle()).flat().toSorted()).toEqual(rest.slice(2).toSorted());
  await w.watched(61);
  await w.settle();
  expect(await w.view(id)).toMatchObject({ state: 'done', counts: { done: 5, rolledBack: 2 } });
  expect((await alarm()).endedAt).not.toBeNull();
  const audited = await w.db.findBy(AuditEntryEntity, { targetId: id, action: 'rollout.move' });
  expect(audited.map(({ actorName, after }) => `${actorName} ${String((after as { state: string }).state)}`)).toEqual([
    'system:rollout running',
    'system:rollout halted',
    `${w.operator.username} running`,
    'system:rollout done',
  ]);
});

it('halts after failures in a row, whatever the budget', async () => {
  const slugs = await w.stacks(6);
  slugs.forEach((slug) => w.broken.add(slug));
  await w.offer('stable');
  const { id } = await w.start({ settings: { canaryPercent: 100, budgetPercent: 100, concurrency: 1 } });
  await w.settle();
  expect(await w.view(id)).toMatchObject({
    state: 'halted',
    cause: 'in_a_row',
    counts: { rolledBack: 3, waiting: 3 },
  });
});

it('leaves out who cannot go and says why, and draws another canary where the first one cannot go any more', async () => {
  const [asleep, held, failed, newer, ...going] = await w.stacks(7);
  const other = await w.stack();
  await w.world.holds.suspend(w.operator, held as string, 'A look is needed.');
  await w.db.update(TenantEntity, { slug: asleep }, { desired: 'hibernated', observed: 'stopped' });
  await w.db.update(TenantEntity, { slug: other.slug }, { releaseId: w.second.id });
  const third = Object.assign(new ReleaseEntity(), w.second, {
    id: 'standard@0.3.0+00000003',
    version: '0.3.0',
    state: 'candidate' as const,
    createdAt: new Date(w.second.createdAt.getTime() + 1_000),
  });
  await w.db.insert(ReleaseEntity, third as object);
  await w.db.update(TenantEntity, { slug: newer }, { releaseId: third.id });
  const { id: tenantId } = await w.db.findOneByOrFail(TenantEntity, { slug: failed });
  const failure = { fromRelease: w.first.id, toRelease: w.second.id, operationId: tenantId, message: '', at: w.now() };
  await w.db.insert(UpgradeFailureEntity, { ...failure, tenantId });
  await w.offer('stable');
  const { id } = await w.start({ settings: { soakSeconds: 0 } });
  const why = async () =>
    Object.fromEntries((await w.report(id)).filter(({ why }) => why !== null).map(({ slug, why }) => [slug, why]));
  const left = {
    [asleep as string]: 'not_running',
    [held as string]: 'suspended',
    [failed as string]: 'failed_before',
    [newer as string]: 'newer',
    [other.slug]: 'same',
  };
  expect(await why()).toEqual(left);
  const [[canary = ''] = [], [second = ''] = []] = ringsIn(await w.report(id));
  await w.db.update(TenantEntity, { slug: canary }, { desired: 'stopped', observed: 'stopped' });
  await w.settle();
  expect(await why()).toEqual({ ...left, [canary]: 'not_running' });
  const rows = await w.db.findBy(RolloutStackEntity, { rolloutId: id, ring: 0 });
  expect(Object.fromEntries(rows.map(({ slug, state }) => [slug, state]))).toEqual({
    [canary]: 'skipped',
    [second]: 'done',
  });
  expect(await w.view(id)).toMatchObject({ state: 'done', counts: { done: going.length - 1, skipped: 6 } });
});

it('paused begins no other upgrade and notes how those under way end; aborted it leaves what was upgraded, and cancels what is not touched yet', async () => {
  const slugs = await w.stacks(5);
  await w.offer('stable');
  const { id } = await w.start({ settings: { canaryPercent: 100, concurrency: 2 } });
  await w.look();
  expect(await w.open()).toHaveLength(2);
  await w.world.rollouts.pause(w.operator, id);
  expect(await w.world.rollouts.pause(w.operator, id)).toMatchObject({ state: 'paused' });
  await w.settle();
  expect(await w.view(id)).toMatchObject({ state: 'paused', counts: { done: 2, open: 0, waiting: 3 } });
  await w.world.rollouts.resume(w.operator, id, { acknowledge: false });
  await w.look();
  expect(await w.open()).toHaveLength(2);
  const [touched, untouched] = (await w.open()) as [OperationEntity, OperationEntity];
  await w.beganTo(touched.id, 'unpublish');
  await w.world.rollouts.abort(w.operator, id);
  // What has not touched its stack is not begun any more.
  expect(await w.view(id)).toMatchObject({ state: 'aborted', counts: { done: 2, open: 1, waiting: 2 } });
  expect(await w.settle()).toEqual([[touched.slug]]);
  expect(await w.view(id)).toMatchObject({ state: 'aborted', counts: { done: 3, open: 0, waiting: 2 } });
  expect(await w.releaseOf(untouched.slug)).toBe(w.first.id);
  const on = await Promise.all(slugs.map((slug) => w.releaseOf(slug)));
  expect(on.filter((release) => release === w.second.id)).toHaveLength(3);
  await expect(w.world.rollouts.resume(w.operator, id, { acknowledge: true })).rejects.toMatchObject({
    code: 'WRONG_STATE',
  });
});

it('four workers that look at once order each upgrade once, and no more than may be', async () => {
  const slugs = await w.stacks(6);
  await w.offer('stable');
  const { id } = await w.start({ settings: { canaryPercent: 100, concurrency: 3, soakSeconds: 0 } });
  await Promise.all([w.look(), w.look(), w.look(), w.look()]);
  expect(await w.open()).toHaveLength(3);
  for (let turn = 0; turn < 3; turn += 1) {
    await w.workOff();
    await Promise.all([w.look(), w.look(), w.look(), w.look()]);
    expect((await w.open()).length).toBeLessThanOrEqual(3);
  }
  expect(await w.view(id)).toMatchObject({ state: 'done', counts: { done: 6 } });
  expect(await Promise.all(slugs.map(upgradesOf))).toEqual(slugs.map(() => 1));
});

it('a worker that dies at any order leaves nothing half done, and the next one goes on', async () => {
  const slugs = await w.stacks(4);
  await w.offer('stable');
  const { id } = await w.start({ settings: { canaryPercent: 100, concurrency: 4, soakSeconds: 0 } });
  for (let dies = 1; dies <= 4; dies += 1) {
    let asked = 0;
    await expect(
      w.look({
        enqueue: (db, name, payload, options) => {
          asked += name === 'engine.operation' ? 1 : 0;
          // After its operation was written, before its transaction ends; and only one more at each life.
          return name === 'engine.operation' && asked === 2
            ? Promise.reject(new Error('the worker dies'))
            : w.world.queue.enqueue(db, name, payload, options);
        },
      }),
    )[dies === 4 ? 'resolves' : 'rejects'][dies === 4 ? 'toBeUndefined' : 'toThrow']();
    const rows = await w.db.findBy(RolloutStackEntity, { rolloutId: id, state: 'upgrading' });
    const open = await w.open();
    expect(new Set(rows.map(({ operationId }) => operationId))).toEqual(new Set(open.map(({ id: one }) => one)));
    expect(open).toHaveLength(dies);
  }
  await w.settle();
  expect(await w.view(id)).toMatchObject({ state: 'done', counts: { done: 4 } });
  expect(await Promise.all(slugs.map(upgradesOf))).toEqual(slugs.map(() => 1));
});

it('is looked at again soon while an upgrade of it is under way, whatever its state, and not once none is', async () => {
  await w.stacks(2);
  await w.offer('stable');
  const next = async (): Promise<number | null> => {
    const rows = await w.db.query<{ in: number }[]>(
      `delete from pgboss.job where name = 'rollouts.advance' returning round(extract(epoch from start_after - created_on))::int as in`,
    );
    return rows
      .flat()
      .reduce<number | null>((least, row) => (typeof row.in === 'number' ? Math.max(least ?? 0, row.in) : least), null);
  };
  const { id } = await w.start({ settings: { soakSeconds: 600 } });
  expect(await next()).toBe(0);
  await w.look();
  expect(await next()).toBe(5);
  await w.world.rollouts.pause(w.operator, id);
  await next();
  await w.look();
  expect(await next()).toBe(5);
  await w.workOff();
  await w.look();
  expect(await next()).toBeNull();
  await w.world.rollouts.resume(w.operator, id, { acknowledge: false });
  expect(await next()).toBe(0);
  await w.look();
  expect(await next()).toBe(60);
});

it('waits for what is under way on a stack, and for its window', async () => {
  const [busy = '', free = ''] = await w.stacks(2);
  await w.offer('stable');
  const hour = (at: Date): string => at.toISOString().slice(11, 16);
  const window = {
    from: hour(new Date(w.now().getTime() + 3_600_000)),
    to: hour(new Date(w.now().getTime() + 7_200_000)),
  };
  const restart = await w.world.stacks.request(w.operator, busy, 'restart');
  const { id } = await w.start({ settings: { canaryPercent: 100, window, soakSeconds: 0 } });
  await w.look();
  expect(await w.view(id)).toMatchObject({ state: 'planned', waits: { for: 'window', until: expect.any(String) } });
  w.pass(3_660);
  expect(await w.settle()).toEqual([[free]]);
  expect(await w.view(id)).toMatchObject({ state: 'running', counts: { done: 1, waiting: 1 } });
  await w.run(restart.operation.id, restart.stack.id);
  expect(await w.settle()).toEqual([[busy]]);
  expect(await w.view(id)).toMatchObject({ state: 'done' });
});

it('a candidate goes to the canary only where it may, waves wait until it is stable, and withdrawn it halts', async () => {
  await w.stacks(4);
  await w.offer('candidate');
  const refused = (promise: Promise<unknown>) =>
    promise.then(
      () => null,
      (error: { code: string; details: { why?: string } }) => error.details.why ?? error.code,
    );
  expect(await refused(w.start())).toBe('not_stable');
  const { id } = await w.start({ settings: { candidate: true, soakSeconds: 0 } });
  expect(await refused(w.start({ settings: { candidate: true } }))).toBe('open');
  await w.settle();
  expect(await w.view(id)).toMatchObject({ state: 'running', waits: { for: 'promotion' }, counts: { done: 1 } });
  await w.offer('stable');
  await w.look();
  expect((await w.open()).length).toBeGreaterThan(0);
  await w.world.releases.move(w.operator, w.second.id, 'withdraw');
  await w.settle();
  expect(await w.view(id)).toMatchObject({ state: 'halted', cause: 'withdrawn' });
  expect(await refused(w.world.rollouts.resume(w.operator, id, { acknowledge: true }))).toBe('withdrawn');
  await w.world.rollouts.abort(w.operator, id);
  await w.offer('stable');
  const everybody = await w.world.account();
  expect(await refused(w.world.rollouts.start(everybody, w.order()))).toBe('FORBIDDEN');
  expect(await refused(w.world.rollouts.start(w.operator, { ...w.order(), confirm: 'yes' }))).toBe('VALIDATION_FAILED');
  expect(await refused(w.start({ selection: { stacks: ['uaaaaaa'] } }))).toBe('NOT_FOUND');
  const gone = (await w.db.find(TenantEntity)).map(({ id: tenantId }) => tenantId);
  await w.db.update(TenantEntity, gone, { releaseId: w.second.id });
  expect(await refused(w.start())).toBe('nobody');
});
