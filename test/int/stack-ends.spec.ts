import { setTimeout as pause } from 'node:timers/promises';
import { waitFor } from '#libs/async';
import type { StackWarning } from '#libs/contracts';
import { StackWarningEntity } from '#libs/db';
import { LABEL, type EngineWatch, type EventKind } from '#libs/engine';
import { readFacts } from '#libs/orchestrator';
import { forgetWarnings, recordUsage } from '#libs/tenants';
import { MemoryGuard } from '../../apps/agent/src/memory-guard.js';
import { runningStack, type RunningStack } from '../support/running-stack.js';
import { stackWorld, type StackWorld } from '../support/stack-world.js';

jest.setTimeout(60_000);

const MIB = 1024 ** 2;
const never = new AbortController().signal;
let world: StackWorld;
beforeAll(async () => {
  world = await stackWorld();
});
afterAll(() => world.close());

const running = (): Promise<RunningStack> => runningStack(world);

/** A reconciler that follows the engine's events while `work` is done, and looks until `seen` gives something. */
async function whileLooking<T>(
  work: () => unknown,
  seen: () => Promise<T | undefined>,
  watch?: Pick<EngineWatch, 'log'>,
): Promise<T> {
  const reconciler = world.reconciler(watch ? { watch: watch as EngineWatch } : {});
  const control = new AbortController();
  const following = reconciler.follow(control.signal);
  try {
    await reconciler.turn(never);
    await work();
    return await waitFor(
      async () => {
        await reconciler.turn(never);
        return seen();
      },
      { what: 'what the reconciler writes', deadlineMs: 15_000 },
    );
  } finally {
    control.abort();
    await following;
  }
}

const first = async (stack: RunningStack): Promise<StackWarning | undefined> => (await stack.warnings())[0];

describe('FM-30 why a service of a stack that goes on ended', () => {
  it('FM-30 is told with its exit code and its last words before it was started again, and counted on', async () => {
    const stack = await running();
    const runtime = stack.container('runtime');
    const line = (words: string, afterMs: number) => ({
      at: new Date(Date.now() + afterMs).toISOString(),
      stream: 'out' as const,
      text: words,
    });
    const watch = {
      log: () =>
        ReadableStream.from([
          line('heap is full', -60_000),
          line('giving up', -30_000),
          line('starting anew', 60_000),
        ]).values(),
    };
    const once = await whileLooking(
      () => world.engine.crash(runtime, 3),
      () => first(stack),
      watch,
    );
    expect(once).toMatchObject({
      code: 'SERVICE_ENDED',
      level: 'warn',
      params: { service: 'runtime', exitCode: 3, times: 1, log: 'heap is full\ngiving up' },
      message: expect.stringContaining('runtime ended once, last with exit code 3, and was started again.'),
    });
    await whileLooking(
      () => world.engine.crash(runtime, 4),
      async () => ((await first(stack))?.params['times'] === 2 ? true : undefined),
      watch,
    );
    expect(await first(stack)).toMatchObject({ since: once.since, params: { exitCode: 4, times: 2 } });
    // Nobody is needed for what was started again.
    expect(await stack.warningMails()).toEqual([]);
  });

  it('FM-30 too little memory is told by one mail, however often it happens', async () => {
    const stack = await running();
    const postgres = stack.container('postgres');
    for (const times of [1, 2, 3]) {
      await whileLooking(
        () => world.engine.crash(postgres, 137, { oomKilled: true }),
        async () => ((await first(stack))?.params['times'] === times ? true : undefined),
      );
    }
    expect(await first(stack)).toMatchObject({ code: 'SERVICE_OUT_OF_MEMORY', params: { service: 'postgres' } });
    expect(await stack.warningMails()).toEqual([expect.stringContaining('postgres ran out of memory')]);
    expect((await world.stacks.get(await world.operator(), stack.slug)).warnings).toHaveLength(1);
    await world.database.dataSource.query(
      `update stack_warnings set seen_at = now() - interval '25 hours' where tenant_id = $1`,
      [stack.id],
    );
    await forgetWarnings(world.database.dataSource, new Date());
    expect(await stack.warnings()).toEqual([]);
  });

  it('FM-30 an end heard while another is written is counted once, and the memory told after the end belongs to it', async () => {
    const stack = await running();
    const { dataSource } = world.database;
    const facts = await readFacts(dataSource.manager, world.facts, stack.id);
    if (!facts) {
      throw new Error('The stack is not there.');
    }
    const died = (exitCode: number): void =>
      keeper.hear(stack.id, {
        kind: 'container died',
        at: new Date(),
        name: stack.container('runtime'),
        containerId: 'one',
        labels: { [LABEL.service]: 'runtime' },
        exitCode,
      });
    const { promise: reading, resolve: begun } = Promise.withResolvers<void>();
    const { promise: read, resolve: goOn } = Promise.withResolvers<void>();
    const keeper = world.endKeeper({
      log: async function* () {
        begun();
        await read;
        yield { at: new Date(0).toISOString(), stream: 'out' as const, text: 'last words' };
      },
    });
    died(3);
    const noting = keeper.note(facts, never);
    await reading;
    died(4);
    goOn();
    await noting;
    expect(await first(stack)).toMatchObject({ params: { exitCode: 3, times: 1 } });
    await keeper.note(facts, never);
    expect(await first(stack)).toMatchObject({ params: { exitCode: 4, times: 2 } });
    expect([...keeper.keys()]).toEqual([]);
    // The two events of one end in the other order.
    died(137);
    keeper.hear(stack.id, {
      kind: 'container out of memory',
      at: new Date(),
      name: stack.container('runtime'),
      containerId: 'one',
      labels: { [LABEL.service]: 'runtime' },
      exitCode: null,
    });
    await keeper.note(facts, never);
    expect(await first(stack)).toMatchObject({
      code: 'SERVICE_OUT_OF_MEMORY',
      params: { service: 'runtime', times: 1 },
    });
  });

  it('FM-30 what an operation stopped is told of as nothing that ended, however late it is heard', async () => {
    const stack = await running();
    const facts = await readFacts(world.database.dataSource.manager, world.facts, stack.id);
    if (!facts) {
      throw new Error('The stack is not there.');
    }
    const [row] = await world.database.dataSource.query<{ at: Date }[]>(
      'select max(finished_at) as at from operations where tenant_id = $1',
      [stack.id],
    );
    const keeper = world.endKeeper();
    const hear = (at: number): void =>
      keeper.hear(stack.id, {
        kind: 'container died',
        at: new Date(at),
        name: stack.container('postgres'),
        containerId: 'one',
        labels: { [LABEL.service]: 'postgres' },
        exitCode: 0,
      });
    const ended = row!.at.getTime();
    hear(ended - 1);
    await keeper.note(facts, never);
    expect(await stack.warnings()).toEqual([]);
    hear(ended + 1);
    await keeper.note(facts, never);
    expect(await first(stack)).toMatchObject({ code: 'SERVICE_ENDED', params: { service: 'postgres', times: 1 } });
  });

  it('FM-30 too little memory is hidden by nothing else that ended, beside it or later that day', async () => {
    const stack = await running();
    const keeper = world.endKeeper();
    const { dataSource } = world.database;
    const facts = await readFacts(dataSource.manager, world.facts, stack.id);
    if (!facts) {
      throw new Error('The stack is not there.');
    }
    const hear = (service: string, kind: EventKind, exitCode: number | null = null): void =>
      keeper.hear(stack.id, {
        kind,
        at: new Date(),
        name: stack.container(service),
        containerId: 'one',
        labels: { [LABEL.service]: service },
        exitCode,
      });
    hear('postgres', 'container out of memory');
    hear('runtime', 'container died', 1);
    // Until all of it is ended the kernel may say so again and again.
    hear('postgres', 'container out of memory');
    hear('postgres', 'container out of memory');
    await keeper.note(facts, never);
    hear('postgres', 'container out of memory');
    hear('postgres', 'container died', 137);
    hear('postgres', 'container out of memory');
    await keeper.note(facts, never);
    const told = await stack.warnings();
    expect(told).toMatchObject([{ code: 'SERVICE_OUT_OF_MEMORY', params: { service: 'postgres', times: 1 } }]);
    hear('redis', 'container died', 1);
    await keeper.note(facts, never);
    expect(await stack.warnings()).toEqual(told);
    // What is told later than a moment after an end is another one.
    await pause(1_100);
    hear('postgres', 'container out of memory');
    await keeper.note(facts, never);
    expect(await stack.warnings()).toMatchObject([
      { code: 'SERVICE_OUT_OF_MEMORY', params: { service: 'postgres', times: 2 } },
    ]);
    expect(await stack.warningMails()).toEqual([expect.stringContaining('postgres ran out of memory')]);
    await dataSource.query(`update stack_warnings set seen_at = now() - interval '25 hours' where tenant_id = $1`, [
      stack.id,
    ]);
    hear('redis', 'container died', 1);
    await keeper.note(facts, never);
    expect(await stack.warnings()).toMatchObject([{ code: 'SERVICE_ENDED', params: { service: 'redis', times: 1 } }]);
  });

  it('FM-30 says nothing of what an operation stops and starts', async () => {
    const stack = await running();
    const other = await running();
    await whileLooking(
      async () => {
        const { operation } = await world.stacks.request(stack.owner, stack.slug, 'restart');
        await world.runner().run(operation.id, stack.id, never);
        world.engine.crash(other.container('redis'), 1);
      },
      () => first(other),
    );
    expect(await stack.warnings()).toEqual([]);
  });
});

it('FM-30 memory that only grows is told to owner and operators while there is time, by one mail', async () => {
  const stack = await running();
  const steady = await running();
  const { dataSource } = world.database;
  const use = (tenantId: string, memoryBytes: number) => ({
    tenantId,
    cpu: 0,
    memoryBytes,
    diskBytes: null,
    receivedBytes: 0,
    sentBytes: 0,
    services: [{ service: 'runtime', cpu: 0, memoryBytes, memoryLimitBytes: 400 * MIB, oomKills: 0, pids: 9 }],
  });
  for (let minutes = 150; minutes >= 1; minutes -= 1) {
    await recordUsage(dataSource, {
      engineId: 'local',
      at: new Date(Date.now() - minutes * 60_000),
      stacks: [use(stack.id, (300 - minutes) * MIB), use(steady.id, 300 * MIB)],
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
  const guard = new MemoryGuard({
    dataSource,
    queue: world.queue,
    portalUrl: 'https://aviary.localhost',
    settings: { engineId: 'local' },
    now: () => new Date(),
  });
  await guard.turn(never);
  await guard.turn(never);
  expect(await stack.warnings()).toMatchObject([
    { code: 'MEMORY_GROWS', params: { service: 'runtime', megabytes: 60, hours: 2 } },
  ]);
  expect(await steady.warnings()).toEqual([]);
  expect(await stack.warningMails()).toEqual([
    expect.stringContaining('Memory of runtime only grows, by 60 MiB an hour'),
  ]);
  const seen = (age: string): Promise<unknown> =>
    dataSource.query(`update stack_warnings set seen_at = now() - $2::interval where tenant_id = $1`, [stack.id, age]);
  // It pauses, for less than an hour and for more, and goes on.
  await dataSource.query(`update tenants set desired = 'stopped' where id = $1`, [stack.id]);
  await seen('55 minutes');
  await guard.turn(never);
  expect(await stack.warnings()).toHaveLength(1);
  await seen('65 minutes');
  await guard.turn(never);
  expect(await stack.warnings()).toEqual([]);
  await forgetWarnings(dataSource, new Date());
  await dataSource.query(`update tenants set desired = 'running' where id = $1`, [stack.id]);
  await guard.turn(never);
  expect(await stack.warnings()).toHaveLength(1);
  expect(await stack.warningMails()).toHaveLength(1);
  // A day after it was told it is told again.
  await dataSource.query(
    `update stack_warnings set told_at = now() - interval '25 hours', over_at = now() where tenant_id = $1`,
    [stack.id],
  );
  await guard.turn(never);
  expect(await stack.warningMails()).toHaveLength(2);
  await dataSource.query(
    `update stack_warnings set told_at = now() - interval '25 hours', over_at = now() where tenant_id = $1`,
    [stack.id],
  );
  await forgetWarnings(dataSource, new Date());
  expect(await dataSource.manager.countBy(StackWarningEntity, { tenantId: stack.id })).toBe(0);
});
