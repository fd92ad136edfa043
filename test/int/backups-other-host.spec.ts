import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  BackupEntity,
  EdgeSlotEntity,
  EngineEntity,
  OperationEntity,
  TenantEntity,
  TenantSubnetEntity,
} from '#libs/db';
import { stackNames } from '#libs/tenants';
import { BackupWorld, type OtherHost } from '../support/backup-world.js';

jest.setTimeout(300_000);

type Stack = Awaited<ReturnType<BackupWorld['stack']>>;
type Operator = Awaited<ReturnType<BackupWorld['world']['operator']>>;

let world: BackupWorld;
let north: OtherHost;
let operator: Operator;
beforeAll(async () => {
  world = await BackupWorld.start();
  await db().query('update plans set stacks = 9');
  north = await world.otherHost('north');
  operator = await world.world.operator();
});
afterAll(() => world.close());

const db = () => world.world.database.dataSource.manager;
const rowOf = (id: string) => db().findOneByOrFail(TenantEntity, { id });
const heard = (id: string, seenAt: Date) => db().update(EngineEntity, { id }, { seenAt });
const postgresOf = (slug: string) => stackNames(world.world.facts.platformId, slug).container('postgres');
/** Names of what an engine has of a stack. */
const of = (slug: string, engine: OtherHost['engine']): string[] => {
  const { containers, volumes, networks } = engine.names();
  return [...containers, ...volumes, ...networks].filter((name) => name.includes(slug));
};
const cloneTo = async (engine: string, { slug }: Stack, backup: string) => {
  await heard(engine, new Date());
  return world.world.stacks.clone(operator, slug, { backup, engine });
};

it('a backup is brought to another host as a copy, which lives there from then on, and its original stays where it is', async () => {
  const stack = await world.stack();
  const { backup } = await world.backUp(stack);
  await world.databases.sql(stack.postgres, 'delete from fills where id > 900');
  const before = await rowOf(stack.id);
  const here = of(stack.slug, world.world.engine);
  const { stack: made, operation } = await cloneTo('north', stack, backup!.id);
  expect(made.engine).toBe('north');
  // Whose queue it waits in.
  expect(await db().findOneByOrFail(OperationEntity, { id: operation.id })).toMatchObject({ engineId: 'north' });
  expect(await north.run(operation.id, made.id)).toMatchObject({ kind: 'clone', state: 'done', error: null });
  const copy = { id: made.id, slug: made.slug, postgres: postgresOf(made.slug) };
  expect([await world.countOf(copy), await world.countOf(stack)]).toEqual([1000, 900]);
  expect(await rowOf(made.id)).toMatchObject({
    engineId: 'north',
    accountId: before.accountId,
    observed: 'running',
    tradingHeldSince: expect.any(Date) as Date,
  });
  expect(of(made.slug, north.engine)).toContain(copy.postgres);
  expect(of(made.slug, world.world.engine)).toEqual([]);
  expect([of(stack.slug, world.world.engine), of(stack.slug, north.engine)]).toEqual([here, []]);
  expect(await rowOf(stack.id)).toEqual(before);
  // Each host has bridges of its own: the first of the other's is free although the same of this one is taken.
  expect(await db().findOneByOrFail(TenantSubnetEntity, { tenantId: made.id })).toMatchObject({
    engineId: 'north',
    subnet: 0,
  });
  expect(await db().findOneByOrFail(EdgeSlotEntity, { tenantId: made.id })).toMatchObject({ engineId: 'north' });

  // It is backed up, restored and copied there as any stack is where it is.
  const asked = await world.ask(copy);
  expect(await north.run(asked, copy.id)).toMatchObject({ state: 'done', error: null });
  const own = await db().findOneByOrFail(BackupEntity, { operationId: asked });
  expect(own).toMatchObject({ state: 'verified', tenantId: made.id });
  await world.databases.sql(copy.postgres, 'delete from fills');
  const restored = await world.ask(copy, 'restore', { backup: own.id });
  expect(await north.run(restored, copy.id)).toMatchObject({ state: 'done', error: null });
  expect(await world.countOf(copy)).toBe(1000);
  const again = await world.world.stacks.clone(stack.owner, made.slug, { backup: own.id });
  expect(again.stack.engine).toBe('north');
  const back = await cloneTo('local', { ...stack, slug: made.slug }, own.id);
  expect(await world.run(back.operation.id, back.stack.id)).toMatchObject({ state: 'done', error: null });
  expect(await world.countOf({ ...back.stack, postgres: postgresOf(back.stack.slug) })).toBe(1000);
});

it('only an operator names a host, one that there is, that is heard of and has room; refused, nothing was made', async () => {
  const stack = await world.stack();
  const { backup } = await world.backUp(stack);
  const { stacks } = world.world;
  const stacksNow = () => db().countBy(TenantEntity, {});
  const before = await stacksNow();
  const wish = { backup: backup!.id, engine: 'north' };
  await heard('north', new Date());
  await expect(stacks.clone(stack.owner, stack.slug, wish)).rejects.toMatchObject({ code: 'FORBIDDEN' });
  await expect(stacks.clone(operator, stack.slug, { ...wish, engine: 'south' })).rejects.toMatchObject({
    code: 'VALIDATION_FAILED',
    message: 'There is no engine south. There are: local, north.',
  });
  await heard('north', new Date(Date.now() - 60_000));
  await expect(stacks.clone(operator, stack.slug, wish)).rejects.toMatchObject({
    code: 'UNAVAILABLE',
    details: { engine: 'north' },
  });
  await heard('north', new Date());
  const { capacity } = await db().findOneByOrFail(EngineEntity, { id: 'north' });
  await db().update(EngineEntity, { id: 'north' }, { capacity: { ...capacity, memoryMb: 64 } });
  try {
    await expect(stacks.clone(operator, stack.slug, wish)).rejects.toMatchObject({ code: 'NO_CAPACITY' });
  } finally {
    await db().update(EngineEntity, { id: 'north' }, { capacity });
  }
  expect(await stacksNow()).toBe(before);
});

it('a host whose agent does not reach the store says that before it loads anything, and what it was to make can be destroyed', async () => {
  const store = join(world.home, 'store-of-its-own');
  await mkdir(store);
  const south = await world.otherHost('south', store);
  const stack = await world.stack();
  const { backup } = await world.backUp(stack);
  const { stack: made, operation } = await cloneTo('south', stack, backup!.id);
  const failed = await south.run(operation.id, made.id);
  expect(failed).toMatchObject({ state: 'failed', error: { code: 'REPOSITORY_MISSING' } });
  expect(failed.error?.message).toContain('AVIARY_BACKUP_URL');
  expect(of(made.slug, south.engine).filter((name) => !name.endsWith('-secrets'))).toEqual([]);
  expect(await world.countOf(stack)).toBe(1000);
  const goes = await world.world.stacks.request(operator, made.slug, 'destroy');
  expect(await south.run(goes.operation.id, made.id)).toMatchObject({ state: 'done', error: null });
  expect(await db().findOneBy(TenantEntity, { id: made.id })).toBeNull();
});
