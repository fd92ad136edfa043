import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  AuditEntryEntity,
  BackupEntity,
  OperationEntity,
  OperationStepEntity,
  ReleaseEntity,
  TenantEntity,
  TenantSecretEntity,
} from '#libs/db';
import { stackNames } from '#libs/tenants';
import { BackupWorld } from '../support/backup-world.js';

jest.setTimeout(300_000);

let world: BackupWorld;
beforeAll(async () => {
  world = await BackupWorld.start();
  await db().query('update plans set stacks = 3');
});
afterAll(() => world.close());
afterEach(() => world.asUsual());

const db = () => world.world.database.dataSource.manager;
const rowOf = (id: string) => db().findOneByOrFail(TenantEntity, { id });
type Stack = Awaited<ReturnType<BackupWorld['stack']>>;

async function clone(stack: Stack, backup: string) {
  const { stack: made, operation } = await world.world.stacks.clone(stack.owner, stack.slug, { backup });
  const postgres = stackNames(world.world.facts.platformId, made.slug).container('postgres');
  return { made, operation: await world.run(operation.id, made.id), copy: { id: made.id, slug: made.slug, postgres } };
}

const specOf = (slug: string): Record<string, unknown> => {
  const volume = stackNames(world.world.facts.platformId, slug).secrets('runtime');
  return JSON.parse(world.world.engine.fileIn(volume, 'spec.json') ?? '{}') as Record<string, unknown>;
};

it('a copy has the data of its backup and a name, secrets and network of its own, and may not trade until that is allowed', async () => {
  const stack = await world.stack();
  const { backup } = await world.backUp(stack);
  await world.databases.sql(stack.postgres, 'delete from fills where id > 900');
  const before = await rowOf(stack.id);
  const { made, operation, copy } = await clone(stack, backup!.id);
  expect(operation).toMatchObject({ kind: 'clone', state: 'done', error: null });
  expect(made.slug).not.toBe(stack.slug);
  expect(made.owner).toBe((await world.world.stacks.get(stack.owner, stack.slug)).owner);
  expect([await world.countOf(copy), await world.countOf(stack)]).toEqual([1000, 900]);
  expect(await rowOf(made.id)).toMatchObject({
    accountId: before.accountId,
    observed: 'running',
    epoch: 2,
    keptEpochs: [],
    carriedEpochs: [],
    nextEpoch: null,
    provisioningGeneration: 0,
  });
  expect(await rowOf(stack.id)).toEqual(before);
  const view = await world.world.stacks.get(stack.owner, made.slug);
  expect(view).toMatchObject({
    clonedFrom: { slug: stack.slug, takenAt: backup!.takenAt!.toISOString() },
    tradingHeldSince: expect.any(String) as string,
  });
  expect(specOf(made.slug)).toMatchObject({
    tenant: made.id,
    clonedFrom: stack.id,
    tradingHeldSince: view.tradingHeldSince,
    provisioningGeneration: 0,
  });
  const secrets = async (tenantId: string) =>
    (await db().findBy(TenantSecretEntity, { tenantId })).map(({ sealed }) => sealed.toString('hex'));
  const shared = new Set(await secrets(stack.id));
  expect((await secrets(made.id)).filter((sealed) => shared.has(sealed))).toEqual([]);
  expect(world.leftOver(copy)).toEqual([]);
  // A backup of its own, in a repository of its own.
  expect((await world.backUp(copy)).backup).toMatchObject({ state: 'verified', tenantId: made.id });
  expect(world.folderOf(made.id)).not.toBe(world.folderOf(stack.id));

  const { stacks } = world.world;
  await expect(stacks.allowTrading(stack.owner, made.slug, { confirm: stack.slug })).rejects.toMatchObject({
    code: 'VALIDATION_FAILED',
  });
  const stranger = await world.world.account();
  await expect(stacks.allowTrading(stranger, made.slug, { confirm: made.slug })).rejects.toMatchObject({
    code: 'NOT_FOUND',
  });
  const allowed = await stacks.allowTrading(stack.owner, made.slug, { confirm: made.slug });
  expect(allowed.stack.tradingHeldSince).toBe(view.tradingHeldSince);
  expect(await world.run(allowed.operation.id, made.id)).toMatchObject({ kind: 'restart', state: 'done' });
  expect(specOf(made.slug)).toMatchObject({ tradingHeldSince: null, clonedFrom: stack.id });
  expect((await stacks.get(stack.owner, made.slug)).tradingHeldSince).toBeNull();
  await expect(stacks.allowTrading(stack.owner, made.slug, { confirm: made.slug })).rejects.toMatchObject({
    code: 'WRONG_STATE',
    details: { why: 'trades' },
  });
});

it('is refused of what does not count, of another’s, and beyond the plan', async () => {
  const stack = await world.stack();
  const { backup } = await world.backUp(stack);
  const { stacks } = world.world;
  const stranger = await world.world.account();
  await expect(stacks.clone(stranger, stack.slug, { backup: backup!.id })).rejects.toMatchObject({ code: 'NOT_FOUND' });
  const other = await world.stack();
  await expect(stacks.clone(other.owner, other.slug, { backup: backup!.id })).rejects.toMatchObject({
    code: 'NOT_FOUND',
  });
  world.databases.afterRestore = 'delete from fills where id = 1';
  const { backup: unproven } = await world.backUp(stack);
  await expect(stacks.clone(stack.owner, stack.slug, { backup: unproven!.id })).rejects.toMatchObject({
    code: 'WRONG_STATE',
    details: { why: 'not_verified' },
  });
  await db().query('update plans set stacks = 1');
  try {
    await expect(stacks.clone(stack.owner, stack.slug, { backup: backup!.id })).rejects.toMatchObject({
      code: 'QUOTA_EXCEEDED',
    });
  } finally {
    await db().query('update plans set stacks = 3');
  }
  expect(await db().countBy(OperationEntity, { kind: 'clone', accountId: stack.owner.accountId })).toBe(0);
});

it('of a stack that is suspended is refused: what must not run does not run as a copy either', async () => {
  const stack = await world.stack();
  const { backup } = await world.backUp(stack);
  const operator = await world.world.operator();
  const { operation } = await world.world.holds.suspend(operator, stack.slug, 'A look is needed.');
  await world.run(operation.id, stack.id);
  const { stacks } = world.world;
  const before = await db().countBy(TenantEntity, { accountId: stack.owner.accountId });
  for (const who of [stack.owner, operator]) {
    await expect(stacks.clone(who, stack.slug, { backup: backup!.id })).rejects.toMatchObject({
      code: 'WRONG_STATE',
      details: { why: 'suspended' },
    });
  }
  expect(await db().countBy(TenantEntity, { accountId: stack.owner.accountId })).toBe(before);
});

it('one whose permission was called off, or whose place was taken, before it restarted may not trade', async () => {
  const stack = await world.stack();
  const { backup } = await world.backUp(stack);
  const { made } = await clone(stack, backup!.id);
  const { stacks, operations } = world.world;
  const { tradingHeldSince } = await stacks.get(stack.owner, made.slug);
  const allow = () => stacks.allowTrading(stack.owner, made.slug, { confirm: made.slug });
  const told = () =>
    db().find(AuditEntryEntity, {
      where: { targetId: made.id, action: 'stack.trading_allowed' },
      order: { id: 'ASC' },
    });
  await operations.cancel(stack.owner, (await allow()).operation.id);
  expect(await rowOf(made.id)).toMatchObject({ tradingHeldSince: new Date(tradingHeldSince!) });
  await allow();
  for (const kind of ['stop', 'start', 'restart'] as const) {
    const { operation } = await stacks.request(stack.owner, made.slug, kind);
    expect(await world.run(operation.id, made.id)).toMatchObject({ kind, state: 'done', error: null });
    expect(specOf(made.slug)).toMatchObject({ tradingHeldSince });
  }
  // The audit says that it may trade once it may, and not before.
  const all = await db().findBy(AuditEntryEntity, { targetId: made.id });
  expect([await told(), all.filter(({ after }) => after && 'tradingHeldSince' in after)]).toEqual([[], []]);
  const { operation } = await allow();
  await world.run(operation.id, made.id);
  expect(specOf(made.slug)).toMatchObject({ tradingHeldSince: null });
  const { requestedBy } = await db().findOneByOrFail(OperationEntity, { id: operation.id });
  expect(await told()).toMatchObject([
    { before: { tradingHeldSince }, after: { tradingHeldSince: null, requestedBy, operation: operation.id } },
  ]);
});

it('of a backup from before copies is made on the newest release, and not at all where that takes none either', async () => {
  const stack = await world.stack();
  const { backup } = await world.backUp(stack);
  const taken = await db().findOneByOrFail(ReleaseEntity, { id: backup!.releaseId });
  const unmarked = () =>
    db().query(`update releases set definition = definition #- '{aviary,copies}' where id = $1`, [taken.id]);
  const newer = Object.assign(new ReleaseEntity(), taken, {
    id: 'standard@9.0.0+00000009',
    version: '9.0.0',
    createdAt: new Date(taken.createdAt.getTime() + 1_000),
  });
  await unmarked();
  try {
    await expect(world.world.stacks.clone(stack.owner, stack.slug, { backup: backup!.id })).rejects.toMatchObject({
      code: 'IMAGE_MISSING',
    });
    await db().insert(ReleaseEntity, newer as object);
    // Neither an earlier one, which may not know the data, nor one that has no volume for it.
    const { volumes, ...more } = taken.definition as { volumes: object };
    for (const wrong of [
      { createdAt: new Date(taken.createdAt.getTime() - 1_000) },
      { createdAt: newer.createdAt, definition: { ...more, volumes: { ...volumes, data: undefined } } as object },
    ]) {
      await db().update(ReleaseEntity, { id: newer.id }, wrong as never);
      await db().update(ReleaseEntity, { id: taken.id }, { state: 'withdrawn' });
      await expect(world.world.stacks.clone(stack.owner, stack.slug, { backup: backup!.id })).rejects.toMatchObject({
        code: 'IMAGE_MISSING',
      });
    }
    const { createdAt, definition } = newer;
    await db().update(ReleaseEntity, { id: newer.id }, { createdAt, definition: definition as never });
    await db().update(ReleaseEntity, { id: taken.id }, { state: 'stable' });
    const { made, operation } = await clone(stack, backup!.id);
    expect(operation).toMatchObject({ state: 'done', error: null });
    expect(await rowOf(made.id)).toMatchObject({ releaseId: newer.id });
  } finally {
    await db().update(ReleaseEntity, { id: newer.id }, { state: 'withdrawn' });
    await db().update(ReleaseEntity, { id: taken.id }, { state: 'stable', definition: taken.definition as never });
  }
});

it('while it is made its original is not destroyed: its backup may be the only source; destroyed itself, it stands in no way', async () => {
  const stack = await world.stack();
  const { backup } = await world.backUp(stack);
  const { stacks } = world.world;
  const first = await stacks.clone(stack.owner, stack.slug, { backup: backup!.id });
  const destroy = (slug: string) => stacks.request(stack.owner, slug, 'destroy');
  await expect(destroy(stack.slug)).rejects.toMatchObject({
    code: 'TENANT_BUSY',
    message: expect.stringContaining(`destroy ${first.stack.slug} first`) as string,
    details: { kind: 'clone', operationId: first.operation.id },
  });
  expect(await rowOf(stack.id)).toMatchObject({ desired: 'running', observed: 'running' });
  expect(await world.run(first.operation.id, first.stack.id)).toMatchObject({ state: 'done', error: null });

  const second = await stacks.clone(stack.owner, stack.slug, { backup: backup!.id });
  const goes = await destroy(second.stack.slug);
  const { operation } = await destroy(stack.slug);
  expect(await world.run(goes.operation.id, second.stack.id)).toMatchObject({ state: 'done', error: null });
  expect(await world.run(operation.id, stack.id)).toMatchObject({ state: 'done', error: null });
  const postgres = stackNames(world.world.facts.platformId, first.stack.slug).container('postgres');
  expect(await world.countOf({ ...first.stack, postgres })).toBe(1000);
});

it('a backup of the original that is begun again meanwhile removes nothing from the repository it is read from', async () => {
  const stack = await world.stack();
  const { backup } = await world.backUp(stack);
  await world.databases.sql(stack.postgres, 'insert into fills select n, random() from generate_series(2001, 9000) n');
  const asked = await world.ask(stack);
  expect(await world.run(asked, stack.id)).toMatchObject({ state: 'done', error: null });
  const { id: broken, parts } = (await world.backupOf(asked))!;
  // As an agent that died before it wrote down what it had stored.
  await db().update(BackupEntity, { id: broken }, { state: 'taking', parts: [] });
  await db().update(OperationEntity, { id: asked }, { state: 'queued', finishedAt: null });
  await db().update(OperationStepEntity, { operationId: asked }, { state: 'pending' });
  const packs = () => readdir(join(world.folderOf(stack.id), 'data'), { recursive: true });
  const before = await packs();

  const { stack: made, operation } = await world.world.stacks.clone(stack.owner, stack.slug, { backup: backup!.id });
  expect(await world.run(asked, stack.id)).toMatchObject({ state: 'done', error: null });
  expect(await packs()).toEqual(expect.arrayContaining(before));
  const listed = await (await world.repository(stack.id)).snapshots([], new AbortController().signal);
  const gone = parts.map(({ snapshotId }) => snapshotId);
  expect(listed.filter(({ id }) => gone.includes(id))).toEqual([]);
  expect(await world.run(operation.id, made.id)).toMatchObject({ state: 'done', error: null });
});

it('FM-14 one that does not come back whole says so, leaves the original alone and can be destroyed', async () => {
  const stack = await world.stack();
  const { backup } = await world.backUp(stack);
  world.databases.afterRestore = 'delete from fills where id = 1';
  const { made, operation, copy } = await clone(stack, backup!.id);
  expect(operation).toMatchObject({
    state: 'failed',
    error: { code: 'BACKUP_UNVERIFIED', details: { next: 'destroy' } },
  });
  expect(await rowOf(made.id)).toMatchObject({ observed: 'failed', epoch: 1, nextEpoch: null });
  expect(world.databases.volumes().filter((name) => name.includes(`${made.slug}-data`))).toEqual([]);
  expect(await world.countOf(stack)).toBe(1000);
  const destroyed = await world.world.stacks.request(stack.owner, made.slug, 'destroy');
  expect(await world.run(destroyed.operation.id, made.id)).toMatchObject({ state: 'done', error: null });
  expect(world.leftOver(copy)).toEqual([]);
});
