import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { waitFor } from '#libs/async';
import { docker, engineEndpoint } from '../../support/engine.js';
import type { PlatformWorld, RunningStack } from './world.js';

const execute = promisify(execFile);
const MIB = 1024 ** 2;
/** Room that somebody makes free in the end: more than the next file of PostgreSQL's log of changes needs. */
const SPARE = 40;

/** The end of a file system, met by a stack that was filled faster than anybody measured. */
export function fullDisk(world: () => PlatformWorld): void {
  let stack: RunningStack;
  let folder: string;
  let data: string;
  beforeAll(async () => {
    stack = await world().runningStack();
    folder = await mkdtemp(join(tmpdir(), 'aviary-full-'));
    const volume = (await world().platform.objects()).volumes.find((name) => name.includes(`${stack.slug}-data`)) ?? '';
    data = await docker('volume', 'inspect', '-f', '{{.Mountpoint}}', volume);
  }, 180_000);
  afterAll(async () => {
    await stack.owner.order(stack.slug, 'stop');
    await execute('umount', ['-l', data]);
    await rm(folder, { recursive: true, force: true });
    await world().clear();
  }, 180_000);

  it('FM-27 ends its database, which says why, and loses nothing that was committed', async () => {
    const { platform } = world();
    const { owner, slug } = stack;
    const disk = join(folder, 'disk.img');
    // A database that sees a file it does not know leaves it alone.
    const spare = join(data, 'spare');
    await owner.order(slug, 'stop');
    await writeFile(disk, '');
    await truncate(disk, 256 * MIB);
    await execute('mkfs.ext4', ['-q', '-m', '0', disk]);
    const beside = join(folder, 'mounted');
    await mkdir(beside);
    await execute('mount', ['-o', 'loop', disk, beside]);
    await rm(join(beside, 'lost+found'), { recursive: true });
    await execute('cp', ['-a', `${data}/.`, beside]);
    await execute('chown', [`--reference=${data}`, beside]);
    await execute('chmod', [`--reference=${data}`, beside]);
    await execute('umount', [beside]);
    await execute('mount', ['-o', 'loop', disk, data]);
    await execute('fallocate', ['-l', String(SPARE * MIB), spare]);
    await execute('chown', [`--reference=${data}`, spare]);
    expect(await owner.order(slug, 'start')).toMatchObject({ state: 'done', error: null });

    await platform.stackSql(slug, 'create table kept (n int); create table filling (t text)');
    await platform.stackSql(slug, 'alter table filling alter t set storage plain');
    let committed = 0;
    const fill = async (): Promise<string> => {
      for (;;) {
        try {
          await platform.stackSql(
            slug,
            `begin; insert into filling select repeat(md5(random()::text), 30) from generate_series(1, 1000);
             insert into kept values (${committed + 1}); commit`,
          );
          committed += 1;
        } catch (error) {
          return String(error);
        }
      }
    };
    await fill();
    expect(committed).toBeGreaterThan(10);
    const broken = await waitFor(
      async () => {
        // What is refused may leave room for a little more, until the log of changes needs its next file.
        await fill();
        const seen = await owner.stack(slug);
        return seen.holds.includes('breaker') && seen.openOperation === null ? seen : undefined;
      },
      { what: 'the breaker', deadlineMs: 240_000, intervalMs: 1_000, maxIntervalMs: 2_000 },
    );
    expect(broken).toMatchObject({ status: 'attention' });
    const log = await execute('docker', ['-H', engineEndpoint(), 'logs', platform.service(slug, 'postgres')]);
    expect(log.stderr).toContain('No space left on device');

    await rm(spare);
    expect(await owner.order(slug, 'start')).toMatchObject({ state: 'done', error: null });
    await world().served(stack);
    // One more may have been committed than its sender was told.
    const there = `select count(distinct n) from kept where n <= ${committed}`;
    expect(await platform.stackSql(slug, there)).toBe(String(committed));
  }, 600_000);
}
