import type { Hold, HoldAnswer } from '#libs/contracts';
import { OperationEntity, TenantEntity } from '#libs/db';
import { listAlarms } from '#libs/jobs';
import type { Probes } from '#libs/orchestrator';
import { forgetWarnings, recordUsage, type HostDisk } from '#libs/tenants';
import { aviary, environment } from '../support/cli.js';
import { runningStack, type RunningStack } from '../support/running-stack.js';
import { stackWorld, type StackWorld } from '../support/stack-world.js';

jest.setTimeout(60_000);

const GIB = 1024 ** 3;
const never = new AbortController().signal;
let world: StackWorld;

beforeAll(async () => {
  world = await stackWorld();
});
afterAll(() => world.close());

const running = (): Promise<RunningStack> => runningStack(world);

/** A guard as an agent has it, and what it asked the runtimes for. */
function guard(answer: (slug: string) => HoldAnswer | null = () => ({ held: 1, openOrders: 0 }), hostDisk?: HostDisk) {
  const asked: { slug: string; hold: Hold }[] = [];
  const probes: Pick<Probes, 'hold'> = {
    hold: (facts, _key, hold) => {
      asked.push({ slug: facts.slug, hold });
      return Promise.resolve(answer(facts.slug));
    },
  };
  return {
    asked: ({ slug }: RunningStack) => asked.filter((one) => one.slug === slug).map(({ hold }) => hold),
    guard: world.diskGuard({ probes, ...(hostDisk ? { hostDisk } : {}) }),
  };
}

/** What the real program prints; it ends as told. */
async function printed(exit: number, ...args: string[]): Promise<string> {
  const { code, stdout } = await aviary(environment(world.database), args);
  expect([args.join(' '), code]).toEqual([args.join(' '), exit]);
  return stdout;
}

let at = Date.now() - 3_600_000;
async function measured({ id, limits }: RunningStack, percent: number): Promise<void> {
  at += 60_000;
  await recordUsage(world.database.dataSource, {
    engineId: 'local',
    at: new Date(at),
    stacks: [
      {
        tenantId: id,
        cpu: 0,
        memoryBytes: 0,
        diskBytes: Math.ceil((percent / 100) * limits.diskGb * GIB),
        receivedBytes: 0,
        sentBytes: 0,
        services: [],
      },
    ],
    engine: {
      cpu: 0,
      cores: 2,
      memoryBytes: 0,
      memoryTotalBytes: 1,
      diskBytes: 0,
      diskTotalBytes: 1,
      receivedBytes: 0,
      sentBytes: 0,
    },
  });
}

const alarms = async ({ slug }: Pick<RunningStack, 'slug'>): Promise<(string | null)[][]> =>
  (await listAlarms(world.database.dataSource, new Date()))
    .filter(({ key }) => key === `stack-disk/local/${slug}`)
    .map(({ severity, endedAt }) => [severity, endedAt === null ? 'open' : 'over']);

describe('FM-27 a stack’s own disk', () => {
  it('FM-27 at 90 % is told on its page, to operators, and by one mail however often it is measured', async () => {
    const stack = await running();
    const { asked, guard: keeper } = guard();
    await measured(stack, 89);
    await keeper.turn(never);
    expect([await stack.warnings(), await stack.warningMails(), keeper.near]).toEqual([[], [], true]);
    for (const percent of [90, 92, 88, 91, 86, 94]) {
      await measured(stack, percent);
      await keeper.turn(never);
      expect(await stack.warnings()).toMatchObject([{ code: 'DISK_NEARLY_FULL', level: 'warn', params: { percent } }]);
    }
    expect(await alarms(stack)).toEqual([['warning', 'open']]);
    expect(await stack.warningMails()).toEqual([expect.stringContaining('94 % of the disk of its plan')]);
    await measured(stack, 84);
    await keeper.turn(never);
    expect([await stack.warnings(), await alarms(stack)]).toEqual([[], [['warning', 'over']]]);
    expect(asked(stack)).toEqual([]);
  });

  it('FM-27 a warning that comes and goes is told by one mail a day, and at once when bots are held', async () => {
    const stack = await running();
    const { guard: keeper } = guard();
    const { dataSource } = world.database;
    const at = async (percent: number): Promise<[number, number]> => {
      await measured(stack, percent);
      await keeper.turn(never);
      return [(await stack.warnings()).length, (await stack.warningMails()).length];
    };
    for (const round of [1, 2, 3]) {
      expect([round, await at(90)]).toEqual([round, [1, 1]]);
      expect([round, await at(84)]).toEqual([round, [0, 1]]);
      await forgetWarnings(dataSource, new Date());
    }
    for (const round of [1, 2]) {
      expect([round, await at(95)]).toEqual([round, [1, 2]]);
      expect([round, await at(84)]).toEqual([round, [0, 2]]);
    }
    await dataSource.query(`update stack_warnings set told_at = now() - interval '25 hours' where tenant_id = $1`, [
      stack.id,
    ]);
    expect(await at(90)).toEqual([1, 3]);
  });

  it('FM-27 a disk that fills is measured more often from the measurement on that shows it', async () => {
    const stack = await running();
    const { guard: keeper } = guard();
    const others = await world.database.dataSource.manager.find(TenantEntity, { select: { id: true } });
    const bytes = (percent: number) =>
      new Map([
        ...others.map(({ id }): [string, number] => [id, 0]),
        [stack.id, (percent / 100) * stack.limits.diskGb * GIB],
      ]);
    // Twice: what stacks of other tests were warned of is over then.
    await keeper.heed(bytes(79));
    await keeper.heed(bytes(79));
    expect(keeper.near).toBe(false);
    await keeper.heed(bytes(81));
    expect(keeper.near).toBe(true);
  });

  it('FM-27 what was measured is seen to at once, before it is written', async () => {
    const stack = await running();
    const { asked, guard: keeper } = guard();
    await keeper.heed(new Map([[stack.id, 0.96 * stack.limits.diskGb * GIB]]), never);
    expect(await stack.warnings()).toMatchObject([{ code: 'DISK_FULL', params: { percent: 96 } }]);
    expect(asked(stack)).toEqual([{ kind: 'disk', percent: 96 }]);
  });

  it('FM-27 a stack that writes on far beyond its plan is stopped, keeps its data, and its owner is told why', async () => {
    const stack = await running();
    // It answers nothing to being asked.
    const { guard: keeper } = guard(() => null);
    const bytes = (share: number) => new Map([[stack.id, share * stack.limits.diskGb * GIB]]);
    await keeper.heed(bytes(1.09), never);
    const open = () =>
      world.database.dataSource.manager.findOneBy(OperationEntity, { tenantId: stack.id, state: 'queued' });
    expect(await open()).toBeNull();
    await keeper.heed(bytes(1.12), never);
    const repair = await open();
    expect(repair).toMatchObject({ kind: 'repair' });
    await world.runner().run(repair!.id, stack.id, never);
    const view = await world.stacks.get(await world.operator(), stack.slug);
    expect(view).toMatchObject({ status: 'attention', holds: ['breaker'], reasonCode: 'DISK_OVERRUN' });
    expect(view.reason).toContain('uses 112 % of the disk of its plan');
    const { containers, volumes } = world.engine.names();
    expect(volumes.filter((name) => name.includes(`${stack.slug}-data`))).toHaveLength(1);
    const states = await world.engine.observe(
      { platform: world.database.platformId, tenant: stack.id },
      { deadlineMs: 5_000 },
    );
    expect(states.containers.map(({ status }) => status)).toEqual(['exited', 'exited', 'exited']);
    expect(containers.filter((name) => name.includes(stack.slug))).toHaveLength(3);
    // Once.
    await keeper.heed(bytes(1.15), never);
    expect(await open()).toBeNull();
  });

  it('FM-27 is told at a terminal, in words and in JSON', async () => {
    const stack = await running();
    const { guard: keeper } = guard();
    await measured(stack, 95);
    await keeper.turn(never);
    await world.operator();
    const shown = await printed(0, 'tenant', 'show', stack.slug, '--json');
    expect(JSON.parse(shown)).toMatchObject({
      data: { warnings: [{ code: 'DISK_FULL', params: { percent: 95 }, heldSince: expect.any(String) }] },
    });
    expect(await printed(0, 'tenant', 'show', stack.slug)).toMatch(/^!! +The stack uses 95 % .* Held since /m);
    expect(await printed(0, 'tenant', 'list', '--q', stack.slug)).toContain('DISK_FULL');
    expect(await printed(8, 'alarm', 'list')).toContain(`${stack.slug}: The stack uses 95 %`);
  });

  it('FM-27 at 95 % its bots are held and it takes nothing new, until it is below 90 % or has a larger plan', async () => {
    const stack = await running();
    const { asked, guard: keeper } = guard();
    await measured(stack, 95);
    await keeper.turn(never);
    expect(await stack.warnings()).toMatchObject([
      { code: 'DISK_FULL', level: 'bad', params: { percent: 95 }, heldSince: expect.any(String) },
    ]);
    expect(await alarms(stack)).toEqual([['critical', 'open']]);
    expect(await stack.warningMails()).toEqual([expect.stringContaining('open orders are taken back')]);
    const [first] = await stack.warnings();
    await measured(stack, 91);
    await keeper.turn(never);
    // Said anew each time: it may have been started since.
    expect(asked(stack)).toEqual([
      { kind: 'disk', percent: 95 },
      { kind: 'disk', percent: 91 },
    ]);
    expect(await stack.warnings()).toMatchObject([
      { code: 'DISK_FULL', since: first?.since, heldSince: first?.heldSince },
    ]);
    // A larger plan, without a new measurement.
    const { limits } = await world.database.dataSource.manager.findOneByOrFail(TenantEntity, { id: stack.id });
    await world.database.dataSource.manager.update(
      TenantEntity,
      { id: stack.id },
      { limits: { ...limits, diskGb: limits.diskGb * 2 } },
    );
    await keeper.turn(never);
    expect(asked(stack).at(-1)).toEqual({ kind: 'disk', percent: null });
    expect([await stack.warnings(), (await stack.warningMails()).length]).toEqual([[], 1]);
    await keeper.turn(never);
    expect(asked(stack)).toHaveLength(3);
  });

  it('FM-27 a hold nobody heard the answer of is ended as well, and its page says that the stack has not heard of it', async () => {
    const stack = await running();
    let answer: HoldAnswer | null = null;
    const { asked, guard: keeper } = guard(() => answer);
    await measured(stack, 97);
    await keeper.turn(never);
    expect(await stack.warnings()).toMatchObject([{ code: 'DISK_FULL', heldSince: null }]);
    await measured(stack, 50);
    await keeper.turn(never);
    expect(await stack.warnings()).toMatchObject([{ code: 'DISK_FREED' }]);
    expect(await alarms(stack)).toEqual([['critical', 'over']]);
    answer = { held: 0, openOrders: 0 };
    await keeper.turn(never);
    expect(await stack.warnings()).toEqual([]);
    expect(asked(stack)).toEqual([
      { kind: 'disk', percent: 97 },
      { kind: 'disk', percent: null },
      { kind: 'disk', percent: null },
    ]);
    // Over before it was written: nobody needs it any more, until it comes back.
    expect(await stack.warningMails()).toEqual([]);
    await measured(stack, 97);
    await keeper.turn(never);
    expect(await stack.warningMails()).toHaveLength(1);
  });

  it('FM-27 one stack’s trouble keeps no other from being held, and a stack that is gone is left alone', async () => {
    const [first, second, third] = [await running(), await running(), await running()];
    await Promise.all([first, second, third].map((stack) => measured(stack, 96)));
    await world.database.dataSource.query(`delete from tenant_secrets where tenant_id = $1`, [first.id]);
    await world.database.dataSource.query(`update tenants set desired = 'deleted' where id = $1`, [third.id]);
    const { asked, guard: keeper } = guard();
    await expect(keeper.turn(never)).rejects.toThrow(first.slug);
    expect([asked(second).length, asked(third).length]).toEqual([1, 0]);
    expect(await third.warnings()).toEqual([]);
  });
});

describe('FM-27 the disk of the host, which stacks well within their plans fill', () => {
  const desired = (slugs: readonly string[], state: 'running' | 'stopped'): Promise<unknown> =>
    world.database.dataSource.query('update tenants set desired = $2 where slug = any($1)', [slugs, state]);
  beforeAll(() => world.operator());
  // Those of other tests rest.
  beforeEach(() => world.database.dataSource.query(`update tenants set desired = 'stopped' where desired = 'running'`));
  const floorMb = 2_048;
  const nearly = (freeMb: number): HostDisk => ({ totalMb: 100_000, freeMb, floorMb });
  const all = { slug: 'all' };

  it('FM-27 below what must stay free has the bots of every stack that runs held, until there is room to spare', async () => {
    const [small, unmeasured, rests, full] = [await running(), await running(), await running(), await running()];
    await measured(small, 10);
    await measured(full, 96);
    await desired([rests.slug], 'stopped');
    const host = nearly(floorMb);
    const { asked, guard: keeper } = guard(undefined, host);
    await keeper.turn(never);
    expect([await small.warnings(), await alarms(all)]).toEqual([[], []]);

    host.freeMb = 1_500;
    await keeper.turn(never);
    for (const stack of [small, unmeasured]) {
      expect(await stack.warnings()).toMatchObject([
        {
          code: 'HOST_DISK_FULL',
          level: 'bad',
          params: { percent: 98, free: '1.46', floor: '2.00' },
          heldSince: expect.any(String),
        },
      ]);
      expect(asked(stack)).toEqual([{ kind: 'disk', percent: 98 }]);
    }
    expect(await small.warningMails()).toEqual([expect.stringContaining('It is the host, not the plan of the stack')]);
    expect([await rests.warnings(), asked(rests)]).toEqual([[], []]);
    // Of its own disk its owner can make room.
    expect(await full.warnings()).toMatchObject([{ code: 'DISK_FULL', params: { percent: 96 } }]);
    expect(await alarms(all)).toEqual([['critical', 'open']]);
    const said = await printed(8, 'alarm', 'list');
    expect(said).toContain('The host local has 1.46 GiB of disk left and 2.00 GiB must stay free');
    expect(said).toContain('3 of 3 that run hold theirs');
    expect(await alarms(small)).toEqual([]);

    // Whoever takes over goes on where the other was: not quite enough is not enough.
    const next = guard(undefined, host);
    host.freeMb = floorMb + 511;
    await next.guard.turn(never);
    expect(next.asked(small)).toEqual([{ kind: 'disk', percent: 97 }]);
    host.freeMb = floorMb + 512;
    await next.guard.turn(never);
    for (const stack of [small, unmeasured]) {
      expect(next.asked(stack).at(-1)).toEqual({ kind: 'disk', percent: null });
      expect(await stack.warnings()).toEqual([]);
    }
    expect([await full.warnings(), next.asked(full).at(-1)]).toMatchObject([[{ code: 'DISK_FULL' }], { percent: 96 }]);
    expect(await alarms(all)).toEqual([['critical', 'over']]);
    const { length } = next.asked(small);
    host.freeMb = floorMb;
    await next.guard.turn(never);
    expect([await small.warnings(), next.asked(small).length]).toEqual([[], length]);
    expect(await small.warningMails()).toHaveLength(1);
  });

  it('FM-27 tells operators how many hold, and lets go of one that was stopped meanwhile once it runs again', async () => {
    const [deaf, stopped] = [await running(), await running()];
    const host = nearly(1_000);
    const { asked, guard: keeper } = guard((slug) => (slug === deaf.slug ? null : { held: 1, openOrders: 0 }), host);
    await keeper.turn(never);
    expect(await printed(8, 'alarm', 'list')).toContain('1 of 2 that run hold theirs');
    expect(await deaf.warnings()).toMatchObject([{ code: 'HOST_DISK_FULL', heldSince: null }]);
    await desired([stopped.slug], 'stopped');
    await keeper.turn(never);
    expect(await stopped.warnings()).toMatchObject([{ code: 'HOST_DISK_FULL', heldSince: expect.any(String) }]);
    host.freeMb = 50_000;
    await keeper.turn(never);
    expect(await stopped.warnings()).toMatchObject([{ code: 'DISK_FREED' }]);
    await desired([stopped.slug], 'running');
    await keeper.turn(never);
    expect(await stopped.warnings()).toEqual([]);
    expect(asked(stopped)).toEqual([
      { kind: 'disk', percent: 99 },
      { kind: 'disk', percent: null },
    ]);
  });
});
