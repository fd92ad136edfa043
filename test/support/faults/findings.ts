import { execFile } from 'node:child_process';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { BackupEntity, TenantEntity, type OperationEntity } from '#libs/db';
import { stackNames } from '#libs/tenants';
import { RESTIC, type BackedUpStack, type BackupWorld } from '../backup-world.js';
import { halfWritten, locksIn, none, wrongIn } from './left-over.js';

const BOUNDS = { deadlineMs: 5_000 };
const never = new AbortController().signal;

/** A stack as it is to be once an operation is over. */
export interface Expected {
  /** Of all rows, by number and content. */
  data: string;
  containers: string[];
  volumes: string[];
  epoch: number;
  /** Whether the data of a new epoch took the place of what was there, which is kept. */
  restored: boolean;
}

interface Looked {
  world: BackupWorld;
  stack: BackedUpStack;
  operation: OperationEntity;
  /** Of the agent that lives now. */
  secretDir: string;
  cacheDir: string;
}

export async function expectedOf(world: BackupWorld, stack: BackedUpStack): Promise<Expected> {
  const { epoch } = await rowOf(world, stack);
  return { ...(await objectsOf(world, stack)), data: await dataOf(world, stack), epoch, restored: false };
}

/**
 * What is not as it should be after the operation: the stack runs with its data, its repository passes restic's check
 * and has the backups that are listed and nothing else, and nothing is left over anywhere.
 */
export async function findings(looked: Looked, expected: Expected): Promise<string[]> {
  const { world, stack, operation, secretDir, cacheDir } = looked;
  const found: string[] = [];
  const same = (what: string, is: unknown, should: unknown): void => {
    if (JSON.stringify(is) !== JSON.stringify(should)) {
      found.push(`${what}: ${JSON.stringify(is)} instead of ${JSON.stringify(should)}`);
    }
  };
  same('the operation', [operation.state, operation.error], ['done', null]);

  const row = await rowOf(world, stack);
  const epoch = row.epoch;
  same('observed', [row.observed, row.reason, row.nextEpoch], ['running', null, null]);
  if (expected.restored) {
    same('newer epoch', epoch > expected.epoch && row.keptEpochs.includes(expected.epoch), true);
  } else {
    same('epoch', epoch, expected.epoch);
  }
  const objects = await objectsOf(world, stack);
  same('containers', objects.containers, expected.containers);
  const names = stackNames(world.world.facts.platformId, stack.slug);
  const added = expected.restored ? ['cache', 'data'].map((volume) => names.volume(volume, epoch)) : [];
  same('volumes', objects.volumes, [...expected.volumes, ...added].toSorted());
  same('data', await dataOf(world, stack), expected.data);
  same('sessions', await sessions(world, stack), []);

  const backups = await world.world.database.dataSource.manager.findBy(BackupEntity, { tenantId: stack.id });
  same(
    'backups that are not verified',
    backups.filter(({ state, error }) => state !== 'verified' || error !== null).map(({ state }) => state),
    [],
  );
  const parts = backups.flatMap((backup) => backup.parts.map(({ snapshotId }) => snapshotId));
  const snapshots = await (await world.repository(stack.id)).snapshots([], never);
  const nameOf = (id: string): string => snapshots.find((one) => one.id === id)?.paths.join() ?? id;
  const there = snapshots.map(({ id }) => id);
  same('snapshots of no backup', there.filter((id) => !parts.includes(id)).map(nameOf), []);
  same(
    'parts that are not in the repository',
    parts.filter((id) => !there.includes(id)),
    [],
  );
  const folder = world.folderOf(stack.id);
  same('locks', await locksIn(folder), []);
  same('half-written files', await halfWritten(folder), []);
  found.push(...(await checked(world, stack, operation.kind === 'prune')));

  same('in the folder of secrets', await none(() => readdir(secretDir)), []);
  const beside = async (): Promise<string[]> =>
    (await readdir(cacheDir)).filter((name) => !/^([0-9a-f]{64}|CACHEDIR\.TAG)$/.test(name));
  same('beside the caches', await none(beside), []);
  return found;
}

const rowOf = (world: BackupWorld, { id }: BackedUpStack): Promise<TenantEntity> =>
  world.world.database.dataSource.manager.findOneByOrFail(TenantEntity, { id });

async function dataOf({ databases }: BackupWorld, { postgres }: BackedUpStack): Promise<string> {
  const [row] = await databases.sql(
    postgres,
    `select count(*) || ' rows ' || md5(string_agg(id || ':' || price, ',' order by id)) as figure from fills`,
  );
  return String(row?.['figure']);
}

async function objectsOf(
  { world, engine }: BackupWorld,
  { id }: BackedUpStack,
): Promise<Pick<Expected, 'containers' | 'volumes'>> {
  const { containers, volumes } = await engine.observe({ platform: world.facts.platformId, tenant: id }, BOUNDS);
  return {
    containers: containers.map(({ name, status }) => `${name} ${status}`).toSorted(),
    volumes: volumes.map(({ name }) => name).toSorted(),
  };
}

/** Whoever works in the stack's database beside the asking one; what lost its caller ends a moment after it. */
async function sessions({ databases }: BackupWorld, { postgres }: BackedUpStack): Promise<unknown[]> {
  return none(() =>
    databases.sql(
      postgres,
      `select application_name as name, state, left(query, 60) as query from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'`,
    ),
  );
}

async function checked(world: BackupWorld, stack: BackedUpStack, pruned: boolean): Promise<string[]> {
  const { url, password } = await world.placeOf(stack.id);
  const file = join(world.home, `password-${stack.slug}`);
  await writeFile(file, password, { mode: 0o600 });
  try {
    return await wrongIn(
      (...command) =>
        promisify(execFile)(RESTIC, ['-r', url, '--password-file', file, '--no-cache', ...command], {
          timeout: 60_000,
        }),
      { pruned },
    );
  } finally {
    await rm(file, { force: true });
  }
}
