import { mkdir, readdir, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { IsNull } from 'typeorm';
import { waitFor } from '#libs/async';
import { Repositories } from '#libs/backup';
import { DataKeyEntity, OperationEntity, OperationStepEntity, RepositoryEntity } from '#libs/db';
import { Repository } from '#libs/restic';
import { BackupWorld, RESTIC, type BackedUpStack } from '../support/backup-world.js';

jest.setTimeout(120_000);

let world: BackupWorld;

beforeAll(async () => {
  world = await BackupWorld.start();
});
afterAll(() => world.close());
afterEach(() => world.asUsual());

const db = () => world.world.database.dataSource.manager;
const never = new AbortController().signal;

/** The same folders as a store that restic alone reaches, as it does one of S3. */
const inStore = (emptyMs?: number): Repositories =>
  new Repositories(world.world.database.dataSource, {
    places: {
      restic: world.restic,
      repository: (name, password) => Promise.resolve({ url: `local:${world.folderOf(name)}`, password }),
    },
    keys: world.world.keys,
    ...(emptyMs === undefined ? {} : { emptyMs }),
  });

interface Erasable extends BackedUpStack {
  /** Where restic keeps what it looked up of the repository. */
  cache: string;
  destroy: string;
}

/** A stack with a backup, which is to be destroyed. */
async function erasable(): Promise<Erasable> {
  const stack = await world.stack();
  expect((await world.backUp(stack)).backup).toMatchObject({ state: 'verified' });
  const cache = join(world.restic.cacheDir, await (await world.repository(stack.id)).id(never));
  expect((await readdir(cache)).length).toBeGreaterThan(0);
  expect((await stored(stack)).length).toBeGreaterThan(0);
  const { operation } = await world.world.stacks.request(stack.owner, stack.slug, 'destroy');
  return { ...stack, cache, destroy: operation.id };
}

/** Files of what was stored: packs, lists of them, and snapshots. */
async function stored({ id }: BackedUpStack): Promise<string[]> {
  const kinds = await Promise.all(
    ['data', 'index', 'snapshots'].map((kind) =>
      readdir(join(world.folderOf(id), kind), { recursive: true, withFileTypes: true }),
    ),
  );
  return kinds.flat().flatMap((entry) => (entry.isFile() ? [join(entry.parentPath, entry.name)] : []));
}

/** How it ended, and what it says of its data. */
async function destroyed(stack: Erasable, repositories?: Repositories): Promise<[string, string | null]> {
  const { state } = await world.run(stack.destroy, stack.id, repositories && { repositories });
  const { detail } = await db().findOneByOrFail(OperationStepEntity, {
    operationId: stack.destroy,
    phase: 'erase',
    action: IsNull(),
  });
  return [state, detail];
}

const passwords = ({ id }: BackedUpStack): Promise<number> => db().countBy(RepositoryEntity, { tenantId: id });
const absent = (path: string): Promise<void> => expect(stat(path)).rejects.toThrow('ENOENT');

/** A restic that does that before a command of that name. */
async function resticThat(does: string, before: string): Promise<void> {
  const path = join(world.home, 'other-restic');
  await writeFile(path, `#!/bin/sh\ncase " $* " in *' ${before} '*) ${does} ;; esac\nexec '${RESTIC}' "$@"\n`, {
    mode: 0o755,
  });
  world.restic.binary = path;
}

const STAYS = /could not all be removed: the repository [0-9a-f-]{36} stays in the store .*its password is gone/;

describe('where a stack is destroyed', () => {
  it('its folder of backups goes, its password, and what restic looked up of them', async () => {
    const stack = await erasable();
    expect(await destroyed(stack)).toEqual(['done', expect.not.stringContaining('backups')]);
    await absent(world.folderOf(stack.id));
    await absent(stack.cache);
    expect(await passwords(stack)).toBe(0);
  });

  it('nothing that was stored stays in a store that restic alone reaches', async () => {
    const stack = await erasable();
    expect(await destroyed(stack, inStore())).toEqual(['done', expect.not.stringContaining('backups')]);
    expect(await stored(stack)).toEqual([]);
    await absent(stack.cache);
    expect(await passwords(stack)).toBe(0);
  });

  it.each(['forget', 'prune'])(
    'it is done by who takes over from an agent that died before the %s',
    async (command) => {
      const stack = await erasable();
      const controller = new AbortController();
      await resticThat(`touch '${world.home}/${command}'; exec sleep 60`, command);
      const dying = world.runner({ repositories: inStore() }).run(stack.destroy, stack.id, controller.signal);
      await waitFor(() => stat(join(world.home, command)).catch(() => undefined), {
        what: `the ${command}`,
        deadlineMs: 60_000,
      });
      controller.abort(new Error('this agent ends'));
      await expect(dying).rejects.toThrow('this agent ends');
      expect(await db().findOneByOrFail(OperationEntity, { id: stack.destroy })).not.toMatchObject({ state: 'done' });
      expect(await passwords(stack)).toBe(1);
      world.asUsual();
      expect(await destroyed(stack, inStore())).toEqual(['done', expect.not.stringContaining('backups')]);
      expect(await stored(stack)).toEqual([]);
      await absent(stack.cache);
    },
  );

  const broken: Record<string, (stack: Erasable) => Promise<unknown>> = {
    'whose data key is lost': ({ id }) => db().delete(DataKeyEntity, { owner: id }),
    'whose configuration is cut short': ({ id }) => truncate(join(world.folderOf(id), 'config'), 10),
    'that another password opens': async ({ id }) => {
      const repository = await world.repository(id);
      const { url } = await world.placeOf(id);
      await repository.addPassword('another', never);
      await new Repository(world.restic, { url, password: 'another' }).removeOtherPasswords(never);
    },
  };

  it.each(Object.keys(broken))('a repository %s holds nothing up, and it is said where it stays', async (how) => {
    const stack = await erasable();
    await broken[how]?.(stack);
    expect(await destroyed(stack, inStore())).toEqual(['done', expect.stringMatching(STAYS)]);
    expect((await stored(stack)).length).toBeGreaterThan(0);
    expect(await passwords(stack)).toBe(0);
  });

  it('a store that does not come to an end with it holds nothing up either', async () => {
    const stack = await erasable();
    await resticThat('exec sleep 60', 'prune');
    const [state, detail] = await destroyed(stack, inStore(5_000));
    expect([state, detail]).toEqual(['done', expect.stringMatching(STAYS)]);
    expect(detail).toContain('not emptied in 5 s');
    await absent(stack.cache);
  });

  it('a folder goes also where nothing opens it any more, and one that is gone is none to speak of', async () => {
    const [locked, lost] = [await erasable(), await erasable()];
    await broken['whose data key is lost']?.(locked);
    expect(await destroyed(locked)).toEqual(['done', expect.stringContaining('goes by itself within weeks')]);
    await absent(world.folderOf(locked.id));
    await rm(world.folderOf(lost.id), { recursive: true });
    expect(await destroyed(lost, inStore())).toEqual(['done', expect.not.stringContaining('backups')]);
    expect(await Promise.all([passwords(locked), passwords(lost)])).toEqual([0, 0]);
  });
});

it('what restic looked up of a repository goes once nobody opened that for a month', async () => {
  const stack = await world.stack();
  const old = join(world.restic.cacheDir, '0'.repeat(64));
  await mkdir(old, { recursive: true });
  const before = new Date(Date.now() - 31 * 86_400_000);
  await utimes(old, before, before);
  await world.backUp(stack);
  await absent(old);
});
