import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { MasterKey } from '#libs/crypto';
import {
  AuditEntryEntity,
  DataKeyEntity,
  KeyRotationEntity,
  OperationEntity,
  RepositoryEntity,
  TenantEntity,
  TenantSecretEntity,
} from '#libs/db';
import { listAlarms } from '#libs/jobs';
import { KeyService, KeyWork, PLATFORM, repositoryContext, sayHolder, secretContext, startKeys } from '#libs/keys';
import { createLogger } from '#libs/telemetry';
import { newMasterKey, newMasterKeyText, sealedUnderMasterKey } from '../support/keys.js';
import { stackWorld, type StackWorld } from '../support/stack-world.js';
import { program } from '../support/program.js';

const forever = new AbortController().signal;

let world: StackWorld;
let oldText: string;
let newText: string;
let oldKey: MasterKey;
let newKey: MasterKey;

beforeEach(async () => {
  [oldText, newText] = [newMasterKeyText(), newMasterKeyText()];
  [oldKey, newKey] = [oldText, newText].map((text) => MasterKey.parse(text, 'the test')) as [MasterKey, MasterKey];
  world = await stackWorld({ masterKey: oldText, nextMasterKey: newText });
}, 60_000);
afterEach(() => world.close(), 60_000);

const db = () => world.database.dataSource.manager;
const start = (current: MasterKey, next: MasterKey | null = null) =>
  startKeys(world.database.dataSource, { current, next }, new Date());
const work = (current = oldKey, next: MasterKey | null = newKey): KeyWork =>
  new KeyWork({
    database: world.database.dataSource,
    masters: { current, next },
    now: () => new Date(),
    logger: createLogger('test', 'silent'),
  });

interface Made {
  id: string;
  slug: string;
  owner: Awaited<ReturnType<StackWorld['account']>>;
}

async function run(operationId: string, stackId: string): Promise<OperationEntity> {
  await world.runner().run(operationId, stackId, forever);
  return db().findOneByOrFail(OperationEntity, { id: operationId });
}

async function made(): Promise<Made> {
  const owner = await world.account();
  const { stack, operation } = await world.stacks.create(owner, { template: 'standard' });
  expect(await run(operation.id, stack.id)).toMatchObject({ state: 'done', error: null });
  return { id: stack.id, slug: stack.slug, owner };
}

const restarted = async ({ id, slug, owner }: Made): Promise<OperationEntity> =>
  run((await world.stacks.request(owner, slug, 'restart')).operation.id, id);

/** Every secret of a stack by name, opened with those master keys. */
async function opened(tenantId: string, current: MasterKey, next: MasterKey | null = null) {
  const key = await (await start(current, next)).of(db(), tenantId);
  const rows = await db().find(TenantSecretEntity, { where: { tenantId }, order: { name: 'ASC' } });
  return rows.map(({ name, sealed, previous }) => [
    name,
    key.open(secretContext(tenantId, name), sealed),
    previous && key.open(secretContext(tenantId, name), previous),
  ]);
}

/** As if the stack had been made by the code of before there were data keys. */
async function asBefore(stack: Made): Promise<void> {
  const { id } = stack;
  for (const [name, text] of await opened(id, oldKey)) {
    const sealed = (plain: string): Buffer => sealedUnderMasterKey(oldText, secretContext(id, name ?? ''), plain);
    await db().update(
      TenantSecretEntity,
      { tenantId: id, name: name ?? '' },
      { sealed: sealed(text ?? ''), previous: name === 'database-password' ? sealed('the one before') : null },
    );
  }
  await db().insert(RepositoryEntity, {
    tenantId: id,
    sealed: sealedUnderMasterKey(oldText, repositoryContext(id), 'of its backups'),
    createdAt: new Date(),
  });
  await db().delete(DataKeyEntity, { owner: id });
}

describe('at a start', () => {
  it('the key is proven on the platform’s own data key, and another one is refused in a sentence', async () => {
    await expect(start(oldKey)).resolves.toBeDefined();
    const other = newMasterKey();
    await expect(start(other)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: `The master key ${other.id} is not the one this platform is sealed with, which is ${oldKey.id}: set that one as AVIARY_MASTER_KEY, AVIARY_MASTER_KEY_FILE or AVIARY_MASTER_KEY_COMMAND.`,
    });
    // Named like it, and not it: what is in the row decides.
    await db().update(DataKeyEntity, { owner: PLATFORM }, { masterKey: other.id });
    await expect(start(other)).rejects.toThrow('data key in the database is damaged');
  });

  it('a wrong one is refused also where the platform’s own data key is lost and only those of stacks are there', async () => {
    await made();
    await db().delete(DataKeyEntity, { owner: PLATFORM });
    await expect(start(newMasterKey())).rejects.toThrow('does not open what this platform has sealed');
    expect(await db().countBy(DataKeyEntity, { owner: PLATFORM })).toBe(0);
    await expect(start(oldKey)).resolves.toBeDefined();
  });

  it('of a platform of before there were data keys, one that opens none of its secrets is refused', async () => {
    const stacks = [await made(), await made()];
    for (const stack of stacks) {
      await asBefore(stack);
    }
    await db().delete(DataKeyEntity, { owner: PLATFORM });
    await expect(start(newMasterKey())).rejects.toThrow('does not open what this platform has sealed');
    expect(await db().count(DataKeyEntity)).toBe(0);
    // One damaged stack is no reason.
    await db().update(
      TenantSecretEntity,
      { tenantId: stacks[0]?.id ?? '' },
      { sealed: Buffer.alloc(120, 1), previous: null },
    );
    await db().update(RepositoryEntity, { tenantId: stacks[0]?.id ?? '' }, { sealed: Buffer.alloc(120, 1) });
    await expect(start(oldKey)).resolves.toBeDefined();
    await expect(start(newMasterKey())).rejects.toThrow('is not the one this platform is sealed with');
  });
});

describe('what was sealed before there were data keys', () => {
  it('opens as it is, is brought under its stack’s data key, and is the same afterwards', async () => {
    const [stack, same] = [await made(), await made()];
    const before = await opened(stack.id, oldKey);
    await asBefore(stack);
    // Left as they are, the platform works with them: a restart delivers them.
    const [password] = await db().findBy(TenantSecretEntity, { tenantId: stack.id, name: 'database-password' });
    await db().update(TenantSecretEntity, { tenantId: stack.id }, { previous: null });
    expect(await restarted(stack)).toMatchObject({ state: 'done', error: null });
    const left = await db().findBy(TenantSecretEntity, { tenantId: stack.id });
    expect(left.map(({ sealed }) => sealed[0])).toEqual(before.map(() => 1));
    await db().update(
      TenantSecretEntity,
      { tenantId: stack.id, name: 'database-password' },
      { previous: password?.previous ?? null },
    );
    const untouched = await db().findBy(TenantSecretEntity, { tenantId: same.id });
    await work().turn(forever);
    expect((await opened(stack.id, oldKey)).map(([name, text]) => [name, text, null])).toEqual(before);
    expect((await opened(stack.id, oldKey)).find(([name]) => name === 'database-password')?.[2]).toBe('the one before');
    const repository = await db().findOneByOrFail(RepositoryEntity, { tenantId: stack.id });
    const key = await world.keys.of(db(), stack.id);
    expect(key.open(repositoryContext(stack.id), repository.sealed)).toBe('of its backups');
    const rows = await db().findBy(TenantSecretEntity, { tenantId: stack.id });
    expect([...rows.map(({ sealed }) => sealed[0]), repository.sealed[0]].every((version) => version === 2)).toBe(true);
    expect(await db().findBy(TenantSecretEntity, { tenantId: same.id })).toEqual(untouched);
  });

  it('stays where it does not open, and the rest of it and of others is brought over', async () => {
    const [stack, other] = [await made(), await made()];
    await asBefore(stack);
    await asBefore(other);
    const name = 'redis-password';
    await db().update(TenantSecretEntity, { tenantId: stack.id, name }, { sealed: Buffer.alloc(120, 1) });
    await work().turn(forever);
    const left = await db().query<{ tenant_id: string; name: string }[]>(
      `select tenant_id, name from tenant_secrets where get_byte(sealed, 0) = 1`,
    );
    expect(left).toEqual([{ tenant_id: stack.id, name }]);
    expect(await opened(other.id, oldKey)).not.toHaveLength(0);
    const status = await new KeyService(world.database.dataSource, () => new Date()).status(await world.operator());
    expect(status).toMatchObject({ underMasterKey: [stack.slug], lost: [] });
  });
});

describe('a data key', () => {
  it('is each stack’s own: what is sealed opens in no other place and with no other stack’s', async () => {
    const [one, two] = [await made(), await made()];
    const rows = await db().findBy(TenantSecretEntity, { tenantId: one.id });
    const [first, second] = rows;
    const [mine, others] = [await world.keys.of(db(), one.id), await world.keys.of(db(), two.id)];
    const context = secretContext(one.id, first?.name ?? '');
    const sealed = first?.sealed ?? Buffer.alloc(0);
    expect(mine.open(context, sealed)).not.toBe('');
    const lost = expect.objectContaining({ code: 'KEY_LOST' }) as unknown;
    const failing = (open: () => string): unknown => {
      try {
        return open();
      } catch (error) {
        return error;
      }
    };
    expect(failing(() => mine.open(secretContext(one.id, second?.name ?? ''), sealed))).toEqual(lost);
    expect(failing(() => mine.open(secretContext(two.id, first?.name ?? ''), sealed))).toEqual(lost);
    expect(failing(() => others.open(context, sealed))).toEqual(lost);
    // Nor is a stack given another's key.
    const { wrapped } = await db().findOneByOrFail(DataKeyEntity, { owner: two.id });
    await db().update(DataKeyEntity, { owner: one.id }, { wrapped });
    await expect(world.keys.of(db(), one.id)).rejects.toEqual(lost);
  });

  it('that is gone or damaged is an alarm that names its stack and why, before anybody needs it, and over when it is back', async () => {
    const [gone, damaged, other, well] = [await made(), await made(), await made(), await made()];
    const rowOf = (stack: Made) => db().findOneByOrFail(DataKeyEntity, { owner: stack.id });
    const kept = [await rowOf(gone), await rowOf(damaged), await rowOf(other)];
    const alarms = world.engineAlarms({ fleetUnwell: null });
    const open = async () => {
      await alarms.turn();
      const all = await listAlarms(world.database.dataSource, new Date());
      return all
        .filter(({ code, endedAt }) => code === 'KEY_LOST' && endedAt === null)
        .map(({ params, severity }) => ({ ...params, severity }));
    };
    expect(await open()).toEqual([]);

    const wrapped = Buffer.from(kept[1]?.wrapped ?? '');
    wrapped[wrapped.length - 1] = (wrapped.at(-1) ?? 0) ^ 1;
    await db().delete(DataKeyEntity, { owner: gone.id });
    await db().update(DataKeyEntity, { owner: damaged.id }, { wrapped });
    await db().update(DataKeyEntity, { owner: other.id }, { masterKey: newMasterKey().id });
    const found = await open();
    expect(found).toHaveLength(3);
    expect(found).toEqual(
      expect.arrayContaining([
        { stack: gone.slug, why: 'it has none any more', severity: 'critical' },
        { stack: damaged.slug, why: 'it is damaged', severity: 'critical' },
        {
          stack: other.slug,
          why: expect.stringMatching(/under the master key \S+, which was not given/),
          severity: 'critical',
        },
      ]),
    );
    expect(JSON.stringify(found)).not.toContain(well.slug);

    for (const row of kept) {
      await db().save(DataKeyEntity, row);
    }
    expect(await open()).toEqual([]);
  });

  it('that is destroyed harms its stack alone, which can still be stopped and destroyed', async () => {
    const [one, two] = [await made(), await made()];
    await db().delete(DataKeyEntity, { owner: one.id });
    const failed = await restarted(one);
    expect(failed).toMatchObject({ state: 'failed', error: { code: 'KEY_LOST' } });
    expect(await restarted(two)).toMatchObject({ state: 'done', error: null });
    expect(await made()).toBeDefined();
    const service = new KeyService(world.database.dataSource, () => new Date());
    expect(await service.status(await world.operator())).toMatchObject({ lost: [one.slug] });
    // No new key takes its place unseen.
    await expect(world.keys.ensure(db(), one.id, new Date())).rejects.toMatchObject({ code: 'KEY_LOST' });

    const stop = await world.stacks.request(one.owner, one.slug, 'stop');
    expect(await run(stop.operation.id, one.id)).toMatchObject({ state: 'done' });
    const end = await world.stacks.request(one.owner, one.slug, 'destroy');
    expect(await run(end.operation.id, one.id)).toMatchObject({ state: 'done' });
    expect(await service.status(await world.operator())).toMatchObject({ lost: [] });
  });

  it('goes with its stack, and everything sealed under it with it', async () => {
    const stack = await made();
    expect(await db().countBy(DataKeyEntity, { owner: stack.id })).toBe(1);
    const end = await world.stacks.request(stack.owner, stack.slug, 'destroy');
    await run(end.operation.id, stack.id);
    expect(await db().countBy(DataKeyEntity, { owner: stack.id })).toBe(0);
    expect(await db().countBy(TenantEntity, { id: stack.id })).toBe(0);
  });
});

describe('a rotation', () => {
  const holds = (next: MasterKey | null, owner = 'agent-1'): Promise<void> =>
    sayHolder(db(), { owner, engineId: 'local', masters: { current: oldKey, next } });
  const service = (): KeyService => new KeyService(world.database.dataSource, () => new Date());

  async function life(diesAfter: number): Promise<boolean> {
    const child = spawn(
      process.execPath,
      [...program('test/support/rotation-child.ts'), world.database.url, oldText, newText, String(diesAfter)],
      { stdio: ['ignore', 'pipe', 'inherit'], env: { PATH: process.env['PATH'] } },
    );
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
    expect(code === 0 || signal === 'SIGKILL').toBe(true);
    return said.includes('done');
  }

  it('killed after every batch, while stacks are made, comes to its end: everything opens, and nothing with the old key', async () => {
    const stacks = [await made(), await made(), await made()];
    const old = stacks[0] as Made;
    await asBefore(old);
    const before = new Map<string, unknown>();
    for (const { id } of stacks) {
      before.set(id, await opened(id, oldKey));
    }
    await holds(newKey);
    const operator = await world.operator();
    expect(await service().nextKey(operator)).toBe(newKey.id);
    const asked = await service().rotate(operator, newKey.id);
    expect(asked).toMatchObject({ from: oldKey.id, to: newKey.id, finishedAt: null });

    const during: Made[] = [];
    let lives = 0;
    for (let ended = false; !ended;) {
      lives += 1;
      await holds(newKey);
      const makes = lives <= 5;
      const [over, stack] = await Promise.all([life(1), makes ? made() : null]);
      ended = over;
      during.push(...(stack === null ? [] : [stack]));
    }
    expect(lives).toBeGreaterThan(stacks.length);

    expect(await db().countBy(DataKeyEntity, { masterKey: oldKey.id })).toBe(0);
    expect(await db().count(DataKeyEntity)).toBe(1 + stacks.length + during.length);
    await expect(start(oldKey)).rejects.toThrow(newKey.id);
    for (const { id } of stacks) {
      expect(await opened(id, newKey)).toEqual(before.get(id));
    }
    for (const { id } of during) {
      expect((await opened(id, newKey)).length).toBeGreaterThan(2);
    }
    const status = await service().status(operator);
    expect(status).toMatchObject({
      masterKey: newKey.id,
      lost: [],
      underMasterKey: [],
      rotation: { id: asked.id, left: 0, finishedAt: expect.any(String) as string },
    });
    const told = await db().findBy(AuditEntryEntity, { targetId: newKey.id });
    expect(told.map(({ action }) => action).toSorted()).toEqual(['keys.rotate', 'keys.rotated']);
    expect(JSON.stringify(told)).not.toContain(newText.slice(0, 12));
  }, 120_000);

  it('under way needs both keys at a start, and before it begins every agent has to have the next', async () => {
    const operator = await world.operator();
    await made();
    await expect(service().nextKey(operator)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await holds(newKey);
    await holds(null, 'agent-2');
    await expect(service().rotate(operator, newKey.id)).rejects.toThrow('agent-2');
    await db().query(`update key_holders set seen_at = now() - interval '1 minute' where owner = 'agent-2'`);
    await service().rotate(operator, newKey.id);
    // Asked for, and then an agent came that has it not: nothing is moved.
    await holds(null, 'agent-3');
    await expect(work().turn(forever)).rejects.toThrow('agent-3');
    await expect(work(oldKey, null).turn(forever)).rejects.toThrow(newKey.id);
    expect(await db().countBy(DataKeyEntity, { masterKey: newKey.id })).toBe(0);
    await expect(start(oldKey)).resolves.toBeDefined();
    await db().query(`delete from key_holders where owner = 'agent-3'`);
    // One that was not begun gives way, and an agent that had seen it moves nothing.
    const other = newMasterKey();
    const rotation = await db().findOneByOrFail(KeyRotationEntity, { toKey: newKey.id });
    await db().query(`delete from key_holders`);
    await holds(other);
    expect(await service().nextKey(operator)).toBe(other.id);
    expect(await service().rotate(operator, other.id)).toMatchObject({ to: other.id });
    const find = jest.spyOn(world.database.dataSource.manager, 'findOneBy').mockResolvedValueOnce(rotation);
    await work().turn(forever);
    find.mockRestore();
    expect(await db().countBy(DataKeyEntity, { masterKey: newKey.id })).toBe(0);
    await db().query(`delete from key_holders`);
    await holds(newKey);
    expect(await service().rotate(operator, newKey.id)).toMatchObject({ to: newKey.id });

    // Begun, and killed before the first stack's was moved.
    expect(await life(1)).toBe(false);
    const both = `set AVIARY_MASTER_KEY to the first and AVIARY_NEXT_MASTER_KEY to the second`;
    await expect(start(oldKey)).rejects.toThrow(both);
    await expect(start(newKey)).rejects.toThrow(both);
    await expect(start(oldKey, newKey)).resolves.toBeDefined();
    expect((await service().rotate(operator, newKey.id)).begunAt).not.toBeNull();
    expect(await service().nextKey(operator)).toBe(newKey.id);
    await expect(service().rotate(operator, newMasterKey().id)).rejects.toThrow('has not ended');
    await work().turn(forever);
    await expect(start(newKey)).resolves.toBeDefined();
    // Asked for again, it is the one that was done.
    const again = await service().rotate(operator, newKey.id);
    expect(again).toMatchObject({ to: newKey.id, left: 0, finishedAt: expect.any(String) as string });
    expect(await db().count(KeyRotationEntity)).toBe(1);
    await expect(service().rotate(operator, oldKey.id)).resolves.toMatchObject({ from: newKey.id, to: oldKey.id });
  }, 60_000);

  it('leaves one stack’s damaged data key behind and says whose', async () => {
    const [one, two] = [await made(), await made()];
    const { wrapped: good } = await db().findOneByOrFail(DataKeyEntity, { owner: one.id });
    await db().update(DataKeyEntity, { owner: one.id }, { wrapped: Buffer.alloc(60, 3) });
    await holds(newKey);
    const operator = await world.operator();
    await service().rotate(operator, newKey.id);
    await work().turn(forever);
    const rotation = await db().findOneByOrFail(KeyRotationEntity, { toKey: newKey.id });
    expect(rotation.finishedAt).not.toBeNull();
    expect(await service().status(operator)).toMatchObject({ lost: [one.slug], rotation: { left: 1 } });
    expect((await opened(two.id, newKey)).length).toBeGreaterThan(2);
    await expect((await start(newKey)).of(db(), one.id)).rejects.toMatchObject({ code: 'KEY_LOST' });
    // Brought back from a copy of before, it comes along as long as both keys are given.
    await db().update(DataKeyEntity, { owner: one.id }, { wrapped: good });
    await work(newKey, null).turn(forever);
    expect((await service().status(operator)).lost).toEqual([one.slug]);
    await work(newKey, oldKey).turn(forever);
    expect((await service().status(operator)).lost).toEqual([]);
    expect((await opened(one.id, newKey)).length).toBeGreaterThan(2);
  });

  it('is not taken back by an agent that looked before it began', async () => {
    await made();
    const stale = await db().findOneByOrFail(DataKeyEntity, { owner: PLATFORM });
    await service().rotate(await world.operator(), newKey.id);
    await work().turn(forever);
    const find = jest.spyOn(world.database.dataSource.manager, 'findOneBy');
    find.mockResolvedValueOnce(null).mockResolvedValueOnce(stale);
    await work().turn(forever);
    find.mockRestore();
    expect(await db().countBy(DataKeyEntity, { masterKey: newKey.id })).toBe(2);
  });

  it('is asked for by operators alone', async () => {
    const person = await world.account();
    await expect(service().rotate(person, newKey.id)).rejects.toMatchObject({ code: 'FORBIDDEN' });
    await expect(service().status(person)).rejects.toMatchObject({ code: 'FORBIDDEN' });
    await expect(service().nextKey(person)).rejects.toMatchObject({ code: 'FORBIDDEN' });
  });
});
