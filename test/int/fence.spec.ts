import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { waitFor } from '#libs/async';
import { chooseBackup, FenceGuard, recoverPortal, requireNoLife, type FenceGuardDeps } from '#libs/backup';
import { DomainError, type Actor } from '#libs/contracts';
import { AlarmEntity, createDataSource, FenceEntity } from '#libs/db';
import { FakeEngineServer, LABEL } from '#libs/engine';
import { migratePlatform } from '#libs/jobs';
import type { Repository } from '#libs/restic';
import { createLogger } from '#libs/telemetry';
import { PortalBackupService, stackNames, type Fence } from '#libs/tenants';
import { ReplacedHost } from '../../apps/agent/src/replaced-host.js';
import { AgentProcess, agentHome, type AgentHome } from '../support/agent-process.js';
import { backupTool } from '../support/backup-tools.js';
import { BackupWorld, type BackedUpStack } from '../support/backup-world.js';
import { CheapRepositories } from '../support/cheap-repository.js';
import { newMasterKey } from '../support/keys.js';
import { portalServerOf } from '../support/portal-database.js';
import { portalBackups, portalRepositoryIn } from '../support/portal-backups.js';
import { appPassword, emptyDatabase, knownDatabase } from '../support/postgres.js';
import { ENGINE_ID } from '../support/stack-world.js';

jest.setTimeout(300_000);

const never = new AbortController().signal;

/** A host that was only away, and the one that was recovered meanwhile. */
let old: BackupWorld;
let fresh: BackupWorld;
let operator: Actor;
let stack: BackedUpStack;
let folder: string;
/** The portal's backup that was recovered from. */
let recoveredFrom: string;
const opened: (() => Promise<unknown>)[] = [];
/** What the last recovery said, and `(stores)` where it stored something. */
let said: string[] = [];
let home: AgentHome;
let engine: FakeEngineServer;
/** Of the old host. */
let agent: AgentProcess;

async function startAgent(name: string): Promise<void> {
  agent = await AgentProcess.start(home, name, join(old.home, 'engine.sock'), {
    AVIARY_BACKUP_URL: folder,
    AVIARY_RESTIC_BINARY: backupTool('restic'),
    AVIARY_RESTIC_CACHE_DIR: old.restic.cacheDir,
    AVIARY_SECRET_DIR: old.restic.secretDir,
    TEST_FENCE_SECONDS: '1',
  });
}

const portalOf = (host: BackupWorld) => portalRepositoryIn(folder, host.restic, host.world.keys.masters);
const stored = async (host: BackupWorld) => (await portalOf(host).find(never))!.repository;

/** Works on a backup of the portal on that host; the id it has. `asked`: asks for it first. */
async function backUpPortal(host: BackupWorld, prove: () => Promise<void> = () => Promise.resolve()): Promise<string> {
  const { dataSource, name: database, platformId } = host.world.database;
  const server = await portalServerOf({ database, platformId });
  const parts = { database: dataSource, server, repository: portalOf(host), masters: host.world.keys.masters };
  const { id } = await new PortalBackupService(dataSource, { overdueHours: 28 }, () => new Date()).take(operator);
  await portalBackups(parts, { platformId, prove }).turn(never);
  return id;
}

async function recover(): Promise<BackupWorld> {
  const { platformId } = old.world.database;
  const empty = await emptyDatabase();
  opened.push(() => empty.close());
  const { name, ownerUrl } = empty;
  const repository = await stored(old);
  const { chosen } = await chooseBackup(repository, { id: null, signal: never });
  const server = await portalServerOf({ database: name, platformId });
  const { masters } = old.world.keys;
  said = [];
  const heard = Object.assign(Object.create(repository) as Repository, {
    store: (...given: Parameters<Repository['store']>) => {
      said.push('(stores)');
      return repository.store(...given);
    },
  });
  await recoverPortal({
    server,
    repository: heard,
    backup: chosen,
    masters,
    now: new Date(),
    signal: never,
    say: (text) => said.push(text),
  });
  await migratePlatform(ownerUrl, { platformId, appPassword: appPassword() });
  const { masterKey } = old.world;
  const host = await BackupWorld.start({ database: await knownDatabase(name), masterKey, repositories: folder });
  opened.push(() => host.close());
  return host;
}

const ids = async (host: BackupWorld): Promise<string[]> =>
  (await host.repositories.snapshots(stack.id, never)).map(({ id }) => id);

beforeAll(async () => {
  old = await BackupWorld.start();
  opened.push(() => old.close());
  operator = await old.world.operator();
  folder = join(old.home, 'repositories');
  stack = await old.stack();
  expect((await old.backUp(stack)).backup).toMatchObject({ state: 'verified', error: null });
  const cheap = await CheapRepositories.make(old.restic, join(old.home, 'cheap'));
  await cheap.copyTo(join(folder, 'portal'), old.world.keys.masters.current.repositoryPassword());
  recoveredFrom = await backUpPortal(old);
  home = await agentHome(old.world, old.home);
  engine = await FakeEngineServer.listen(old.world.engine, join(old.home, 'engine.sock'));
  opened.push(() => engine.close());
  await startAgent('first');
  expect(await agent.active()).toBe(true);
  fresh = await recover();
});
afterAll(async () => {
  await agent?.kill();
  for (const close of opened.toReversed()) {
    await close();
  }
});

/** Name, state and restart policy of what the stack has on the old host. */
async function containers(): Promise<Record<string, [string, string]>> {
  const owner = { platform: old.world.database.platformId, tenant: stack.id };
  const found = await old.world.engine.observe(owner, { deadlineMs: 5_000 });
  return Object.fromEntries(
    found.containers.map(({ labels, status, restart }) => [labels[LABEL.service] ?? '', [status, restart]]),
  );
}
const STOOD_DOWN = { runtime: ['exited', 'no'], postgres: ['running', 'unless-stopped'] };

it('an agent that leads learns that its host was replaced: its bots stand still, it leads no more and says so', async () => {
  const stopped = async () => ((await containers())['runtime']?.[0] === 'exited' ? true : undefined);
  await waitFor(stopped, { what: 'the runtime to be stopped', deadlineMs: 60_000 });
  expect(await containers()).toMatchObject(STOOD_DOWN);
  await waitFor(async () => ((await agent.active()) ? undefined : true), {
    what: 'the end of its lead',
    deadlineMs: 30_000,
  });
  expect((await agent.health()).status).toBe(503);
  expect((await agent.health()).body).toContain('This host was replaced');
  const { manager } = old.world.database.dataSource;
  const alarm = await waitFor(
    () => manager.findOneBy(AlarmEntity, { code: 'FENCED' }).then((one) => one ?? undefined),
    {
      what: 'the alarm',
      deadlineMs: 30_000,
    },
  );
  expect(alarm).toMatchObject({ severity: 'critical', endedAt: null });
  expect(alarm.message).toContain('scripts/down --purge');
});

it('it knows so after a restart too, when its repository is away and its engine started a bot again', async () => {
  await agent.kill('SIGTERM');
  const away = join(old.home, 'away');
  await rename(join(folder, 'portal'), away);
  const runtime = stackNames(old.world.database.platformId, stack.slug).container('runtime');
  await old.world.engine.startContainer(runtime, { deadlineMs: 5_000 });
  await startAgent('second');
  const stopped = async () => ((await containers())['runtime']?.[0] === 'exited' ? true : undefined);
  await waitFor(stopped, { what: 'the runtime to be stopped', deadlineMs: 60_000 });
  expect(await agent.active()).toBe(false);
  expect((await agent.health()).body).toContain('This host was replaced');
  await agent.kill('SIGTERM');
  await rename(away, join(folder, 'portal'));
});

/** Of that host's database, over another repository. */
const guardOf = (host: BackupWorld, change: Pick<FenceGuardDeps, 'repository'> & Partial<FenceGuardDeps>): FenceGuard =>
  new FenceGuard({
    database: host.world.database.dataSource,
    logger: createLogger('test', 'silent'),
    now: () => new Date(),
    ...change,
  });

it('where the repository does not tell, bots go on, and nothing of any repository is removed', async () => {
  const repository = await fresh.repository(stack.id);
  const part = { name: 'of-the-new-host-1', tags: ['backup=0190aaaa-0000-7000-8000-000000000002'], host: stack.slug };
  await repository.store(part, { stream: Readable.from('data'), produced: Promise.resolve() }, never);
  const before = await ids(fresh);
  const { manager } = old.world.database.dataSource;
  const kept = await manager.find(FenceEntity);
  await manager.delete(FenceEntity, { ordinal: 1 });
  const usual = old.fence;
  const rotated = { current: newMasterKey(), next: null };
  const away = { fences: () => Promise.reject(new DomainError('REPOSITORY_FAILED', { message: 'no way there' })) };
  const untold = [
    ['REPOSITORY_KEY', portalRepositoryIn(folder, old.restic, rotated)],
    ['REPOSITORY_FAILED', away],
  ] as const;
  for (const [code, instead] of untold) {
    old.fence = guardOf(old, { repository: instead });
    expect(await old.fence.look()).toBeNull();
    const { state, error } = await old.run(await old.ask(stack, 'prune'), stack.id);
    expect({ state, error }).toMatchObject({ state: 'failed', error: { code } });
    expect(error!.message).toContain('cannot be told now whether this host was replaced');
    expect(await ids(fresh)).toEqual(before);
  }
  old.fence = usual;
  await manager.insert(FenceEntity, kept);
});

it('a host whose platform was recovered elsewhere removes nothing that the new one stored, and stores nothing', async () => {
  const repository = await fresh.repository(stack.id);
  const part = { name: 'of-the-new-host', tags: ['backup=0190aaaa-0000-7000-8000-000000000001'], host: stack.slug };
  const { snapshotId } = await repository.store(
    part,
    { stream: Readable.from('data'), produced: Promise.resolve() },
    never,
  );
  const before = await ids(fresh);
  await old.run(await old.ask(stack, 'prune'), stack.id);
  expect(await ids(fresh)).toEqual(before);
  expect(before).toContain(snapshotId);
  expect(await fresh.fence.look()).toBeNull();
  const portal = (await (await stored(old)).snapshots([], never)).map(({ id }) => id);
  await expect(backUpPortal(old, () => old.fence.prove())).rejects.toMatchObject({
    code: 'FENCED',
    message: expect.stringContaining('scripts/down --purge') as string,
  });
  expect((await (await stored(old)).snapshots([], never)).map(({ id }) => id)).toEqual(portal);
});

describe('the repository is asked', () => {
  let asked = 0;
  let date = Date.parse('2026-11-22T12:00:00Z');
  let clock = 0;
  let answers = true;
  const guarding = (): FenceGuard =>
    guardOf(fresh, {
      repository: {
        fences: () => {
          asked += 1;
          return answers ? Promise.resolve([]) : Promise.reject(new Error('away'));
        },
      },
      now: () => new Date(date),
      clock: () => clock,
    });
  const asks = async (work: () => Promise<unknown>): Promise<number> => {
    const before = asked;
    await work();
    return asked - before;
  };

  it('once a minute by either clock, also after one that was ahead was set right', async () => {
    const guard = guarding();
    const look = () => asks(() => guard.look());
    expect([await look(), await look()]).toEqual([1, 0]);
    date -= 7_200_000;
    clock += 5_000;
    expect([await look(), await look()]).toEqual([1, 0]);
    clock += 60_000;
    expect([await look(), await look()]).toEqual([1, 0]);
    // As after the machine slept.
    date += 60_000;
    expect([await look(), await look()]).toEqual([1, 0]);
  });

  it('only while the database does not know: what another agent found is seen at once', async () => {
    const guard = guarding();
    expect(await guard.look()).toBeNull();
    const { manager } = fresh.world.database.dataSource;
    const recoveryId = '0190aaaa-0000-7000-8000-000000000003';
    await manager.insert(FenceEntity, { ordinal: 7, recoveryId, at: new Date(), seenAt: new Date() });
    expect(await asks(async () => expect(await guard.look()).toMatchObject({ ordinal: 7 }))).toBe(0);
    await manager.delete(FenceEntity, { ordinal: 7 });
  });

  it('again before anything is removed, and by each proof until it tells', async () => {
    const guard = guarding();
    const prove = (how?: { anew: boolean }) => asks(() => guard.prove(how));
    expect([await prove(), await prove(), await prove({ anew: true })]).toEqual([1, 0, 1]);
    answers = false;
    const fails = () => asks(() => expect(guard.prove({ anew: true })).rejects.toThrow('did not answer within'));
    expect([await fails(), await asks(() => expect(guard.prove()).rejects.toThrow()), asked]).toEqual([1, 1, asked]);
    answers = true;
    expect([await prove(), await prove()]).toEqual([1, 0]);
  });
});

it('an agent whose database goes away learns so all the same, and stops the bots it knows', async () => {
  const runtime = stackNames(old.world.database.platformId, stack.slug).container('runtime');
  await old.world.engine.startContainer(runtime, { deadlineMs: 5_000 });
  const database = await createDataSource(old.world.database.url, { applicationName: 'test' }).initialize();
  const { manager } = old.world.database.dataSource;
  const kept = await manager.find(FenceEntity);
  await manager.delete(FenceEntity, { ordinal: 1 });
  let fences: Fence[] = [];
  const logger = createLogger('test', 'silent');
  const now = () => new Date();
  const repository = { fences: () => Promise.resolve(fences) };
  const guard = new FenceGuard({ database, repository, logger, now, freshMs: 0 });
  let led = true;
  const host = new ReplacedHost({
    guard,
    dataSource: database,
    engine: old.world.engine,
    platformId: old.world.database.platformId,
    engineId: ENGINE_ID,
    leadNoMore: () => {
      led = false;
      return Promise.resolve();
    },
    logger,
    now,
  });
  expect(await host.turn()).toBe(false);
  await database.destroy();
  await expect(host.turn()).rejects.toThrow();
  expect([(await containers())['runtime']?.[0], led]).toEqual(['running', true]);
  fences = [{ ordinal: 1, recovery: '0190aaaa-0000-7000-8000-000000000004', at: new Date() }];
  // That it is told nobody stays a failure.
  await expect(host.turn()).rejects.toThrow();
  expect([(await containers())['runtime'], led]).toEqual([STOOD_DOWN.runtime, false]);
  await manager.insert(FenceEntity, kept);
});

it('the next recovery takes no backup that a replaced host stored afterwards, unless it is named', async () => {
  // Of a host that did not look yet.
  const late = await backUpPortal(old);
  const choose = async (id: string | null) => {
    const { chosen, strays } = await chooseBackup(await stored(old), { id, signal: never });
    return { id: chosen.stored.id, strays };
  };
  expect(await choose(null)).toEqual({ id: recoveredFrom, strays: 1 });
  expect(await choose(late)).toMatchObject({ id: late });
  const own = await backUpPortal(fresh, () => fresh.fence.prove());
  expect(await choose(null)).toEqual({ id: own, strays: 1 });
  // Nor does the new host's retention count or remove it.
  expect((await (await stored(old)).snapshots([`backup=${late}`], never)).length).toBeGreaterThan(0);
});

it('a repository that a restic works on is in use, and so are those into which something was just stored', async () => {
  const repository = await stored(old);
  await expect(requireNoLife(repository, { now: new Date(), signal: never })).rejects.toThrow('something was stored');
  const input = new PassThrough();
  const end = Promise.withResolvers<void>();
  const part = { name: 'long', tags: [], host: 'old' };
  const storing = repository.store(part, { stream: input, produced: end.promise }, never);
  await waitFor(async () => ((await repository.locks(never)).length > 0 ? true : undefined), {
    what: 'its lock',
    deadlineMs: 30_000,
  });
  await expect(requireNoLife(repository, { now: new Date(), signal: never })).rejects.toThrow('it is locked since');
  input.end('data');
  end.resolve();
  await storing;
});

it('a second recovery takes the place of the first, and says before it what that means', async () => {
  const third = await recover();
  const [warning, ...rest] = said.slice(-2);
  expect(warning).toContain('from here on that host stops its bots for good');
  expect(rest).toEqual(['(stores)']);
  expect(await third.fence.look()).toBeNull();
  expect(await fresh.fence.look()).toMatchObject({ ordinal: 2 });
});
