import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import pg from 'pg';
import { waitFor } from '#libs/async';
import { platformPrefix, type Recovery } from '#libs/contracts';
import { newId, PortalBackupEntity, RecoveryEntity } from '#libs/db';
import { FakeEngineServer, LABEL, plainContainer } from '#libs/engine';
import { portalBackupAnswer } from '../../apps/agent/src/host/portal-backup-answer.js';
import { AgentProcess, agentHome, type AgentHome } from '../support/agent-process.js';
import { backupTool } from '../support/backup-tools.js';
import { aviary, document, environment } from '../support/cli.js';
import { newMasterKeyText } from '../support/keys.js';
import { stackWorld, type StackWorld } from '../support/stack-world.js';
import { program } from '../support/program.js';

jest.setTimeout(180_000);

let world: StackWorld;
let directory: string;
let home: AgentHome;
let server: FakeEngineServer;
let agent: AgentProcess | null = null;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'aviary-portal-'));
  world = await stackWorld();
  home = await agentHome(world, directory);
  await mkdir(join(directory, 'secrets'), { mode: 0o700 });
  server = await FakeEngineServer.listen(world.engine, join(directory, 'engine.sock'));
  await world.operator();
});
afterAll(async () => {
  await agent?.kill();
  await server.close();
  await world.close();
  await rm(directory, { recursive: true, force: true });
});

async function start(place?: string): Promise<void> {
  const env = (name: string): Record<string, string> => ({ [name]: process.env[name] ?? '' });
  agent = await AgentProcess.start(home, `agent-${newId().slice(-4)}`, join(directory, 'engine.sock'), {
    AVIARY_BACKUP_URL: place ?? join(directory, 'backups'),
    AVIARY_RESTIC_BINARY: backupTool('restic'),
    AVIARY_RESTIC_CACHE_DIR: join(directory, 'cache'),
    AVIARY_SECRET_DIR: join(directory, 'secrets'),
    AVIARY_HOST_SETTINGS: JSON.stringify({
      settings: {
        AVIARY_PORTAL_DOMAIN: 'portal.example.org',
        AVIARY_PUBLIC_ADDRESSES: '192.0.2.7',
        ...(place !== undefined && { AVIARY_BACKUP_URL: place }),
      },
      secrets: ['AVIARY_SMTP_URL'],
    }),
    AVIARY_DISK_FLOOR_MB: '0',
    TEST_PORTAL_DATABASE: world.database.name,
    ...env('AVIARY_TEST_POSTGRES'),
    ...env('AVIARY_TEST_PG_BIN'),
    ...env('AVIARY_TEST_RESTIC'),
  });
}

it('an agent takes the backup that a person asked for, of the database in its engine’s container', async () => {
  const { platformId } = world.database;
  const bounds = { deadlineMs: 5_000 };
  const name = `aviary-${platformPrefix(platformId)}-postgres`;
  await start();
  const env = environment(world.database);
  const waits = await aviary(env, ['portal', 'backup', '--timeout', '8', '--json']);
  // The portal's database is not on this engine yet.
  expect(document(waits)).toMatchObject({ ok: false, exit: 7 });
  const labels = { [LABEL.platform]: platformId, [LABEL.role]: 'portal' };
  const image = (await world.engine.imageId('postgres:test', bounds)) ?? '';
  await world.engine.createContainer(plainContainer(name, labels, { image }), bounds);
  await world.engine.startContainer(name, bounds);
  const ran = await aviary(env, ['portal', 'backup', '--json', '--timeout', '120']);
  expect(document(ran)).toMatchObject({ ok: true, data: { state: 'verified' } });
  // As scripts/upgrade reads it.
  const [taken] = await world.database.dataSource.manager.find(PortalBackupEntity);
  expect(portalBackupAnswer(ran.stdout)).toEqual({ verified: taken?.id, why: null });
  expect((await agent!.health()).body).not.toContain('portal backup');
});

it('a look for one that failed is no failure any more once one went well, though no backup is due', async () => {
  const told = async (word: boolean): Promise<true | undefined> =>
    (await agent!.health()).body.includes('portal backup') === word || undefined;
  const owner = new pg.Client({ connectionString: world.database.ownerUrl });
  await owner.connect();
  try {
    await owner.query('alter table portal_backups rename to away');
    await waitFor(() => told(true), { what: 'a look that failed', deadlineMs: 20_000 });
    await owner.query('alter table away rename to portal_backups');
  } finally {
    await owner.end();
  }
  await waitFor(() => told(false), { what: 'one that went well', deadlineMs: 20_000 });
});

describe('aviary recover, on a machine that has nothing but .env and the repositories,', () => {
  const recover = async (env: string, ...options: string[]) => {
    const repository = await mkdtemp(join(directory, 'sources-'));
    await writeFile(join(repository, '.env'), env);
    const child = spawn(process.execPath, [...program('apps/agent/src/host/recover.ts'), repository, ...options], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env['PATH'], AVIARY_RESTIC_BINARY: backupTool('restic') },
    });
    const [stdout, stderr, [code]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, 'exit') as Promise<[number | null]>,
    ]);
    return { code, stdout, stderr, env: await readFile(join(repository, '.env'), 'utf8') };
  };
  const bare = (key: string, backups = 'backups'): string =>
    `AVIARY_MASTER_KEY=${key}\nAVIARY_BACKUP_URL=${join(directory, backups)}\nAVIARY_DATA_DIR=${join(directory, 'new')}\n`;
  const settings = (key: string, backups = 'backups'): string =>
    `${bare(key, backups)}AVIARY_SMTP_URL=smtp://mail.example.org:25\n`;

  it('says what it would bring back and asks for the platform’s id before it changes anything', async () => {
    const env = settings(home.masterKey);
    const used = await recover(env, '--json', '--confirm', world.database.platformId);
    expect(document({ ...used })).toMatchObject({ ok: false, exit: 5, error: { code: 'WRONG_STATE' } });
    expect(used.stdout).toContain('The old host may be alive');
    expect(used.env).toBe(env);
    const ran = await recover(env, '--json', '--old-host-is-off');
    expect(document({ ...ran })).toMatchObject({ schema: 'aviary/recover/1', ok: false, exit: 2 });
    expect(ran.stdout).toContain(`Needs --confirm=${world.database.platformId}.`);
    expect(ran.stdout).toContain('its portal of 20');
    expect(ran.stderr).toContain('opening the portal’s backups at ');
    expect(ran.env).toBe(env);
    const wrong = await recover(env, '--confirm', newId(), '--old-host-is-off');
    expect([wrong.code, wrong.env]).toEqual([2, env]);
    expect(wrong.stderr).toContain('nothing was done');
    for (const one of [ran, wrong]) {
      expect(one.stdout + one.stderr).not.toContain(home.masterKey);
    }
  });

  it('asks for what the lost host had and no backup holds, unless it is to go on without', async () => {
    const env = bare(home.masterKey);
    const ran = await recover(env, '--json');
    expect(document(ran)).toMatchObject({ ok: false, exit: 2, error: { code: 'CONFIG_INVALID' } });
    expect(ran.stdout).toContain('AVIARY_SMTP_URL in .env');
    expect(ran.env).toBe(env);
    expect((await recover(env, '--json', '--without=AVIARY_SMTP_URL', '--old-host-is-off')).stdout).toContain(
      'Needs --confirm=',
    );
  });

  it('lists what there is and says what it would do, and is never taken for more than it is told', async () => {
    const env = settings(home.masterKey);
    const listed = document(await recover(env, '--list', '--json')) as unknown as { data: { items: object[] } };
    expect(listed.data.items).toEqual([expect.objectContaining({ state: 'verified' })]);
    const { platformId } = world.database;
    const ran = await recover(env, '--dry-run', '--confirm', platformId, '--json');
    expect(document(ran)).toMatchObject({ ok: true, exit: 0, data: { dryRun: true, platform: platformId } });
    expect(ran.env).toBe(env);
    const unknown = await recover(env, '--dryrun', '--confirm', platformId, '--json');
    expect(document(unknown)).toMatchObject({ ok: false, exit: 2, error: { code: 'VALIDATION_FAILED' } });
    expect(unknown.env).toBe(env);
  });

  it('refuses a wrong key, none, a place without a portal, an unknown backup, and another platform’s .env', async () => {
    const refused = async (env: string, ...options: string[]) => {
      const ran = await recover(env, '--json', ...options);
      expect(ran.env).toBe(env);
      const { exit, error } = document(ran) as unknown as { exit: number; error: { code: string; message: string } };
      return { exit, ...error };
    };
    expect(await refused(settings(newMasterKeyText()))).toMatchObject({ exit: 2, code: 'REPOSITORY_KEY' });
    expect(await refused(settings(''))).toMatchObject({ exit: 2, code: 'CONFIG_INVALID' });
    expect(await refused(settings(home.masterKey, 'nowhere'))).toMatchObject({ exit: 3, code: 'REPOSITORY_MISSING' });
    expect(await refused(settings(home.masterKey), '--backup', newId())).toMatchObject({ exit: 3, code: 'NOT_FOUND' });
    const other = `${settings(home.masterKey)}AVIARY_PLATFORM_ID=${newId()}\n`;
    expect((await refused(other)).message).toContain('Nothing was changed');
  });
});

it('an agent that finds a recovered database decides for every stack before it looks at any', async () => {
  await agent?.kill('SIGTERM');
  const { stack } = await world.stacks.create(await world.account(), { template: 'standard' });
  await world
    .runner()
    .run(
      (await world.database.dataSource.query<{ id: string }[]>('select id from operations'))[0]!.id,
      stack.id,
      new AbortController().signal,
    );
  const { manager } = world.database.dataSource;
  await manager.query(`update tenants set observed = 'none', epoch = 7`);
  const now = new Date();
  await manager.insert(RecoveryEntity, {
    id: newId(),
    backupId: newId(),
    takenAt: now,
    recoveredAt: now,
    orderedAt: null,
  });
  await start();
  const shown = await waitFor(
    async () => {
      const found = document(await aviary(environment(world.database), ['portal', 'recovery', '--json']));
      return (found.data as Recovery).orderedAt === null ? undefined : found;
    },
    { what: 'the decisions', deadlineMs: 30_000 },
  );
  expect(shown).toMatchObject({ ok: true, data: { stacks: [{ slug: stack.slug, state: 'nothing' }] } });
});

it('an agent whose backups go to another place than before takes one of the portal there at once', async () => {
  await agent?.kill('SIGTERM');
  const place = join(directory, 'another-place');
  await start(place);
  const { manager } = world.database.dataSource;
  const taken = await waitFor(
    async () => {
      const found = await manager.findOneBy(PortalBackupEntity, { askedBy: 'system:new-place' });
      return found?.state === 'verified' || found?.state === 'failed' ? found : undefined;
    },
    { what: 'a backup in the new place', deadlineMs: 120_000 },
  );
  expect(taken).toMatchObject({ state: 'verified', error: null, manifest: { settings: { AVIARY_BACKUP_URL: place } } });
  expect(await readdir(join(place, 'portal', 'snapshots'))).not.toEqual([]);
});
