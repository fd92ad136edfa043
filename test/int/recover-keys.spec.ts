import { cp, mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { chooseBackup, type Recovered } from '#libs/backup';
import type { Actor } from '#libs/contracts';
import { AuditEntryEntity, DataKeyEntity, KeyRotationEntity, PortalBackupEntity } from '#libs/db';
import { KeyService, KeyWork, sayHolder, startKeys, type KeyWorkDeps, type MasterKeys } from '#libs/keys';
import { createLogger } from '#libs/telemetry';
import { BackupWorld } from '../support/backup-world.js';
import { newMasterKey } from '../support/keys.js';
import { backUpPortal, recoverPortalInto } from '../support/lost-portal.js';
import { portalRepositoryIn } from '../support/portal-backups.js';
import { emptyDatabase, knownDatabase } from '../support/postgres.js';
import { ENGINE_ID } from '../support/stack-world.js';

jest.setTimeout(300_000);

const never = new AbortController().signal;
/** The host that is lost. */
let lost: BackupWorld;
let operator: Actor;
let folder: string;
let masters: MasterKeys;
const opened: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  lost = await BackupWorld.start();
  operator = await lost.world.operator();
  folder = join(lost.home, 'repositories');
  masters = lost.world.keys.masters;
  await lost.stack();
  await backUpPortal(lost, { operator, masters });
});
afterAll(async () => {
  for (const close of opened.toReversed()) {
    await close();
  }
  await lost.close();
});

/** Out of a copy of the repositories: the lost host backs itself up again, which one that was replaced may not. */
async function recoverInto(database: string, keys: MasterKeys, id: string): Promise<Recovered> {
  const copy = await mkdtemp(join(lost.home, 'moved-'));
  await cp(folder, copy, { recursive: true });
  return recoverPortalInto(lost, { database, masters: keys, id, folder: copy });
}

async function empty(): Promise<{ name: string }> {
  const made = await emptyDatabase();
  opened.push(() => made.close());
  return made;
}

// In this order: the lost host is moved to another key.
describe('while and after a rotation', () => {
  const next = newMasterKey();
  let both: MasterKeys;
  let first: string;
  const manager = () => lost.world.database.dataSource.manager;
  const underOld = (): Promise<number> => manager().countBy(DataKeyEntity, { masterKey: masters.current.id });
  const backedUpUnder = async (): Promise<string | null> =>
    (await new KeyService(lost.world.database.dataSource, () => new Date()).status(operator)).portalBackup;

  /** One turn of the agent's work on it, to its end or to where `ends` has it. */
  async function turn(ends: Partial<Pick<KeyWorkDeps, 'committed' | 'repository'>>, signal = never): Promise<void> {
    await new KeyWork({
      database: lost.world.database.dataSource,
      masters: both,
      now: () => new Date(),
      logger: createLogger('test', 'silent'),
      repository: portalRepositoryIn(folder, lost.restic, both),
      ...ends,
    }).turn(signal);
  }

  it('a backup taken meanwhile says that it needs both keys, and is refused with one', async () => {
    first = (await manager().findOneByOrFail(PortalBackupEntity, { state: 'verified' })).id;
    both = { current: masters.current, next };
    await sayHolder(manager(), { owner: 'a', engineId: ENGINE_ID, masters: both });
    await new KeyService(lost.world.database.dataSource, () => new Date()).rotate(operator, next.id);
    const ended = new AbortController();
    await turn({ committed: () => ended.abort() }, ended.signal);
    expect(await underOld()).toBeGreaterThan(0);
    const id = await backUpPortal(lost, { operator, masters: both });
    const { repository } = (await portalRepositoryIn(folder, lost.restic, both).find(never))!;
    const { chosen } = await chooseBackup(repository, { id, signal: never });
    const needed = [masters.current.id, next.id].toSorted();
    expect(chosen.proof?.masterKeys?.toSorted()).toEqual(needed);
    const { name } = await empty();
    const alone = { current: next, next: null };
    await expect(recoverInto(name, alone, id)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      details: { missing: [masters.current.id] },
      message: expect.stringContaining(`under the master key ${masters.current.id}`) as string,
    });
    expect(await recoverInto(name, { current: next, next: masters.current }, id)).toMatchObject({ before: false });
    const recovered = await knownDatabase(name);
    // Both are there, so the rotation goes on.
    const [open] = await recovered.dataSource.manager.find(KeyRotationEntity);
    expect(open).toMatchObject({ finishedAt: null });
    await recovered.dataSource.destroy();
  });

  it('one that had moved all ends with the recovery where the old key is not given: agents start with the new one', async () => {
    const dying = { admit: () => Promise.resolve(), retireOthers: () => Promise.reject(new Error('killed here')) };
    await expect(turn({ repository: dying })).rejects.toThrow('killed here');
    expect(await underOld()).toBe(0);
    const id = await backUpPortal(lost, { operator, masters: both });
    const alone = { current: next, next: null };
    const { name } = await empty();
    await recoverInto(name, alone, id);
    const recovered = await knownDatabase(name);
    await expect(startKeys(recovered.dataSource, alone, new Date())).resolves.toBeDefined();
    expect(await recovered.dataSource.manager.countBy(AuditEntryEntity, { action: 'keys.rotated' })).toBe(1);
    await recovered.dataSource.destroy();
    await manager().delete(PortalBackupEntity, { id });
  });

  it('a backup of before or of meanwhile needs the key of that time, says so, and comes back with both', async () => {
    await turn({});
    // The newest is of while it went on: the old key is to be kept for it.
    expect(await backedUpUnder()).toBe(masters.current.id);
    const { name } = await empty();
    await expect(recoverInto(name, { current: next, next: null }, first)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining(`under the master key ${masters.current.id}`) as string,
    });
    const swapped = { current: next, next: masters.current };
    expect(await recoverInto(name, swapped, first)).toMatchObject({ before: false });
    const recovered = await knownDatabase(name);
    await expect(startKeys(recovered.dataSource, swapped, new Date())).resolves.toBeDefined();
    await recovered.dataSource.destroy();
  });
});
