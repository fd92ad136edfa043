import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { IsNull } from 'typeorm';
import { DomainError } from '#libs/contracts';
import type { LocalProcess } from '#libs/engine';
import { OperationEntity, OperationStepEntity, ReleaseEntity, TenantEntity, UpgradeFailureEntity } from '#libs/db';
import { databaseMajorOf, stackNames, type Template } from '#libs/tenants';
import type { BackedUpStack, BackupWorld } from '../support/backup-world.js';
import { Majors, WHOLE } from '../support/majors.js';
import { healthyProbes } from '../support/stack-world.js';

jest.setTimeout(300_000);

let majors: Majors;
let world: BackupWorld;
let fifteen: ReleaseEntity;
let seventeen: ReleaseEntity;
const never = new AbortController().signal;

const db = () => world.world.database.dataSource.manager;
const rowOf = (id: string): Promise<TenantEntity> => db().findOneByOrFail(TenantEntity, { id });
const operationOf = (id: string): Promise<OperationEntity> => db().findOneByOrFail(OperationEntity, { id });
type Options = NonNullable<Parameters<BackupWorld['runner']>[0]>;

beforeAll(async () => {
  majors = await Majors.start();
  ({ world, fifteen, seventeen } = majors);
});
afterAll(() => majors.close());
afterEach(() => world.asUsual());

const stackOn = (release: ReleaseEntity) => majors.stackOn(release);
const cacheOf = (stack: BackedUpStack, epoch: number): string => majors.cacheOf(stack, epoch);
const dataOf = (stack: BackedUpStack): Promise<object> => majors.dataOf(stack);

async function upgradeTo(release: ReleaseEntity, stack: BackedUpStack, options: Options = {}) {
  const accepted = await world.world.upgrades.upgrade(await world.world.operator(), stack.slug, {
    release: release.id,
  });
  return world.run(accepted.operation.id, stack.id, options);
}

const stepsOf = async (id: string): Promise<string[]> =>
  (await db().find(OperationStepEntity, { where: { operationId: id, action: IsNull() }, order: { seq: 'ASC' } })).map(
    ({ phase, state }) => `${phase} ${state}`,
  );

const volumesOf = ({ slug }: BackedUpStack): string[] =>
  world.world.engine
    .names()
    .volumes.filter((name) => name.includes(slug) && /-(data|cache)-\d+$/.test(name))
    .map((name) => name.slice(name.indexOf(slug) + slug.length + 1));

const runs = ({ slug }: BackedUpStack): string[] =>
  ['postgres', 'redis', 'runtime'].filter((service) =>
    world.world.engine.isReady(stackNames(world.world.database.platformId, slug).container(service)),
  );

/** Runs what the platform ordered by itself. */
async function runOpen(stack: BackedUpStack): Promise<OperationEntity> {
  const open = await db().findOneByOrFail(OperationEntity, { tenantId: stack.id, state: 'queued' });
  return world.run(open.id, stack.id);
}

/** That the stack is what it was on that release, and what failed left nothing. */
async function expectBack(stack: BackedUpStack, release: ReleaseEntity, failed: OperationEntity): Promise<void> {
  const rollback = await runOpen(stack);
  expect(rollback).toMatchObject({ kind: 'rollback', state: 'done', error: null });
  expect(failed.error?.details).toMatchObject({ rollback: rollback.id });
  const major = databaseMajorOf(release.definition as Template);
  expect(await rowOf(stack.id)).toMatchObject({
    releaseId: release.id,
    epoch: 1,
    keptEpochs: [],
    carriedEpochs: [],
    observed: 'running',
    reason: null,
  });
  expect(await dataOf(stack)).toMatchObject({ ...WHOLE, major });
  expect(runs(stack)).toEqual(['postgres', 'redis', 'runtime']);
  expect(world.leftOver(stack)).toEqual([]);
}

describe.each([
  ['up', () => [fifteen, seventeen] as const],
  ['down', () => [seventeen, fifteen] as const],
])('%s', (_direction, releases) => {
  it('FM-18 the data is dumped into new volumes and compared before anything of the new release starts', async () => {
    const [from, to] = releases();
    const majors = [from, to].map(({ definition }) => databaseMajorOf(definition as Template));
    const stack = await stackOn(from);
    const before = await dataOf(stack);
    expect(before).toMatchObject({ ...WHOLE, major: majors[0] });
    const done = await upgradeTo(to, stack);
    expect(done).toMatchObject({ state: 'done', error: null });
    expect(await stepsOf(done.id)).toEqual(
      'preflight safeguard unpublish quiesce carry adopt prepare converge health publish'
        .split(' ')
        .map((phase) => `${phase} done`),
    );
    expect(await dataOf(stack)).toEqual({ ...before, major: majors[1] });
    expect(await readFile(join(world.volumeFolder(cacheOf(stack, 2)), 'appendonly.aof'), 'utf8')).toBe(
      'what Redis keeps',
    );
    const row = { releaseId: to.id, epoch: 2, nextEpoch: null, keptEpochs: [], observed: 'running' };
    expect(await rowOf(stack.id)).toMatchObject({ ...row, carriedEpochs: [1] });
    expect(volumesOf(stack)).toEqual(['cache-1', 'cache-2', 'data-1', 'data-2']);
    expect(world.leftOver(stack)).toEqual([]);
    // The way back goes with the next good backup, and no restore is undone to files the server cannot open.
    const undo = world.world.backups.undoRestore(stack.owner, stack.slug, { confirm: stack.slug });
    await expect(undo).rejects.toMatchObject({ details: { why: 'nothing_kept' } });
    expect((await world.backUp(stack)).backup).toMatchObject({ state: 'verified' });
    expect(await rowOf(stack.id)).toMatchObject({ ...row, carriedEpochs: [] });
    expect(volumesOf(stack)).toEqual(['cache-2', 'data-2']);
  });

  /** Only of the dump that carries: the backup before it is made by the same program. */
  const carrying = (script: string) => (tool: string, real: LocalProcess) =>
    tool === 'pg_dump' && real.args.includes('--quote-all-identifiers')
      ? { ...real, file: 'sh', args: ['-c', script, real.file, ...real.args] }
      : null;

  it.each([
    [
      'the dump fails',
      '"$0" "$@" | head -c 2000; echo "the disk is gone" >&2; exit 1',
      /could not be dumped[^]*disk is gone/,
    ],
    ['the dump breaks off', '"$0" "$@" | head -c 20000', /does not take|Not all of what/],
    ['a row is lost', '"$0" "$@" | LC_ALL=C grep -av "^777[^0-9]"', /fills has 999 rows instead of 1000/],
    ['a row is another', '"$0" "$@" | LC_ALL=C sed "s/^777\\t1165.*/777\\t1/"', /fills has other rows/],
    [
      'a sequence is lost',
      '"$0" "$@" | LC_ALL=C grep -av setval',
      /sequence public\.notes_id_seq: unused instead of 500/,
    ],
    ['an index is lost', '"$0" "$@" | LC_ALL=C grep -av "CREATE INDEX"', /relations of kind i: \d+ instead of \d+/],
  ])('FM-18 %s: the release before goes on, on its own volumes, with all of its data', async (_what, script, words) => {
    const [from, to] = releases();
    const stack = await stackOn(from);
    world.databases.instead = carrying(script);
    const failed = await upgradeTo(to, stack);
    world.databases.instead = () => null;
    expect(failed).toMatchObject({ state: 'failed', error: { code: 'CARRY_FAILED' } });
    expect(failed.error?.message).toMatch(words);
    expect(volumesOf(stack)).toEqual(['cache-1', 'data-1']);
    await expectBack(stack, from, failed);
    expect(await rowOf(stack.id)).toMatchObject({ nextEpoch: null });
    // Not tried again by itself, and once it is mended, it goes.
    await expect(upgradeTo(to, stack)).rejects.toMatchObject({ details: { why: 'failed_before' } });
    await db().delete(UpgradeFailureEntity, { tenantId: stack.id });
    expect(await upgradeTo(to, stack)).toMatchObject({ state: 'done' });
    expect(await dataOf(stack)).toMatchObject(WHOLE);
  });

  /** The engine, which refuses that call for what ends so, the n-th time in the phase that carries. */
  const refusing = (method: string, ending: string, nth: number): typeof world.engine => {
    let seen = 0;
    return new Proxy(world.engine, {
      get: (target, name, receiver) => {
        const member: unknown = Reflect.get(target, name, receiver);
        if (name !== method || typeof member !== 'function') {
          return member;
        }
        return async (...args: unknown[]): Promise<unknown> => {
          const carries = await db().countBy(OperationStepEntity, {
            phase: 'carry',
            state: 'running',
            action: IsNull(),
          });
          if (String(args[0]).endsWith(ending) && carries > 0 && (seen += 1) === nth) {
            throw new DomainError('ENGINE_REFUSED', { message: 'not now' });
          }
          return (member.bind(target) as (...given: unknown[]) => Promise<unknown>)(...args);
        };
      },
    });
  };

  it('FM-18 why carrying failed is told also where its server could not be removed at once, and nothing is left', async () => {
    const [from, to] = releases();
    const stack = await stackOn(from);
    world.databases.instead = carrying('"$0" "$@" | head -c 2000; echo "the disk is gone" >&2; exit 1');
    // Twice before it is made, then after it failed.
    const failed = await upgradeTo(to, stack, { engine: refusing('removeContainer', '-scratch', 3) });
    world.databases.instead = () => null;
    expect(failed).toMatchObject({ state: 'failed', error: { code: 'CARRY_FAILED' } });
    expect(failed.error?.message).toMatch(/disk is gone/);
    expect(volumesOf(stack)).toEqual(['cache-1', 'data-1']);
    expect(await rowOf(stack.id)).toMatchObject({ nextEpoch: null });
    await expectBack(stack, from, failed);
  });

  it('FM-18 why carrying failed is told also where what it filled could not be removed, which goes with the next backup', async () => {
    const [from, to] = releases();
    const stack = await stackOn(from);
    world.databases.instead = carrying('"$0" "$@" | head -c 2000; echo "the disk is gone" >&2; exit 1');
    // Once before it is filled, then after it failed.
    const failed = await upgradeTo(to, stack, { engine: refusing('removeVolume', '-data-2', 2) });
    world.databases.instead = () => null;
    expect(failed).toMatchObject({ state: 'failed', error: { code: 'CARRY_FAILED' } });
    expect(failed.error?.message).toMatch(/disk is gone/);
    await expectBack(stack, from, failed);
    expect(volumesOf(stack)).toContain('data-2');
    expect((await world.backUp(stack)).backup).toMatchObject({ state: 'verified' });
    expect(volumesOf(stack)).toEqual(['cache-1', 'data-1']);
    expect(await rowOf(stack.id)).toMatchObject({ nextEpoch: null });
  });

  it.each([
    ['quiesce', 'stopContainer', (name: string) => name.endsWith('-runtime')],
    ['carry', 'createContainer', (name: string) => name.endsWith('-scratch')],
    ['converge', 'createContainer', (name: string) => name.endsWith('-postgres')],
  ] as const)('FM-18 the engine refuses in %s: the release before goes on with its data', async (phase, method, of) => {
    const [from, to] = releases();
    const stack = await stackOn(from);
    const underWay = async (): Promise<boolean> =>
      (await db().countBy(OperationStepEntity, { phase, state: 'running', action: IsNull() })) > 0;
    const engine = new Proxy(world.engine, {
      get: (target, name, receiver) => {
        const member: unknown = Reflect.get(target, name, receiver);
        if (name !== method || typeof member !== 'function') {
          return member;
        }
        return async (...args: unknown[]): Promise<unknown> => {
          const [first] = args as [string | { name: string }];
          if (of(typeof first === 'string' ? first : first.name) && (await underWay())) {
            throw new Error('the engine refuses');
          }
          return (member.bind(target) as (...given: unknown[]) => Promise<unknown>)(...args);
        };
      },
    });
    const failed = await upgradeTo(to, stack, { engine });
    expect(failed).toMatchObject({ state: 'failed' });
    expect(await stepsOf(failed.id)).toContain(`${phase} failed`);
    await expectBack(stack, from, failed);
  });

  it('FM-18 what fails the health gate is led back to the old volumes, as they were left', async () => {
    const [from, to] = releases();
    const stack = await stackOn(from);
    const probes: Options['probes'] = {
      ...healthyProbes,
      ready: async (facts) => {
        if (facts.release === to.version) {
          await world.databases.sql(stack.postgres, 'insert into fills values (5000, 1)');
          throw new Error('the new one does not answer');
        }
      },
    };
    const failed = await upgradeTo(to, stack, { probes });
    expect(failed).toMatchObject({ state: 'failed' });
    expect(await rowOf(stack.id)).toMatchObject({ releaseId: from.id, epoch: 1, nextEpoch: 2 });
    await expectBack(stack, from, failed);
    await world.backUp(stack);
    expect(volumesOf(stack)).toEqual(['cache-1', 'data-1']);
  });
});

it('FM-18 what the older server does not know is told in its own words, and the stack stays on the newer one', async () => {
  const stack = await stackOn(seventeen);
  await world.databases.sql(stack.postgres, `create view listed as select json_array(id, price) as pair from fills`);
  const failed = await upgradeTo(fifteen, stack);
  expect(failed).toMatchObject({ state: 'failed', error: { code: 'CARRY_FAILED' } });
  expect(failed.error?.message).toMatch(/^PostgreSQL 15 does not take what PostgreSQL 17 dumped: ERROR: /);
  await expectBack(stack, seventeen, failed);
});

it('FM-18 a suspend in the middle leaves the release and the volumes that are known to work', async () => {
  const stack = await stackOn(fifteen);
  const operator = await world.world.operator();
  const { operation } = await world.world.upgrades.upgrade(operator, stack.slug, { release: seventeen.id });
  const reached = Promise.withResolvers<void>();
  const probes: Options['probes'] = {
    ...healthyProbes,
    ready: (_facts, { signal }) => {
      reached.resolve();
      return new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error));
      });
    },
  };
  const working = world.run(operation.id, stack.id, { probes });
  await Promise.race([reached.promise, working]);
  expect(await rowOf(stack.id)).toMatchObject({ releaseId: seventeen.id, epoch: 2 });
  const suspended = await world.world.holds.suspend(operator, stack.slug, 'A look is needed.');
  await working;
  await world.run(suspended.operation.id, stack.id);
  expect(await rowOf(stack.id)).toMatchObject({ releaseId: fifteen.id, epoch: 1, carriedEpochs: [] });
  const resumed = await world.world.holds.resume(operator, stack.slug);
  expect(await world.run(resumed.operation.id, stack.id)).toMatchObject({ state: 'done' });
  expect(await dataOf(stack)).toMatchObject({ ...WHOLE, major: 15 });
});

it('FM-18 a release withdrawn while the data is carried is not gone to: the stack goes on as it was', async () => {
  const stack = await stackOn(fifteen);
  world.databases.instead = (tool, real) => {
    if (tool === 'pg_dump' && real.args.includes('--quote-all-identifiers')) {
      void db().update(ReleaseEntity, { id: seventeen.id }, { state: 'withdrawn' });
    }
    return null;
  };
  const failed = await upgradeTo(seventeen, stack);
  await db().update(ReleaseEntity, { id: seventeen.id }, { state: 'stable' });
  expect(failed).toMatchObject({ state: 'failed', error: { code: 'WRONG_STATE', details: { why: 'withdrawn' } } });
  await expectBack(stack, fifteen, failed);
});

it('FM-18 nothing starts on another major version’s files: neither a repair nor a start, and the stack says why', async () => {
  const stack = await stackOn(fifteen);
  // As a hand in the database leaves it: the release without its data.
  await db().update(TenantEntity, { id: stack.id }, { releaseId: seventeen.id });
  world.world.engine.kill(stack.postgres);
  const begun = world.world.engine.log.calls.length;
  await world.world.reconciler({ engine: world.engine }).look(stack.id, never);
  expect(await db().countBy(OperationEntity, { tenantId: stack.id, state: 'queued' })).toBe(0);
  const words =
    /-data-1 holds files of PostgreSQL 15, and the stack’s release has PostgreSQL 17, which cannot open them/;
  expect(await rowOf(stack.id)).toMatchObject({ observed: 'failed', reason: expect.stringMatching(words) as string });
  const { operation } = await world.world.stacks.request(stack.owner, stack.slug, 'restart');
  const refused = await world.run(operation.id, stack.id);
  expect(refused).toMatchObject({ state: 'failed', error: { details: { why: 'foreign_major', has: 15, wanted: 17 } } });
  expect(refused.error?.message).toMatch(words);
  const started = world.world.engine.log.calls.slice(begun).filter(({ method }) => method === 'startContainer');
  expect(started).toEqual([]);
  await db().update(TenantEntity, { id: stack.id }, { releaseId: fifteen.id });
  const again = await world.world.stacks.request(stack.owner, stack.slug, 'restart');
  expect(await world.run(again.operation.id, stack.id)).toMatchObject({ state: 'done' });
  expect(await dataOf(stack)).toMatchObject({ ...WHOLE, major: 15 });
});

it('a host without room for a second copy is told so before anything is touched, of all volumes', async () => {
  const stack = await stackOn(fifteen);
  await writeFile(join(world.volumeFolder(cacheOf(stack, 1)), 'more'), Buffer.alloc(200 * 1024 * 1024));
  const usual = world.room;
  // Of the database alone it would be enough.
  world.room = { freeMb: 2_048 + 100, floorMb: 2_048 };
  const refused = await upgradeTo(seventeen, stack);
  world.room = usual;
  expect(refused).toMatchObject({ state: 'failed', error: { code: 'NO_CAPACITY', details: { why: 'disk' } } });
  expect(await stepsOf(refused.id)).toContain('safeguard skipped');
  expect(await db().countBy(OperationEntity, { tenantId: stack.id, kind: 'rollback' })).toBe(0);
  expect(await rowOf(stack.id)).toMatchObject({ releaseId: fifteen.id, observed: 'running', reason: null });
});

it('a backup of an earlier major version is restored on a later one, and one of a later is refused with the reason', async () => {
  const stack = await stackOn(fifteen);
  const { backup: early } = await world.backUp(stack);
  expect(await upgradeTo(seventeen, stack)).toMatchObject({ state: 'done' });
  await world.databases.sql(stack.postgres, 'delete from notes');
  const { backup: late } = await world.backUp(stack);
  const ask = (backup: string) => world.world.backups.restore(stack.owner, stack.slug, { backup, confirm: stack.slug });
  const { operation } = await ask(early!.id);
  expect(await world.run(operation.id, stack.id)).toMatchObject({ state: 'done', error: null });
  expect(await dataOf(stack)).toMatchObject({ ...WHOLE, major: 17 });
  expect(await upgradeTo(fifteen, stack)).toMatchObject({ state: 'done' });
  await expect(ask(late!.id)).rejects.toMatchObject({
    code: 'WRONG_STATE',
    details: { why: 'newer_database', backup: 17, stack: 15 },
  });
  // However it was asked for.
  const asked = await world.ask(stack, 'restore', { backup: late!.id });
  expect(await world.run(asked, stack.id)).toMatchObject({
    state: 'failed',
    error: { code: 'WRONG_STATE', details: { why: 'newer_database' } },
  });
  expect(await dataOf(stack)).toMatchObject({ ...WHOLE, major: 15 });
  expect(await operationOf(operation.id)).toMatchObject({ state: 'done' });
});

it('where releases have the same major version nothing is carried, and volumes stay', async () => {
  const stack = await stackOn(seventeen);
  const next = Object.assign(new ReleaseEntity(), seventeen, {
    id: 'standard@0.9.0+00000017',
    version: '0.9.0',
    state: 'candidate' as const,
    images: { ...seventeen.images, postgres: world.world.engine.addImage('postgres:17.1') },
  });
  await db().insert(ReleaseEntity, next as object);
  const done = await upgradeTo(next, stack);
  expect(done).toMatchObject({ state: 'done' });
  expect(await stepsOf(done.id)).toEqual(expect.arrayContaining(['quiesce skipped', 'carry skipped']));
  expect(await rowOf(stack.id)).toMatchObject({ releaseId: next.id, epoch: 1, carriedEpochs: [] });
  expect(volumesOf(stack)).toEqual(['cache-1', 'data-1']);
});

it('operators see which major version a release has', async () => {
  const operator = await world.world.operator();
  expect(await world.world.releases.get(operator, fifteen.id)).toMatchObject({ databaseMajor: 15 });
  expect(await world.world.releases.get(operator, seventeen.id)).toMatchObject({ databaseMajor: 17 });
});
