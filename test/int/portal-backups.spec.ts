import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { waitFor } from '#libs/async';
import { chooseBackup, listBackups, type PortalBackups, type PortalRepository, type PortalServer } from '#libs/backup';
import { DomainError, type Actor, type PortalBackupView } from '#libs/contracts';
import { DataKeyEntity, KeyRotationEntity, PortalBackupEntity } from '#libs/db';
import { KeyService, KeyWork, PLATFORM, sayHolder, type MasterKeys } from '#libs/keys';
import { MasterKey, newDataKey } from '#libs/crypto';
import { createLogger } from '#libs/telemetry';
import { orderDuePortalBackup, PortalBackupService } from '#libs/tenants';
import { portalBackupAnswer } from '../../apps/agent/src/host/portal-backup-answer.js';
import { backupTool } from '../support/backup-tools.js';
import { CheapRepositories } from '../support/cheap-repository.js';
import { aviary, document, environment } from '../support/cli.js';
import { newMasterKey, newMasterKeyText } from '../support/keys.js';
import { portalServerOf, type PortalTools } from '../support/portal-database.js';
import { portalBackups, portalRepositoryIn } from '../support/portal-backups.js';
import { databasesLike } from '../support/postgres.js';
import { resticHome } from '../support/restic-home.js';
import { stackWorld, type StackWorld } from '../support/stack-world.js';
import { program } from '../support/program.js';

jest.setTimeout(300_000);

const never = new AbortController().signal;
const restic = resticHome();
let worlds = 0;
let cheap: CheapRepositories;

let world: StackWorld;
let operator: Actor;
let folder: string;
let tools: PortalTools;
let server: PortalServer;
let repository: PortalRepository;
let backups: PortalBackups;

beforeAll(async () => {
  cheap = await CheapRepositories.make(restic.settings, join(restic.folder, 'cheap'));
});
beforeEach(async () => {
  world = await stackWorld();
  operator = await world.operator();
  folder = join(restic.folder, `portal-${(worlds += 1)}`);
  tools = {};
  const { name: database, platformId } = world.database;
  server = await portalServerOf({ database, platformId }, tools);
  ({ repository, backups } = made(world.keys.masters));
  await cheap.copyTo(join(folder, 'portal'), world.keys.masters.current.repositoryPassword());
});
afterEach(() => world.close());

function made(masters: MasterKeys): { repository: PortalRepository; backups: PortalBackups } {
  const { dataSource, platformId } = world.database;
  const own = portalRepositoryIn(folder, restic.settings, masters);
  const parts = { database: dataSource, server, repository: own, masters };
  return { repository: own, backups: portalBackups(parts, { platformId }) };
}

/** Files of the repository's data, in the order they were written. */
async function packs(): Promise<string[]> {
  const data = join(folder, 'portal', 'data');
  const names = (await readdir(data, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  const files = await Promise.all(
    names.map(async ({ parentPath, name }) => {
      const path = join(parentPath, name);
      return { path, at: (await stat(path)).mtimeMs };
    }),
  );
  return files.toSorted((a, b) => a.at - b.at).map(({ path }) => path);
}

const db = () => world.database.dataSource.manager;
const service = () => new PortalBackupService(world.database.dataSource, { overdueHours: 28 }, () => new Date());

/** Asks for one and works on it to its end. */
async function backUp(by = backups): Promise<PortalBackupView> {
  const { id } = await service().take(operator);
  expect(await by.turn(never)).toBe(true);
  return service().get(operator, id);
}

const stored = async (by = repository) => (await by.find(never))!.repository.snapshots([], never);
const beside = async (): Promise<string[]> =>
  (await databasesLike(world.database.name)).filter((name) => name !== world.database.name);

describe('a backup of the portal', () => {
  it('is dumped, stored, restored beside and compared, with time and figures, and leaves nothing in clear', async () => {
    await world.account();
    // The first there ever is makes the repository.
    await rm(folder, { recursive: true });
    const backup = await backUp();
    expect(backup).toMatchObject({ state: 'verified', reason: 'manual', error: null });
    expect(backup.masterKey).toBe(world.keys.masters.current.id);
    expect(backup.tables).toBeGreaterThan(40);
    const [accounts] = await db().query<{ n: number }[]>('select count(*)::int as n from accounts');
    const row = await db().findOneByOrFail(PortalBackupEntity, { id: backup.id });
    const tables = (row.manifest as { database: { tables: { name: string; rows: number }[] } }).database.tables;
    expect(tables).toContainEqual(expect.objectContaining({ schema: 'public', name: 'accounts', rows: accounts!.n }));
    expect(row.manifest).toMatchObject({
      platform: world.database.platformId,
      settings: { AVIARY_PORTAL_DOMAIN: 'portal.example.org' },
    });
    expect((await stored()).flatMap(({ paths }) => paths).toSorted()).toEqual([
      '/manifest.json',
      '/portal.dump',
      '/verified.json',
    ]);
    expect(await beside()).toEqual([]);
    const { stdout } = await promisify(execFile)('grep', ['-rlE', 'example.org|PGDMP', folder]).catch(
      (error: { stdout: string }) => error,
    );
    expect(stdout).toBe('');
    // Nothing to do any more.
    expect(await backups.turn(never)).toBe(false);
  });

  it('opens with plain restic and the password made of the master key, and with no other', async () => {
    await backUp();
    const list = async (password: string): Promise<unknown> => {
      const file = join(restic.folder, 'by-hand');
      await writeFile(file, password);
      const args = ['-r', join(folder, 'portal'), '--password-file', file, 'snapshots', '--json', '--no-lock'];
      return JSON.parse((await promisify(execFile)(backupTool('restic'), args)).stdout) as unknown;
    };
    expect(await list(world.keys.masters.current.repositoryPassword())).toHaveLength(3);
    await expect(list(newMasterKey().repositoryPassword())).rejects.toMatchObject({ code: 12 });
    const strange = made({ current: newMasterKey(), next: null });
    const refused = await backUp(strange.backups);
    expect(refused).toMatchObject({ state: 'failed', error: { code: 'REPOSITORY_KEY' } });
    expect(refused.error?.message).toContain('move the folder away');
    expect(await stored()).toHaveLength(3);
  });

  it.each([
    ['breaks off with half a dump', 'head -c 3000 /dev/zero; exit 1', 'pg_dump ended with 1'],
    ['ends well and writes nothing', 'exit 0', 'wrote no dump'],
  ])('FM-20 fails where its pg_dump %s, and leaves no snapshot', async (_how, script, said) => {
    tools.instead = (tool) => (tool === 'pg_dump' ? { file: 'sh', args: ['-c', script] } : null);
    const backup = await backUp();
    expect(backup).toMatchObject({ state: 'failed', verifiedAt: null, error: { code: 'BACKUP_FAILED' } });
    expect(backup.error?.message).toContain(said);
    expect(await stored()).toEqual([]);
    // The next one is not hindered by it.
    tools.instead = () => null;
    expect(await backUp()).toMatchObject({ state: 'verified' });
  });

  it('FM-20 does not count where a row is lost on its way back, and what counted before stays', async () => {
    await world.account();
    const good = await backUp();
    tools.afterRestore = 'delete from public.accounts';
    const bad = await backUp();
    expect(bad).toMatchObject({ state: 'failed', verifiedAt: null, error: { code: 'BACKUP_UNVERIFIED' } });
    expect(bad.error?.message).toContain('public.accounts has 0 rows instead of');
    expect(await beside()).toEqual([]);
    const { chosen, newer } = await chooseBackup((await repository.find(never))!.repository, {
      id: null,
      signal: never,
    });
    expect([chosen.manifest.backup, newer]).toEqual([good.id, 1]);
    expect(await service().list(operator)).toMatchObject({ verifiedUntil: good.takenAt });
  });

  it('FM-22 is left out where it cannot be read any more, and every failure names the others', async () => {
    const older = await backUp();
    const before = new Set(await packs());
    const newer = await backUp();
    const { repository: found } = (await repository.find(never))!;
    // Of the dump and the manifest all is there: only what came last, which says that it counts, is lost.
    const since = (await packs()).filter((pack) => !before.has(pack));
    for (const pack of since.slice(-2)) {
      await rm(pack, { force: true });
    }
    const { chosen, newer: left, unreadable } = await chooseBackup(found, { id: null, signal: never });
    expect([chosen.manifest.backup, left]).toEqual([older.id, 1]);
    expect(unreadable).toEqual([expect.stringContaining(newer.id)]);
    await expect(chooseBackup(found, { id: newer.id, signal: never })).rejects.toMatchObject({
      message: expect.stringContaining(older.id) as string,
    });
    expect(await listBackups(found, never)).toMatchObject([
      { id: newer.id, state: 'verified' },
      { id: older.id, state: 'verified' },
    ]);
  });

  it('of another version of the platform is told as that, and not left out for an older one', async () => {
    const older = await backUp();
    const { id } = await backUp();
    const { repository: found } = (await repository.find(never))!;
    const foreign = Object.assign(Object.create(found) as typeof found, {
      open: async (...args: Parameters<typeof found.open>) => {
        const { stream, ended } = await found.open(...args);
        const said = (await text(stream)).replace('"version": 1', '"version": 2');
        return { stream: Readable.from(said), ended };
      },
    });
    await expect(chooseBackup(foreign, { id: null, signal: never })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringMatching(`${id} .*written by another version of the platform.*${older.id}`) as string,
    });
  });

  it('FM-21 is gone on with after a kill −9 before any of its steps, and is one backup in the end', async () => {
    await world.account();
    const { id } = await service().take(operator);
    const order = {
      what: 'backup',
      url: world.database.url,
      database: world.database.name,
      platformId: world.database.platformId,
      masterKey: world.masterKey,
      folder,
      restic: restic.settings,
    };
    let lives = 0;
    let step = 0;
    let state = 'asked';
    for (let done = false; !done; lives += 1) {
      step += 1;
      // The row forgives five deaths; a person or the night asks again after those.
      await db().update(PortalBackupEntity, { id }, { tries: 0 });
      done = (await life({ ...order, diesAt: step })).includes('done');
      const now = (await service().get(operator, id)).state;
      if (now !== state) {
        // Every step of what is left is to be its last once, too.
        [state, step] = [now, 0];
      }
    }
    expect(lives).toBeGreaterThan(10);
    expect(await service().get(operator, id)).toMatchObject({ state: 'verified', error: null });
    const found = (await repository.find(never))!.repository;
    await found.check({ part: 1, of: 1 }, never);
    const dumps = (await found.snapshots([], never)).filter(({ paths }) => paths.includes('/portal.dump'));
    expect(dumps).toHaveLength(1);
    expect(await readdir(join(folder, 'portal', 'locks'))).toEqual([]);
    expect(await beside()).toEqual([]);
    await clearSecrets();
  });

  it('counts only as long as it lies in the repository: where that was moved away, the next makes a new one', async () => {
    const before = await backUp();
    await rm(folder, { recursive: true });
    const after = await backUp();
    const { items, verifiedUntil } = await service().list(operator);
    expect(items.map(({ id }) => id)).toEqual([after.id]);
    expect(verifiedUntil).toBe(after.takenAt);
    await expect(service().get(operator, before.id)).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('is given up where it ends the agent again and again', async () => {
    const { id } = await service().take(operator);
    await db().update(PortalBackupEntity, { id }, { tries: 5, state: 'taking' });
    await backups.turn(never);
    expect(await service().get(operator, id)).toMatchObject({ state: 'failed', error: { code: 'GAVE_UP' } });
  });
});

/** A process that backs up or recovers, to its end or its death; what it said. */
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

/** A killed process leaves the folders of its passwords, which an agent has in memory of its own container. */
async function clearSecrets(): Promise<void> {
  for (const name of await readdir(restic.settings.secretDir)) {
    await rm(join(restic.settings.secretDir, name), { recursive: true });
  }
}

describe('the master key', () => {
  const nextText = newMasterKeyText();
  const next = MasterKey.parse(nextText, 'the test');
  const keys = () => new KeyService(world.database.dataSource, () => new Date());
  const work = (own: PortalRepository, masters: MasterKeys): KeyWork =>
    new KeyWork({
      database: world.database.dataSource,
      masters,
      now: () => new Date(),
      logger: createLogger('test', 'silent'),
      repository: own,
    });
  const opensWith = async (master: MasterKey): Promise<boolean> => repository.opensWith(master, never);

  async function asked(masters: MasterKeys): Promise<void> {
    await sayHolder(db(), { owner: 'a', engineId: 'local', masters });
    await keys().rotate(operator, next.id);
  }

  it('is rotated with the repository: what was backed up before comes back with the new key alone', async () => {
    const before = await backUp();
    const masters = { current: world.keys.masters.current, next };
    const both = made(masters);
    await asked(masters);
    // As a kill between the two would leave it: both let in, and the rotation goes on in the next turn.
    const cut = new Error('killed here');
    const dying = Object.assign(Object.create(both.repository) as PortalRepository, {
      retireOthers: () => Promise.reject(cut),
    });
    await expect(work(dying, masters).turn(never)).rejects.toBe(cut);
    expect([await opensWith(masters.current), await opensWith(next)]).toEqual([true, true]);
    await work(both.repository, masters).turn(never);
    expect((await db().findOneByOrFail(KeyRotationEntity, { toKey: next.id })).finishedAt).not.toBeNull();
    expect([await opensWith(masters.current), await opensWith(next)]).toEqual([false, true]);

    const alone = made({ current: next, next: null });
    const opened = (await alone.repository.find(never))!.repository;
    const { chosen } = await chooseBackup(opened, { id: null, signal: never });
    expect(chosen.manifest.backup).toBe(before.id);
    expect(chosen.proof?.masterKey).toBe(masters.current.id);
    // Its data keys are under the old one: until there is a newer backup a person has to keep that, and is told.
    expect((await keys().status(operator)).portalBackup).toBe(masters.current.id);
    const due = await orderDuePortalBackup(world.database.dataSource, {
      now: new Date(Date.now() + 31 * 60_000),
      zone: 'UTC',
      hour: 4,
    });
    expect(due).not.toBeNull();
    await alone.backups.turn(never);
    expect(await service().get(operator, due!)).toMatchObject({ state: 'verified', masterKey: next.id });
    expect((await keys().status(operator)).portalBackup).toBeNull();
  });

  it('is not rotated while the place of backups is away: nothing was moved, and the old key opens everything', async () => {
    await backUp();
    const masters = { current: world.keys.masters.current, next };
    const away = Object.assign(Object.create(made(masters).repository) as PortalRepository, {
      admit: () => Promise.reject(new DomainError('REPOSITORY_FAILED')),
    });
    await asked(masters);
    await expect(work(away, masters).turn(never)).rejects.toMatchObject({ code: 'REPOSITORY_FAILED' });
    expect(await db().countBy(DataKeyEntity, { masterKey: next.id })).toBe(0);
    expect((await keys().status(operator)).rotation).toMatchObject({ begunAt: null, finishedAt: null });
  });

  it('that the repository missed, since nothing had been backed up, is let in by the next backup', async () => {
    await backUp();
    const { current } = world.keys.masters;
    const moved = { masterKey: next.id, wrapped: next.wrap(PLATFORM, newDataKey()) };
    await db().update(DataKeyEntity, { owner: PLATFORM }, moved);
    const both = made({ current, next });
    expect(await backUp(both.backups)).toMatchObject({ state: 'verified' });
    expect([await opensWith(current), await opensWith(next)]).toEqual([false, true]);
  });
});

describe('aviary portal', () => {
  it('takes one and follows it, lists them, and ends with 8 where the newest is too old', async () => {
    const env = environment(world.database);
    const asked = await aviary(env, ['portal', 'backup', '--detach', '--json']);
    expect(document(asked)).toMatchObject({ ok: true, schema: 'aviary/portal-backup/1', data: { state: 'asked' } });
    const following = aviary(env, ['portal', 'backup']);
    await backups.turn(never);
    const done = await following;
    expect([done.code, done.stdout]).toEqual([0, expect.stringContaining('restored and checked: ')]);
    const listed = document(await aviary(env, ['portal', 'backups', '--json']));
    expect(listed).toMatchObject({ exit: 0, data: { items: [{ state: 'verified' }], problems: [] } });
    await db().query(`update portal_backups set taken_at = now() - interval '30 hours'`);
    const old = await aviary(env, ['portal', 'backups', '--json']);
    expect(document(old)).toMatchObject({ ok: false, exit: 8, data: { items: [{ state: 'verified' }] } });
    expect((await aviary({ ...env, AVIARY_PORTAL_BACKUP_OVERDUE_HOURS: '48' }, ['portal', 'backups'])).code).toBe(0);
  });

  it('tells why one failed, and ends with 1', async () => {
    tools.instead = (tool) => (tool === 'pg_dump' ? { file: 'sh', args: ['-c', 'exit 3'] } : null);
    const following = aviary(environment(world.database), ['portal', 'backup', '--json']);
    await waitFor(async () => (await backups.turn(never)) || undefined, {
      what: 'it being asked for',
      deadlineMs: 30_000,
    });
    const ran = await following;
    const failed = { state: 'failed', error: { code: 'BACKUP_FAILED' } };
    expect(document(ran)).toMatchObject({ ok: false, exit: 1, data: failed });
    expect(portalBackupAnswer(ran.stdout)).toEqual({
      verified: null,
      why: expect.stringContaining('BACKUP_FAILED') as string,
    });
  });
});
