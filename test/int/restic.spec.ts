import { randomBytes } from 'node:crypto';
import { open, readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import { Repository, type RepositoryPlace } from '#libs/restic';
import { resticHome } from '../support/restic-home.js';

/** The real restic on folders: what the platform's promises about backups stand on. */
jest.setTimeout(120_000);

const never = new AbortController().signal;
const MIB = 1024 ** 2;
const restic = resticHome();
let count = 0;

async function fresh(): Promise<{ place: RepositoryPlace; repository: Repository }> {
  count += 1;
  const place = { url: join(restic.folder, `repository-${count}`), password: randomBytes(24).toString('base64url') };
  const repository = new Repository(restic.settings, place);
  await repository.ensure(never);
  return { place, repository };
}
const part = (name = 'database.dump', tags: string[] = []) => ({ name, tags, host: 'u4k7mzq' });
const done = Promise.resolve();
const store = (repository: Repository, content: Buffer, name?: string, tags?: string[]) =>
  repository.store(part(name, tags), { stream: Readable.from([content]), produced: done }, never);

async function packs({ url }: RepositoryPlace): Promise<string[]> {
  const files = await readdir(join(url, 'data'), { recursive: true, withFileTypes: true });
  return files.filter((file) => file.isFile()).map((file) => join(file.parentPath, file.name));
}

describe('a repository', () => {
  it('gives back what was stored, says how much it grew, and is made once', async () => {
    const { place, repository } = await fresh();
    const content = randomBytes(3 * MIB);
    const first = await store(repository, content, 'database.dump', ['backup:1', 'part:database']);
    expect([first.bytes, first.addedBytes > 3 * MIB]).toEqual([content.length, true]);
    const second = await store(repository, content, 'database.dump', ['backup:2']);
    expect([second.bytes, second.addedBytes < 10_000]).toEqual([content.length, true]);
    await repository.ensure(never);
    const { stream, ended } = await repository.open(first.snapshotId, 'database.dump', never);
    expect((await buffer(stream)).equals(content)).toBe(true);
    await ended;
    expect(await repository.snapshots([], never)).toMatchObject([
      { id: second.snapshotId, paths: ['/database.dump'] },
      { id: first.snapshotId, tags: ['backup:1', 'part:database'] },
    ]);
    expect(await repository.snapshots(['backup:1'], never)).toHaveLength(1);
    await repository.check({ part: 1, of: 1 }, never);
    await repository.forget([first.snapshotId], never);
    expect((await repository.snapshots([], never)).map(({ id }) => id)).toEqual([second.snapshotId]);
    expect(await repository.size(never)).toBeGreaterThan(3 * MIB);
    expect((await readFile(join(place.url, 'config'))).includes('database')).toBe(false);
  });

  it('gives back what was stored also where nobody reads before restic has ended', async () => {
    const { repository } = await fresh();
    const content = randomBytes(20_000);
    const { snapshotId } = await store(repository, content);
    const { stream, ended } = await repository.open(snapshotId, 'database.dump', never);
    await ended;
    expect((await buffer(stream)).equals(content)).toBe(true);
  });

  it('is nothing without its password, and one that is not there says so', async () => {
    const { place, repository } = await fresh();
    await store(repository, randomBytes(MIB));
    const stranger = new Repository(restic.settings, { ...place, password: 'another' });
    await expect(stranger.snapshots([], never)).rejects.toMatchObject({ code: 'REPOSITORY_KEY' });
    await expect(stranger.ensure(never)).rejects.toMatchObject({ code: 'REPOSITORY_KEY' });
    const nowhere = new Repository(restic.settings, { ...place, url: join(restic.folder, 'nowhere') });
    await expect(nowhere.snapshots([], never)).rejects.toMatchObject({ code: 'REPOSITORY_MISSING' });
  });

  it('FM-20 a dump that breaks off, or that nobody ended well, leaves no snapshot', async () => {
    const { repository } = await fresh();
    const half = async function* (): AsyncGenerator<Buffer> {
      yield randomBytes(MIB);
      await pause(50);
      throw new Error('the dump broke off');
    };
    await expect(repository.store(part(), { stream: Readable.from(half()), produced: done }, never)).rejects.toThrow(
      'the dump broke off',
    );
    const failed = pause(100).then(() => Promise.reject(new Error('pg_dump ended with 1')));
    await expect(
      repository.store(part(), { stream: Readable.from([randomBytes(MIB)]), produced: failed }, never),
    ).rejects.toThrow('pg_dump ended with 1');
    const cancel = new AbortController();
    const slow = new Readable({ read: () => undefined });
    slow.push(randomBytes(MIB));
    const cancelled = repository.store(part(), { stream: slow, produced: done }, cancel.signal);
    await pause(1_000);
    cancel.abort(new Error('asked to end'));
    await expect(cancelled).rejects.toThrow('asked to end');
    expect(await repository.snapshots([], never)).toEqual([]);
    // It cleaned up behind itself: what needs the repository alone may work.
    await repository.check({ part: 1, of: 1 }, never);
  });

  it('is ended also where that is asked for while it is being started', async () => {
    const { place, repository } = await fresh();
    for (const turns of [0, 1, 2, 4, 8]) {
      const control = new AbortController();
      // Of its maker nothing is heard any more.
      const stored = repository.store(
        part(),
        { stream: new PassThrough(), produced: new Promise(() => undefined) },
        control.signal,
      );
      for (let turn = 0; turn < turns; turn += 1) {
        await pause(0);
      }
      control.abort(new Error('called off'));
      await expect(stored).rejects.toThrow('called off');
    }
    expect(await repository.snapshots([], never)).toEqual([]);
    expect(await readdir(join(place.url, 'locks'))).toEqual([]);
  });

  it('FM-20 a flipped bit is found by reading that part, a pack cut short or lost by any check', async () => {
    const { place, repository } = await fresh();
    await store(repository, randomBytes(40 * MIB));
    const [pack = ''] = (
      await Promise.all((await packs(place)).map(async (file) => ({ file, size: (await stat(file)).size })))
    )
      .toSorted((a, b) => b.size - a.size)
      .map(({ file }) => file);
    await flip(pack, 1_000);
    const found: unknown[] = [];
    for (const one of [1, 2, 3]) {
      await repository.check({ part: one, of: 3 }, never).catch((error: unknown) => found.push(error));
    }
    expect(found).toMatchObject([{ code: 'REPOSITORY_DAMAGED' }]);
    await flip(pack, 1_000);
    await repository.check({ part: 1, of: 1 }, never);
    await truncate(pack, 100);
    await expect(repository.check({ part: 1, of: 1_000 }, never)).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
  });

  it('a lock that a killed process left stops a check until the one who may removes it', async () => {
    const { place, repository } = await fresh();
    const slow = new Readable({ read: () => undefined });
    slow.push(randomBytes(MIB));
    const broken = repository.store(part(), { stream: slow, produced: done }, never);
    broken.catch(() => undefined);
    const locks = async (): Promise<string[]> => readdir(join(place.url, 'locks'));
    while ((await locks()).length === 0) {
      await pause(50);
    }
    const pid = await pidOn(place.url);
    process.kill(pid, 'SIGKILL');
    await expect(broken).rejects.toMatchObject({ code: 'REPOSITORY_FAILED' });
    expect(await locks()).toHaveLength(1);
    await store(repository, randomBytes(MIB));
    await expect(
      repository.forget([(await repository.snapshots([], never))[0]?.id ?? ''], never),
    ).rejects.toMatchObject({ code: 'REPOSITORY_LOCKED' });
    await repository.unlock(never);
    await repository.check({ part: 1, of: 1 }, never);
    expect(await repository.snapshots([], never)).toHaveLength(1);
  });

  it('FM-27 one that could not save a file and stands still is ended, and says which file and why', async () => {
    const { place } = await fresh();
    const binary = join(restic.folder, 'stands-still');
    const told = 'Save(<data/8ef5df5700>) failed: write /data: no space left on device';
    await writeFile(binary, `#!/bin/sh\necho '${told}' >&2\ncat >/dev/null\nexec sleep 600\n`, { mode: 0o755 });
    const broken = new Repository({ ...restic.settings, binary }, place);
    const source = { stream: Readable.from([randomBytes(MIB)]), produced: done };
    await expect(broken.store(part(), source, never)).rejects.toMatchObject({
      code: 'REPOSITORY_FAILED',
      message: `restic backup: ${told}`,
    });
  });

  it('no secret is on a command line or in an environment while one runs', async () => {
    const { place, repository } = await fresh();
    const slow = new Readable({ read: () => undefined });
    slow.push(randomBytes(MIB));
    const end = new AbortController();
    const stored = repository.store(part(), { stream: slow, produced: done }, end.signal);
    stored.catch(() => undefined);
    await pause(300);
    const pid = await pidOn(place.url);
    const [line, environment] = await Promise.all(
      ['cmdline', 'environ'].map((file) => readFile(`/proc/${pid}/${file}`, 'utf8')),
    );
    expect(line).toContain(place.url);
    expect(environment).toContain('RESTIC_PASSWORD_FILE');
    expect(environment).toContain(`TMPDIR=${restic.settings.cacheDir}\0`);
    expect(`${line}${environment}`).not.toContain(place.password);
    end.abort(new Error('seen'));
    await expect(stored).rejects.toThrow('seen');
  });
});

async function flip(file: string, at: number): Promise<void> {
  const handle = await open(file, 'r+');
  const byte = Buffer.alloc(1);
  await handle.read(byte, 0, 1, at);
  byte[0] = (byte[0] ?? 0) ^ 1;
  await handle.write(byte, 0, 1, at);
  await handle.close();
}

/** The restic that works on that repository. */
async function pidOn(url: string): Promise<number> {
  for (const entry of await readdir('/proc')) {
    const line = /^\d+$/.test(entry) ? await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '') : '';
    if (line.includes(`--repo\0${url}\0`)) {
      return Number(entry);
    }
  }
  throw new Error(`no restic works on ${url}`);
}
