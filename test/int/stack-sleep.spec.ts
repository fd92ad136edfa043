import { randomUUID } from 'node:crypto';
import { Semaphore } from '#libs/async';
import { DomainError, type Accepted, type Activity } from '#libs/contracts';
import { hashToken, randomToken } from '#libs/crypto';
import { HeartbeatEntity, newId, OperationEntity, SessionEntity, SleepTokenEntity, TenantEntity } from '#libs/db';
import type { Engine } from '#libs/engine';
import type { Probes } from '#libs/orchestrator';
import { healthyProbes, stackWorld, type StackWorld } from '../support/stack-world.js';

// Several test files and an engine may share two cores.
jest.setTimeout(60_000);

let world: StackWorld;
const never = new AbortController().signal;
const MINUTE = 60_000;

beforeAll(async () => {
  world = await stackWorld();
});
afterAll(() => world.close());

type Owner = Awaited<ReturnType<StackWorld['account']>>;

async function run(accepted: Accepted, options: Parameters<StackWorld['runner']>[0] = {}): Promise<OperationEntity> {
  await world.runner(options).run(accepted.operation.id, accepted.stack.id, never);
  return world.database.dataSource.manager.findOneByOrFail(OperationEntity, { id: accepted.operation.id });
}

async function report(id: string, beat: { runningBots?: number; openOrders?: number; ageMs?: number } = {}) {
  const { runningBots = 0, openOrders = 0, ageMs = 1_000 } = beat;
  await world.database.dataSource.manager.upsert(
    HeartbeatEntity,
    { tenantId: id, at: new Date(Date.now() - ageMs), bots: 2, runningBots, openOrders, equity: '10000' },
    ['tenantId'],
  );
}

async function running(): Promise<{ owner: Owner; slug: string; id: string }> {
  const owner = await world.account();
  const accepted = await world.stacks.create(owner, { template: 'standard' });
  expect(await run(accepted)).toMatchObject({ state: 'done' });
  return { owner, slug: accepted.stack.slug, id: accepted.stack.id };
}

async function asleep(options: Parameters<typeof run>[1] = {}): Promise<{ owner: Owner; slug: string; id: string }> {
  const stack = await running();
  await report(stack.id);
  expect(await run(await world.sleep.hibernate(stack.owner, stack.slug), options)).toMatchObject({ state: 'done' });
  return stack;
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
const answering = (activity: Activity | null): Probes => ({
  ...healthyProbes,
  activity: () => Promise.resolve(activity),
});
const operationsOf = (id: string, kind: string): Promise<number> =>
  world.database.dataSource.manager.countBy(OperationEntity, { tenantId: id, kind: kind as 'wake' });

it('FM-32 sleeps only when the stack itself said a moment ago that nothing of it trades', async () => {
  const { owner, slug, id } = await running();
  const refused = async (why: string): Promise<void> => {
    await expect(world.sleep.hibernate(owner, slug)).rejects.toMatchObject({ code: 'BOTS_RUNNING', details: { why } });
  };
  await refused('no_report');
  await report(id, { runningBots: 1 });
  await refused('bots_running');
  await report(id, { openOrders: 3 });
  await refused('orders_open');
  await report(id, { ageMs: 3 * MINUTE });
  await refused('no_report');
  await report(id);
  await run(await world.stacks.request(owner, slug, 'stop'));
  await refused('not_running');
  expect(await operationsOf(id, 'hibernate')).toBe(0);
});

it('leads visitors to the gate before it stops anything, and keeps every volume', async () => {
  const { owner, slug, id } = await running();
  const volumes = world.engine.names().volumes;
  await report(id);
  const seen: string[] = [];
  const watched = new Proxy<Engine>(world.engine, {
    get(target, name, receiver) {
      const member: unknown = Reflect.get(target, name, receiver);
      if (name !== 'stopContainer') {
        return typeof member === 'function' ? (member.bind(target) as unknown) : member;
      }
      return async (...args: Parameters<Engine['stopContainer']>) => {
        seen.push(await page(slug));
        await target.stopContainer(...args);
      };
    },
  });
  const ended = await run(await world.sleep.hibernate(owner, slug), { engine: watched });
  expect(ended).toMatchObject({ kind: 'hibernate', state: 'done', error: null });
  expect(seen).toEqual(['asleep', 'asleep', 'asleep']);
  expect(await states(id)).toEqual(['exited', 'exited', 'exited']);
  expect(world.engine.names().volumes).toEqual(volumes);
  expect(await world.stacks.get(owner, slug)).toMatchObject({ status: 'asleep', desired: 'hibernated', reason: null });
  // Again, from where it is: nothing to do.
  expect(await run(await world.sleep.hibernate(owner, slug))).toMatchObject({ state: 'done' });
});

it.each([
  ['a bot was started since it was asked for', { runningBots: 1, openOrders: 12 }, 'bots_running'],
  ['the runtime does not answer', null, 'no_answer'],
] as const)('FM-32 stays awake, untouched and served, when %s', async (_what, activity, why) => {
  const { owner, slug, id } = await running();
  await report(id);
  const stops = world.engine.log.count('stopContainer');
  const ended = await run(await world.sleep.hibernate(owner, slug), {
    probes: answering(activity && { ...activity, tokens: [] }),
  });
  expect(ended).toMatchObject({ state: 'failed', error: { code: 'BOTS_RUNNING', details: { why } } });
  expect(world.engine.log.count('stopContainer')).toBe(stops);
  expect(await states(id)).toEqual(['running', 'running', 'running']);
  expect(await page(slug)).toBe('');
  expect(await world.stacks.get(owner, slug)).toMatchObject({ status: 'running', desired: 'running', reason: null });
});

it('wakes behind the waiting page: its address leads to it only once it answers', async () => {
  const { owner, slug, id } = await asleep();
  const seen: string[] = [];
  const probes: Probes = { ...healthyProbes, ready: async () => void seen.push(await page(slug)) };
  const ended = await run(await world.sleep.wake(owner, slug), { probes });
  expect(ended).toMatchObject({ kind: 'wake', state: 'done', error: null });
  expect(seen).toEqual(['starting']);
  expect(await page(slug)).toBe('');
  expect(await states(id)).toEqual(['running', 'running', 'running']);
  expect((await world.stacks.get(owner, slug)).status).toBe('running');
});

describe('a visit', () => {
  async function session(accountId: string, change: { revoked?: boolean; expired?: boolean } = {}): Promise<string> {
    const id = newId();
    const now = new Date();
    await world.database.dataSource.manager.insert(SessionEntity, {
      id,
      accountId,
      createdAt: now,
      lastUsedAt: now,
      expiresAt: new Date(now.getTime() + (change.expired ? -MINUTE : 60 * MINUTE)),
      revokedAt: change.revoked ? now : null,
      revokeReason: null,
      userAgent: null,
      ip: null,
    });
    return id;
  }

  it('FM-32 of a thousand at once makes one wake', async () => {
    const { owner, slug, id } = await asleep();
    const sid = await session(owner.accountId);
    // As many at once as the gate lets through.
    const gate = new Semaphore(64);
    const answers = await Promise.all(
      Array.from({ length: 1_000 }, () => gate.run(() => world.sleep.wakeFor({ tenant: id, slug, sid }))),
    );
    expect(new Set(answers.map(({ state }) => state))).toEqual(new Set(['waking']));
    expect(await operationsOf(id, 'wake')).toBe(1);
    const { openOperation } = await world.stacks.get(owner, slug);
    expect(openOperation).toMatchObject({ kind: 'wake', requestedBy: owner.username });
    expect(await world.sleep.wakeFor({ tenant: id, slug, sid })).toEqual({ state: 'waking' });
  });

  it('FM-32 of anybody but its owner, signed in and not signed out, wakes nothing', async () => {
    const { owner, slug, id } = await asleep();
    const stranger = await world.account();
    const sids = [
      randomUUID(),
      await session(stranger.accountId),
      await session(owner.accountId, { revoked: true }),
      await session(owner.accountId, { expired: true }),
    ];
    for (const sid of sids) {
      await expect(world.sleep.wakeFor({ tenant: id, slug, sid })).rejects.toMatchObject({
        code: 'UNAUTHENTICATED',
      });
    }
    const sid = await session(owner.accountId);
    await expect(world.sleep.wakeFor({ tenant: randomUUID(), slug, sid })).rejects.toMatchObject({
      code: 'UNAUTHENTICATED',
    });
    expect(await operationsOf(id, 'wake')).toBe(0);
  });

  it('neither wakes what its owner stopped, nor what is held, nor what still falls asleep', async () => {
    const stopped = await running();
    await run(await world.stacks.request(stopped.owner, stopped.slug, 'stop'));
    const visit = async ({ owner, slug, id }: typeof stopped) =>
      world.sleep.wakeFor({ tenant: id, slug, sid: await session(owner.accountId) });
    expect(await visit(stopped)).toEqual({ state: 'away' });

    const held = await asleep();
    await run(await world.holds.suspend(await world.operator(), held.slug, 'held'));
    expect(await visit(held)).toEqual({ state: 'away' });
    expect(await operationsOf(held.id, 'wake')).toBe(0);
    await run(await world.holds.resume(await world.operator(), held.slug));
    expect((await world.stacks.get(held.owner, held.slug)).status).toBe('asleep');
    expect(await page(held.slug)).toBe('asleep');

    const falling = await running();
    await report(falling.id);
    await world.sleep.hibernate(falling.owner, falling.slug);
    await expect(visit(falling)).rejects.toMatchObject({ code: 'TENANT_BUSY' });
  });

  it('learns that a start under way failed, and why in its owner’s session alone', async () => {
    const { owner, slug, id } = await asleep();
    const sid = await session(owner.accountId);
    const asked = await world.sleep.wake(owner, slug);
    const starting = { state: 'starting', reason: null };
    expect(await world.sleep.standing({ tenant: id, slug, sid })).toEqual(starting);
    const ready = () =>
      Promise.reject(new DomainError('HEALTH_GATE_FAILED', { message: 'The runtime does not answer.' }));
    expect(await run(asked, { probes: { ...healthyProbes, ready } })).toMatchObject({ state: 'failed' });
    expect(await page(slug)).toBe('starting');
    const told = await world.sleep.standing({ tenant: id, slug, sid });
    expect(told).toEqual({ state: 'failed', reason: expect.stringContaining('The runtime does not answer.') });
    const stranger = await world.account();
    for (const other of [
      null,
      randomUUID(),
      await session(stranger.accountId),
      await session(owner.accountId, { revoked: true }),
    ]) {
      expect(await world.sleep.standing({ tenant: id, slug, sid: other })).toEqual({ state: 'failed', reason: null });
    }
    await expect(world.sleep.standing({ tenant: randomUUID(), slug, sid })).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
    // Asked for again it starts again, and leads to the stack in the end.
    const again = await world.stacks.request(owner, slug, 'start');
    expect(await world.sleep.standing({ tenant: id, slug, sid })).toEqual(starting);
    expect(await run(again)).toMatchObject({ state: 'done' });
    expect(await world.sleep.standing({ tenant: id, slug, sid })).toEqual(starting);
    expect(await page(slug)).toBe('');
  });

  it('is not told of waking for ever where a wake failed before it led anywhere', async () => {
    const { owner, slug, id } = await asleep();
    const sid = await session(owner.accountId);
    const { operation } = await world.sleep.wake(owner, slug);
    const { manager } = world.database.dataSource;
    expect(await world.sleep.wakeFor({ tenant: id, slug, sid })).toEqual({ state: 'waking' });
    await manager.update(OperationEntity, { id: operation.id }, { state: 'failed', finishedAt: new Date() });
    await manager.update(TenantEntity, { id }, { observed: 'failed', reason: 'No room.', reasonCode: 'NO_CAPACITY' });
    expect(await world.sleep.wakeFor({ tenant: id, slug, sid })).toEqual({ state: 'failed', reason: 'No room.' });
  });
});

describe('a token', () => {
  const DAY = 24 * 60 * MINUTE;
  const token = (ageMs = 0): { digest: string; expiresAt: string } => ({
    digest: hashToken(randomToken()),
    expiresAt: new Date(Date.now() + DAY - ageMs).toISOString(),
  });
  const idle = (...tokens: Activity['tokens']): Activity => ({ runningBots: 0, openOrders: 0, tokens });
  const withTokens = (...tokens: Activity['tokens']) => asleep({ probes: answering(idle(...tokens)) });
  /** Answers in this order, the last one for good. */
  const inTurn = (...answers: (Activity | null)[]): Probes => ({
    ...healthyProbes,
    activity: () => Promise.resolve((answers.length > 1 ? answers.shift() : answers[0]) ?? null),
  });
  const kept = async (id: string): Promise<string[]> =>
    (await world.database.dataSource.manager.findBy(SleepTokenEntity, { tenantId: id })).map(({ digest }) => digest);
  const wakesNot = (tenant: string, slug: string, { digest }: { digest: string }) =>
    expect(world.sleep.wakeFor({ tenant, slug, digest })).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });

  it('FM-32 that was valid as the stack fell asleep wakes it, a thousand at once making one wake', async () => {
    const [first, second] = [token(), token()];
    const { owner, slug, id } = await withTokens(first, second);
    expect(new Set(await kept(id))).toEqual(new Set([first.digest, second.digest]));
    const gate = new Semaphore(64);
    const answers = await Promise.all(
      Array.from({ length: 1_000 }, (_, index) =>
        gate.run(() => world.sleep.wakeFor({ tenant: id, slug, digest: (index % 2 ? first : second).digest })),
      ),
    );
    expect(new Set(answers.map(({ state }) => state))).toEqual(new Set(['waking']));
    expect(await operationsOf(id, 'wake')).toBe(1);
    const { openOperation } = await world.stacks.get(owner, slug);
    expect(openOperation).toMatchObject({ kind: 'wake', requestedBy: owner.username });
    // Awake it knows its tokens itself.
    await world.runner().run(openOperation?.id ?? '', id, never);
    expect(await page(slug)).toBe('');
    expect(await kept(id)).toEqual([]);
    await wakesNot(id, slug, first);
  });

  it('FM-32 that is revoked, expired, random or another stack’s wakes nothing', async () => {
    const [valid, expired, foreign] = [token(), token(DAY + 1_000), token()];
    const { slug, id } = await withTokens(valid, expired);
    const other = await withTokens(foreign);
    for (const digest of [expired, foreign, token(), { digest: randomToken() }]) {
      await wakesNot(id, slug, digest);
    }
    await wakesNot(id, other.slug, valid);
    await wakesNot(other.id, slug, valid);
    await wakesNot(randomUUID(), slug, valid);
    expect(await operationsOf(id, 'wake')).toBe(0);

    // Revoked while it was awake: the next sleep knows nothing of it any more.
    expect(await world.sleep.wakeFor({ tenant: id, slug, digest: valid.digest })).toEqual({ state: 'waking' });
    const { openOperation } = await world.stacks.get(await world.operator(), slug);
    await world.runner().run(openOperation?.id ?? '', id, never);
    await report(id);
    const fresh = token();
    const again = await world.sleep.hibernate(await world.operator(), slug);
    expect(await run(again, { probes: answering(idle(fresh)) })).toMatchObject({ state: 'done' });
    await wakesNot(id, slug, valid);
    expect(await kept(id)).toEqual([fresh.digest]);
    expect(await operationsOf(id, 'wake')).toBe(1);
  });

  it('FM-32 that was made while the stack was already on its way to sleep wakes it too', async () => {
    const [before, late] = [token(), token()];
    const { slug, id } = await asleep({ probes: inTurn(idle(before), idle(before, late)) });
    expect(await world.sleep.wakeFor({ tenant: id, slug, digest: late.digest })).toEqual({ state: 'waking' });
    // One that does not answer again has said it before.
    const silent = await asleep({ probes: inTurn(idle(before), null) });
    expect(await kept(silent.id)).toEqual([before.digest]);
  });

  it('FM-32 a bot that was started behind the first answer keeps the stack awake, and the error tells no token', async () => {
    const { owner, slug, id } = await running();
    await report(id);
    const stops = world.engine.log.count('stopContainer');
    const secret = token();
    const busy = { runningBots: 1, openOrders: 4, tokens: [secret] };
    const probes = inTurn(idle(secret), busy);
    const ended = await run(await world.sleep.hibernate(owner, slug), { probes });
    expect(ended).toMatchObject({
      state: 'failed',
      error: { code: 'BOTS_RUNNING', details: { why: 'bots_running', runningBots: 1, openOrders: 4 } },
    });
    expect(JSON.stringify(ended)).not.toContain(secret.digest);
    expect(world.engine.log.count('stopContainer')).toBe(stops);
    expect(await page(slug)).toBe('');
    expect(await world.stacks.get(owner, slug)).toMatchObject({ status: 'running', desired: 'running' });
    await wakesNot(id, slug, secret);
  });

  it('FM-32 wakes neither what is held nor what its owner stopped, and goes with the stack', async () => {
    const one = token();
    const { owner, slug, id } = await withTokens(one);
    const ask = () => world.sleep.wakeFor({ tenant: id, slug, digest: one.digest });
    await run(await world.holds.suspend(await world.operator(), slug, 'held'));
    expect(await ask()).toEqual({ state: 'away' });
    await run(await world.holds.resume(await world.operator(), slug));
    // Asleep again as before, so it may be woken as before.
    expect(await kept(id)).toEqual([one.digest]);
    const stop = await world.stacks.request(owner, slug, 'stop');
    expect(await ask()).toEqual({ state: 'away' });
    expect(await run(stop)).toMatchObject({ state: 'done' });
    await wakesNot(id, slug, one);
    expect(await operationsOf(id, 'wake')).toBe(0);
    expect(await kept(id)).toEqual([]);

    const gone = await withTokens(token());
    await run(await world.stacks.request(gone.owner, gone.slug, 'destroy'));
    expect(await kept(gone.id)).toEqual([]);
  });

  it('is told that a wake failed, and not why', async () => {
    const one = token();
    const { owner, slug, id } = await withTokens(one);
    const { operation } = await world.sleep.wake(owner, slug);
    const { manager } = world.database.dataSource;
    await manager.update(OperationEntity, { id: operation.id }, { state: 'failed', finishedAt: new Date() });
    await manager.update(TenantEntity, { id }, { observed: 'failed', reason: 'No room.', reasonCode: 'NO_CAPACITY' });
    const told = await world.sleep.wakeFor({ tenant: id, slug, digest: one.digest });
    expect(told).toEqual({ state: 'failed', reason: null });
  });
});
