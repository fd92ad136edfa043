import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { sealAudit, verifyAudit } from '#libs/audit';
import { chooseBackup, type Recovered } from '#libs/backup';
import type { Actor } from '#libs/contracts';
import {
  AccountEntity,
  AuditEntryEntity,
  ExportEntity,
  newId,
  OperationEntity,
  PortalBackupEntity,
  RecoveryStackEntity,
  ReleaseEntity,
  SessionEntity,
  SignOnCodeEntity,
  TenantEntity,
} from '#libs/db';
import type { MasterKeys } from '#libs/keys';
import { migratePlatform } from '#libs/jobs';
import { createLogger } from '#libs/telemetry';
import { RecoveryService } from '#libs/tenants';
import { orderRestores } from '../../apps/agent/src/recovery.js';
import { accountServices, CLIENT, PASSWORD } from '../support/accounts.js';
import { BackupWorld, type BackedUpStack } from '../support/backup-world.js';
import { aviary, document, environment } from '../support/cli.js';
import { newMasterKey } from '../support/keys.js';
import { backUpPortal, recoverPortalInto } from '../support/lost-portal.js';
import { portalRepositoryIn } from '../support/portal-backups.js';
import { appPassword, databasesLike, emptyDatabase, knownDatabase, testDatabase } from '../support/postgres.js';
import { ENGINE_ID } from '../support/stack-world.js';
import { program } from '../support/program.js';

jest.setTimeout(300_000);

const never = new AbortController().signal;

/** The host that is lost: its portal, its stacks, and what is kept elsewhere. */
let lost: BackupWorld;
let operator: Actor;
/** Where the repositories of stacks lie, and that of the portal. */
let folder: string;
let masters: MasterKeys;
const stacks: Record<'running' | 'stopped' | 'late' | 'never', BackedUpStack> = {} as never;
const opened: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  lost = await BackupWorld.start();
  operator = await lost.world.operator();
  folder = join(lost.home, 'repositories');
  masters = lost.world.keys.masters;
  for (const name of ['running', 'stopped', 'late', 'never'] as const) {
    stacks[name] = await lost.stack();
  }
  for (const name of ['running', 'stopped'] as const) {
    await lost.databases.sql(stacks[name].postgres, `update fills set price = 7 where id = 1`);
    expect((await lost.backUp(stacks[name])).backup).toMatchObject({ state: 'verified' });
  }
  await lost.world.database.dataSource.manager.update(
    TenantEntity,
    { id: stacks.stopped.id },
    { desired: 'stopped', observed: 'stopped' },
  );
  await peopleOfBefore();
  // Under way when the host is lost, and to be destroyed.
  await lost.ask(stacks.late, 'backup');
  await backUpPortal(lost, { operator, masters });
});
afterAll(async () => {
  for (const close of opened.toReversed()) {
    await close();
  }
  await lost.close();
});

/** What people hold when the portal is backed up. */
let held: { refreshToken: string; mailed: string };

async function peopleOfBefore(): Promise<void> {
  const { dataSource } = lost.world.database;
  const use = accountServices(lost.world.database);
  await use.register('ana');
  await use.registration.verifyEmail(use.mailed.at(-1)?.token ?? '', CLIENT);
  const { refreshToken } = await use.signIn.login({ identifier: 'ana', password: PASSWORD }, CLIENT, null);
  await use.register('ben');
  held = { refreshToken, mailed: use.mailed.at(-1)?.token ?? '' };
  const { id: tenantId, accountId } = await dataSource.manager.findOneByOrFail(TenantEntity, { id: stacks.running.id });
  const soon = new Date(Date.now() + 3_600_000);
  await dataSource.manager.insert(SignOnCodeEntity, {
    codeHash: 'a code',
    tenantId,
    accountId,
    sessionId: newId(),
    host: 'h',
    state: 's',
    next: '/',
    expiresAt: soon,
    usedAt: null,
  });
  await dataSource.manager.insert(ExportEntity, {
    id: newId(),
    tenantId,
    backupId: newId(),
    takenAt: new Date(),
    accountId,
    ticketHash: 'a ticket',
    file: 'f',
    state: 'asked',
    askedAt: new Date(),
    aliveUntil: soon,
  });
}

const recoverInto = (database: string, keys = masters, id: string | null = null): Promise<Recovered> =>
  recoverPortalInto(lost, { database, masters: keys, id });

async function empty(): Promise<Awaited<ReturnType<typeof emptyDatabase>>> {
  const made = await emptyDatabase();
  opened.push(() => made.close());
  return made;
}

/** A new host, whose portal was recovered. */
async function newHost(name: string): Promise<BackupWorld> {
  const host = await BackupWorld.start({
    database: await knownDatabase(name),
    masterKey: lost.world.masterKey,
    repositories: folder,
  });
  opened.push(() => host.close());
  return host;
}

const orders = (host: BackupWorld, change: Partial<Parameters<typeof orderRestores>[0]> = {}): Promise<number> =>
  orderRestores({
    dataSource: host.world.database.dataSource,
    repositories: host.repositories,
    engine: host.engine,
    queue: host.world.queue,
    platformId: host.world.database.platformId,
    engineId: ENGINE_ID,
    logger: createLogger('test', 'silent'),
    stopping: never,
    now: () => new Date(),
    ...change,
  });

/** The container of a stack's database on that host. */
const onHost = (host: BackupWorld, { id, slug }: BackedUpStack): BackedUpStack => ({
  id,
  slug,
  postgres: host.world.engine.names().containers.find((name) => name.endsWith(`${slug}-postgres`)) ?? '',
});

describe('a lost host', () => {
  it('FM-22 comes back on a new one: the portal as it was backed up, and every stack out of its newest verified backup', async () => {
    const { name, ownerUrl } = await empty();
    const recovered = await recoverInto(name);
    expect(recovered).toMatchObject({ before: false, stacks: 4 });
    // As `up` does next; nothing is left for it but its own password.
    await migratePlatform(ownerUrl, { platformId: lost.world.database.platformId, appPassword: appPassword() });
    const host = await newHost(name);
    const { dataSource } = host.world.database;
    expect(await dataSource.manager.count(AccountEntity)).toBe(
      await lost.world.database.dataSource.manager.count(AccountEntity),
    );
    const open = await dataSource.manager.countBy(OperationEntity, { state: 'queued' });
    expect(open).toBe(0);
    const late = await dataSource.manager.findOneByOrFail(OperationEntity, {
      tenantId: stacks.late.id,
      kind: 'backup',
    });
    expect(late).toMatchObject({ state: 'failed', error: { details: { why: 'recovered' } } });
    expect(await dataSource.manager.find(PortalBackupEntity)).toMatchObject([{ state: 'verified' }]);

    await orders(host);
    const status = async () => {
      const { stacks: all, orderedAt } = await new RecoveryService(dataSource).newest(operator);
      return { orderedAt, of: Object.fromEntries(all.map(({ slug, state, why }) => [slug, { state, why }])) };
    };
    const first = await status();
    expect(first.orderedAt).not.toBeNull();
    expect(first.of).toEqual({
      [stacks.running.slug]: { state: 'restoring', why: null },
      [stacks.stopped.slug]: { state: 'restoring', why: null },
      [stacks.late.slug]: { state: 'nothing', why: expect.stringContaining('no verified backup') as string },
      [stacks.never.slug]: { state: 'nothing', why: expect.stringContaining('no verified backup') as string },
    });
    for (const stack of [stacks.running, stacks.stopped]) {
      const { id } = await dataSource.manager.findOneByOrFail(OperationEntity, { tenantId: stack.id, state: 'queued' });
      expect(await host.run(id, stack.id)).toMatchObject({
        state: 'done',
        error: null,
        requestedBy: 'system:recovery',
      });
    }
    expect((await status()).of).toMatchObject({
      [stacks.running.slug]: { state: 'restored' },
      [stacks.stopped.slug]: { state: 'restored' },
    });
    const here = onHost(host, stacks.running);
    expect(await host.countOf(here)).toBe(1000);
    expect(await host.databases.sql(here.postgres, 'select price::float as p from fills where id = 1')).toEqual([
      { p: 7 },
    ]);
    expect(await dataSource.manager.findOneByOrFail(TenantEntity, { id: stacks.running.id })).toMatchObject({
      observed: 'running',
      reason: null,
    });
    // What was stopped stays so, with its data there.
    expect(await dataSource.manager.findOneByOrFail(TenantEntity, { id: stacks.stopped.id })).toMatchObject({
      desired: 'stopped',
      observed: 'stopped',
    });
    expect(host.databases.volumes().filter((volume) => volume.includes(stacks.stopped.slug))).toHaveLength(1);
    // Its backups go on in the repository there is.
    expect((await host.backUp(here)).backup).toMatchObject({ state: 'verified' });

    const shown = document(await aviary(environment(host.world.database), ['portal', 'recovery', '--json']));
    expect(shown).toMatchObject({ ok: true, data: { id: recovered.id } });
    // Again it is all there, so nothing is done twice.
    const count = await dataSource.manager.count(OperationEntity);
    await orders(host);
    expect(await dataSource.manager.count(OperationEntity)).toBe(count);
    expect(await recoverInto(name)).toEqual({ id: recovered.id, before: true, stacks: 4 });
  });

  it('is decided stack by stack, so that what is cut off goes on with those that are left', async () => {
    const { name } = await empty();
    await recoverInto(name);
    const host = await newHost(name);
    const { manager } = host.world.database.dataSource;
    let asked = 0;
    const dying = {
      enqueue: async (...args: Parameters<typeof host.world.queue.enqueue>) => {
        asked += 1;
        if (asked === 2) {
          throw new Error('killed here');
        }
        return host.world.queue.enqueue(...args);
      },
    };
    expect(await orders(host, { queue: dying as never })).toBe(1);
    expect(await manager.countBy(OperationEntity, { kind: 'restore', state: 'queued' })).toBe(1);
    expect(await orders(host)).toBe(0);
    expect(await manager.countBy(OperationEntity, { kind: 'restore', state: 'queued' })).toBe(2);
    expect(await manager.count(RecoveryStackEntity)).toBe(4);
  });

  it('goes on with another release of the same version where the images were built anew, and so have other ids', async () => {
    const { name } = await empty();
    await recoverInto(name);
    const host = await newHost(name);
    const { manager } = host.world.database.dataSource;
    const [old] = await manager.find(ReleaseEntity, { where: { template: 'standard' } });
    const images = Object.fromEntries(Object.keys(old!.images).map((service) => [service, `sha256:new-${service}`]));
    const id = `${old!.template}@${old!.version}+built000`;
    const built = Object.assign(new ReleaseEntity(), old, { id, images, createdAt: new Date() });
    await manager.insert(ReleaseEntity, built as object);
    const imageId = (image: string): Promise<string | null> =>
      Promise.resolve(image.startsWith('sha256:new-') ? image : null);
    await orders(host, { engine: { observe: (...args) => host.engine.observe(...args), imageId } });
    expect(await manager.findOneByOrFail(TenantEntity, { id: stacks.running.id })).toMatchObject({
      releaseId: built.id,
    });
    expect(await manager.findOneByOrFail(RecoveryStackEntity, { tenantId: stacks.running.id })).toMatchObject({
      releaseBefore: old!.id,
      operationId: expect.any(String) as string,
    });
  });

  it('leaves a stack alone whose data is on this host: only the portal was lost', async () => {
    const { name } = await empty();
    await recoverInto(name);
    const host = await newHost(name);
    await orders(host, {
      engine: {
        imageId: (...args) => host.engine.imageId(...args),
        observe: (...args) => lost.engine.observe(...args),
      },
    });
    const { stacks: all } = await new RecoveryService(host.world.database.dataSource).newest(operator);
    expect(all.map(({ state, why }) => [state, why])).toEqual(
      Array.from({ length: 4 }, () => ['nothing', 'Its data is on this host.']),
    );
  });
});

it('nobody is signed in after a recovery, no link or ticket of before is good, and the audit says what was done', async () => {
  const before = accountServices(lost.world.database);
  // After the backup was taken, so that what comes back knows nothing of it.
  await before.sessions.logout(held.refreshToken, CLIENT);
  await before.registration.verifyEmail(held.mailed, CLIENT);
  const { name } = await empty();
  const { id } = await recoverInto(name);
  const recovered = await knownDatabase(name);
  const { dataSource } = recovered;
  try {
    const use = accountServices(recovered);
    await expect(use.sessions.refresh(held.refreshToken, CLIENT)).rejects.toMatchObject({ code: 'TOKEN_INVALID' });
    await expect(use.registration.verifyEmail(held.mailed, CLIENT)).rejects.toMatchObject({ code: 'TOKEN_INVALID' });
    expect(await dataSource.manager.countBy(SessionEntity, { revokeReason: 'recovered' })).toBe(1);
    expect(await dataSource.manager.count(SignOnCodeEntity)).toBe(0);
    expect(await dataSource.manager.find(ExportEntity)).toMatchObject([
      { state: 'failed', error: { code: 'OPERATION_CANCELLED' } },
    ]);
    const [entry] = await dataSource.manager.findBy(AuditEntryEntity, { action: 'platform.recover' });
    expect(entry).toMatchObject({
      actorKind: 'system',
      actorName: 'system:recovery',
      targetId: lost.world.database.platformId,
      before: null,
      after: { id, stacks: 4, verified: true },
    });
    await sealAudit(dataSource, () => new Date());
    expect(await verifyAudit(dataSource)).toMatchObject({ ok: true, unsealed: { count: 0 } });
  } finally {
    await dataSource.destroy();
  }
});

describe('is refused, and nothing is changed,', () => {
  it('where the database is in use, with what to do', async () => {
    const other = await BackupWorld.start();
    opened.push(() => other.close());
    await other.world.account();
    const { name, dataSource } = other.world.database;
    const before = await dataSource.manager.count(AccountEntity);
    await expect(recoverInto(name)).rejects.toMatchObject({
      code: 'WRONG_STATE',
      message: expect.stringContaining('scripts/down --purge') as string,
    });
    expect(await dataSource.manager.count(AccountEntity)).toBe(before);
    expect(await databasesLike(`${name}_`)).toEqual([]);
  });

  it('but not where it has neither a stack nor anybody but operators: nothing in it would be missed', async () => {
    const fresh = await testDatabase();
    const { name, dataSource } = fresh;
    opened.push(() => databasesLike(name).then(async ([left]) => left && (await knownDatabase(left)).close()));
    expect(await dataSource.manager.count(TenantEntity)).toBe(0);
    await dataSource.destroy();
    expect(await recoverInto(name)).toMatchObject({ before: false, stacks: 4 });
  });

  it('with another master key', async () => {
    const { name } = await empty();
    await expect(recoverInto(name, { current: newMasterKey(), next: null })).rejects.toMatchObject({
      code: 'REPOSITORY_KEY',
    });
    expect(await databasesLike(`${name}_`)).toEqual([]);
  });

  it('where there is no verified backup, and names what there is', async () => {
    const { repository } = (await portalRepositoryIn(folder, lost.restic, masters).find(never))!;
    const newest = (await repository.snapshots([], never)).find(({ tags }) => !tags.includes('fence'));
    const id = newest!.tags.find((tag) => tag.startsWith('backup='))!.slice('backup='.length);
    const without = Object.assign(Object.create(repository) as typeof repository, {
      snapshots: async () =>
        (await repository.snapshots([], never)).filter(({ paths }) => !paths.includes('/verified.json')),
    });
    await expect(chooseBackup(without, { id: null, signal: never })).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringContaining(id) as string,
    });
    expect((await chooseBackup(without, { id, signal: never })).chosen.proof).toBeNull();
  });
});

it('FM-22 is gone on with after a kill −9 before any of its steps, and comes to the same end', async () => {
  const { name } = await empty();
  const order = {
    what: 'recover',
    database: name,
    platformId: lost.world.database.platformId,
    masterKey: lost.world.masterKey,
    folder,
    restic: lost.restic,
  };
  let lives = 0;
  for (let done = false; !done;) {
    lives += 1;
    done = (await life({ ...order, diesAt: lives })).includes('done');
  }
  expect(lives).toBeGreaterThan(6);
  expect(await recoverInto(name)).toMatchObject({ before: true, stacks: 4 });
  expect(await databasesLike(`${name}_`)).toEqual([]);
  const host = await newHost(name);
  expect(await host.world.database.dataSource.manager.count(TenantEntity)).toBe(4);
  // Cut off between the fence and the database too: the newest fence is this one's.
  expect(await host.fence.look()).toBeNull();
  for (const left of await readdir(lost.restic.secretDir)) {
    await rm(join(lost.restic.secretDir, left), { recursive: true });
  }
});

/** A process that recovers, to its end or its death; what it said. */
async function life(order: object): Promise<string> {
  const child = spawn(process.execPath, [...program('test/support/portal-child.ts'), JSON.stringify(order)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  const [said, errors] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  if (child.exitCode !== null && child.exitCode !== 0) {
    throw new Error(`the child failed: ${errors}`);
  }
  return said;
}
