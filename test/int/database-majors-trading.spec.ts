import { IsNull } from 'typeorm';
import type { Hold } from '#libs/contracts';
import { OperationEntity, OperationStepEntity, ReleaseEntity, TenantEntity, UpgradeFailureEntity } from '#libs/db';
import { stackNames, type Template } from '#libs/tenants';
import type { BackedUpStack, BackupWorld } from '../support/backup-world.js';
import { Majors, WHOLE } from '../support/majors.js';
import { healthyProbes } from '../support/stack-world.js';

jest.setTimeout(300_000);

let majors: Majors;
let world: BackupWorld;

const db = () => world.world.database.dataSource.manager;
const rowOf = (id: string): Promise<TenantEntity> => db().findOneByOrFail(TenantEntity, { id });
const names = ({ slug }: BackedUpStack) => stackNames(world.world.database.platformId, slug);
type Options = NonNullable<Parameters<BackupWorld['runner']>[0]>;
type Probes = NonNullable<Options['probes']>;

beforeAll(async () => {
  majors = await Majors.start();
  ({ world } = majors);
});
afterAll(() => majors.close());
afterEach(() => world.asUsual());

/** The upgrade that a runtime which reads its files now would wait for. */
function waitsFor(stack: BackedUpStack): unknown {
  const spec = world.world.engine.fileIn(names(stack).secrets('runtime'), 'spec.json') ?? '{}';
  return (JSON.parse(spec) as { tradesAfter?: unknown }).tradesAfter;
}

/** What was seen of a stack while it was upgraded: what its files say, and whether it still might be led back. */
interface Seen {
  what: string;
  files: unknown;
  settled: boolean;
}

/** Probes that note how it stood when they were used, and do as `over` besides. */
function watching(stack: BackedUpStack, over: Partial<Probes> = {}): { seen: Seen[]; probes: Probes } {
  const seen: Seen[] = [];
  const does = { ...healthyProbes, ...over };
  const note = async (what: string): Promise<void> => {
    const [row] = await db().query<{ settled: boolean }[]>(
      `select coalesce(input -> 'settled' is not null, false) as settled from operations
        where tenant_id = $1 and kind = 'upgrade' order by created_at desc limit 1`,
      [stack.id],
    );
    seen.push({ what, files: waitsFor(stack), settled: row?.settled === true });
  };
  const probes: Probes = {
    ...healthyProbes,
    ready: async (...asked) => {
      await note('ready');
      return does.ready(...asked);
    },
    served: async (...asked) => {
      await note('served');
      return does.served(...asked);
    },
    hold: async (...asked) => {
      const hold: Hold = asked[2];
      await note(hold.kind === 'upgrade' ? `over ${hold.over}` : hold.kind);
      return does.hold(...asked);
    },
  };
  return { seen, probes };
}

async function order(stack: BackedUpStack, release: ReleaseEntity): Promise<string> {
  const { operation } = await world.world.upgrades.upgrade(await world.world.operator(), stack.slug, {
    release: release.id,
  });
  return operation.id;
}

async function restarted(stack: Awaited<ReturnType<Majors['stackOn']>>): Promise<OperationEntity> {
  const { operation } = await world.world.stacks.request(stack.owner, stack.slug, 'restart');
  return world.run(operation.id, stack.id);
}

const untilAborted = (signal: AbortSignal | undefined): Promise<never> =>
  new Promise((_resolve, reject) => {
    signal?.addEventListener('abort', () => reject(signal.reason as Error));
  });

it('FM-18 nothing trades on the new volumes until the stack stays on them, and then it does, as it runs', async () => {
  const stack = await majors.stackOn(majors.fifteen);
  const id = await order(stack, majors.seventeen);
  const { seen, probes } = watching(stack);
  expect(await world.run(id, stack.id, { probes })).toMatchObject({ state: 'done', error: null });
  expect(seen.filter(({ what }) => what !== 'restart')).toEqual([
    { what: 'ready', files: id, settled: false },
    { what: 'served', files: id, settled: false },
    { what: `over ${id}`, files: null, settled: true },
  ]);
  const stops = world.world.engine.log.calls.filter(
    ({ method, args }) => method === 'stopContainer' && args[0] === names(stack).container('runtime'),
  );
  expect(stops).toHaveLength(1);
  // Nothing of it is left for who starts the stack later.
  expect(await restarted(stack)).toMatchObject({ state: 'done' });
  expect(waitsFor(stack)).toBeNull();
});

it('a stack that stays on its volumes trades from the start of its release on', async () => {
  const stack = await majors.stackOn(majors.seventeen);
  const next = Object.assign(new ReleaseEntity(), majors.seventeen, {
    id: 'standard@0.9.1+00000017',
    version: '0.9.1',
    state: 'candidate' as const,
    images: { ...majors.seventeen.images, runtime: world.world.engine.addImage('runtime:0.9.1') },
  });
  await db().insert(ReleaseEntity, next as object);
  const { seen, probes } = watching(stack);
  expect(await world.run(await order(stack, next), stack.id, { probes })).toMatchObject({ state: 'done' });
  expect(seen.filter(({ what }) => what !== 'restart')).toEqual([
    { what: 'ready', files: null, settled: false },
    { what: 'served', files: null, settled: false },
  ]);
});

it('of a release whose runtime knows nothing of that, none is told to wait', async () => {
  const { tradesAfter, ...aviary } = (majors.seventeen.definition as Template).aviary;
  expect(tradesAfter).toBe(true);
  const before = { ...majors.seventeen.definition, aviary } as object;
  await db().update(ReleaseEntity, { id: majors.seventeen.id }, { definition: before });
  try {
    const stack = await majors.stackOn(majors.fifteen);
    const { seen, probes } = watching(stack);
    const done = await world.run(await order(stack, majors.seventeen), stack.id, { probes });
    expect(done).toMatchObject({ state: 'done' });
    expect(seen.filter(({ what }) => what !== 'restart').map(({ what, files }) => [what, files])).toEqual([
      ['ready', null],
      ['served', null],
    ]);
  } finally {
    await db().update(ReleaseEntity, { id: majors.seventeen.id }, { definition: majors.seventeen.definition });
  }
});

it('FM-18 one that fails its gate never traded, and what goes back to the old volumes is started anew and waits for nothing', async () => {
  const stack = await majors.stackOn(majors.fifteen);
  const sick = (): Promise<never> => Promise.reject(new Error('it does not answer'));
  const { seen, probes } = watching(stack, { ready: sick });
  const id = await order(stack, majors.seventeen);
  expect(await world.run(id, stack.id, { probes })).toMatchObject({ state: 'failed' });
  expect(seen.filter(({ what }) => what.startsWith('over'))).toEqual([]);
  expect(waitsFor(stack)).toBe(id);
  // Both releases have one image of the runtime, which no plan would replace.
  const begun = world.world.engine.log.calls.length;
  const rollback = await db().findOneByOrFail(OperationEntity, { tenantId: stack.id, state: 'queued' });
  expect(await world.run(rollback.id, stack.id)).toMatchObject({ kind: 'rollback', state: 'done' });
  const runtime = names(stack).container('runtime');
  const since = world.world.engine.log.calls
    .slice(begun)
    .filter(({ args }) => args[0] === runtime)
    .map(({ method }) => method);
  expect(since.filter((method) => ['stopContainer', 'startContainer'].includes(method))).toEqual([
    'stopContainer',
    'startContainer',
  ]);
  expect(waitsFor(stack)).toBeNull();
  expect(await majors.dataOf(stack)).toMatchObject({ ...WHOLE, major: 15 });
});

it('FM-18 who suspends it before it stays is led back to the old volumes, with nothing traded on the others', async () => {
  const stack = await majors.stackOn(majors.fifteen);
  const operator = await world.world.operator();
  const reached = Promise.withResolvers<void>();
  const { seen, probes } = watching(stack, {
    served: (_facts, { signal }) => {
      reached.resolve();
      return untilAborted(signal);
    },
  });
  const working = world.run(await order(stack, majors.seventeen), stack.id, { probes });
  await Promise.race([reached.promise, working]);
  const suspended = await world.world.holds.suspend(operator, stack.slug, 'A look is needed.');
  await working;
  await world.run(suspended.operation.id, stack.id);
  expect(seen.filter(({ what }) => what.startsWith('over'))).toEqual([]);
  expect(await rowOf(stack.id)).toMatchObject({ releaseId: majors.fifteen.id, epoch: 1 });
  const resumed = await world.world.holds.resume(operator, stack.slug);
  expect(await world.run(resumed.operation.id, stack.id)).toMatchObject({ state: 'done' });
  expect(waitsFor(stack)).toBeNull();
});

it('FM-18 who suspends it once it may have traded leaves it on the new volumes', async () => {
  const stack = await majors.stackOn(majors.fifteen);
  const operator = await world.world.operator();
  const reached = Promise.withResolvers<void>();
  const { probes } = watching(stack, {
    hold: (_facts, _key, hold, { signal }) => {
      if (hold.kind !== 'upgrade') {
        return Promise.resolve({ held: 0, openOrders: 0 });
      }
      reached.resolve();
      return untilAborted(signal);
    },
  });
  const working = world.run(await order(stack, majors.seventeen), stack.id, { probes });
  await Promise.race([reached.promise, working]);
  const suspended = await world.world.holds.suspend(operator, stack.slug, 'A look is needed.');
  await working;
  await world.run(suspended.operation.id, stack.id);
  const resumed = await world.world.holds.resume(operator, stack.slug);
  expect(await world.run(resumed.operation.id, stack.id)).toMatchObject({ state: 'done' });
  expect(await rowOf(stack.id)).toMatchObject({ releaseId: majors.seventeen.id, epoch: 2, carriedEpochs: [1] });
  expect(await majors.dataOf(stack)).toMatchObject({ ...WHOLE, major: 17 });
  expect(waitsFor(stack)).toBeNull();
});

it('FM-18 what goes wrong once it may have traded leads nothing back, and the next start has it trade', async () => {
  const stack = await majors.stackOn(majors.fifteen);
  const publishing = () => db().countBy(OperationStepEntity, { phase: 'publish', state: 'running', action: IsNull() });
  const engine = new Proxy(world.engine, {
    get: (target, name, receiver) => {
      const member: unknown = Reflect.get(target, name, receiver);
      if (name !== 'fillVolumes' || typeof member !== 'function') {
        return member;
      }
      return async (...args: unknown[]): Promise<unknown> => {
        if ((await publishing()) > 0) {
          throw new Error('the engine refuses');
        }
        return (member.bind(target) as (...given: unknown[]) => Promise<unknown>)(...args);
      };
    },
  });
  const id = await order(stack, majors.seventeen);
  const failed = await world.run(id, stack.id, { engine });
  expect(failed).toMatchObject({ state: 'failed', input: { settled: true } });
  expect(failed.error?.details).not.toHaveProperty('rollback');
  expect(await db().countBy(OperationEntity, { tenantId: stack.id, kind: 'rollback' })).toBe(0);
  expect(await db().countBy(UpgradeFailureEntity, { tenantId: stack.id })).toBe(0);
  expect(await rowOf(stack.id)).toMatchObject({
    releaseId: majors.seventeen.id,
    epoch: 2,
    carriedEpochs: [1],
    observed: 'failed',
  });
  expect(waitsFor(stack)).toBe(id);
  expect(await restarted(stack)).toMatchObject({ state: 'done' });
  expect(waitsFor(stack)).toBeNull();
  expect(await majors.dataOf(stack)).toMatchObject({ ...WHOLE, major: 17 });
  expect(await rowOf(stack.id)).toMatchObject({ releaseId: majors.seventeen.id, epoch: 2, observed: 'running' });
});
