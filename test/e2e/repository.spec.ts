import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { waitFor } from '#libs/async';
import { Repository, type RepositoryPlace } from '#libs/restic';
import { goTools } from '../support/acme-authority.js';
import { S3Server } from '../support/s3-server.js';
import { resticHome } from '../support/restic-home.js';

// By hand, the first run builds versitygw.
jest.setTimeout(900_000);

const execute = promisify(execFile);
const never = new AbortController().signal;
const done = Promise.resolve();
const MIB = 1024 ** 2;
const HALF = 20_000;
/** A restic that does not obey is killed after 5 s. */
const ENDS_MS = 8_000;

const restic = resticHome();

const part = { name: 'database.dump', tags: ['backup:1'], host: 'u4k7mzq' };
const store = (repository: Repository, content: Buffer, signal = never) =>
  repository.store(part, { stream: Readable.from([content]), produced: done }, signal);
async function content(repository: Repository, id: string): Promise<Buffer> {
  const { stream, ended } = await repository.open(id, part.name, never);
  const read = await buffer(stream);
  await ended;
  return read;
}
async function took(work: Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work.catch(() => undefined);
  return performance.now() - started;
}

describe('a repository at an S3 server', () => {
  let s3: S3Server;
  let count = 0;

  beforeAll(async () => {
    s3 = new S3Server({ tools: await goTools(), folder: join(restic.folder, 's3') });
    await s3.start();
  });
  afterAll(() => s3.stop());
  afterEach(() => {
    s3.fault = () => 'pass';
  });

  const place = (change: Partial<RepositoryPlace> = {}): RepositoryPlace => {
    count += 1;
    return {
      url: s3.url(`u${count}`),
      password: randomBytes(24).toString('base64url'),
      s3: { accessKey: s3.accessKey, secretKey: s3.secretKey, region: 'us-east-1' },
      ...change,
    };
  };
  const fresh = async (): Promise<Repository> => {
    const repository = new Repository(restic.settings, place());
    await repository.ensure(never);
    return repository;
  };
  /** Files of the newest repository as the server has them. */
  const files = async (kind: 'data' | 'index' | 'keys' | 'locks' | 'snapshots'): Promise<string[]> => {
    const entries = await readdir(join(restic.folder, 's3/bucket', `u${count}`, kind), {
      recursive: true,
      withFileTypes: true,
    }).catch(() => []);
    return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  };

  it('gives back what was stored, grows by what is new, and holds nothing in clear', async () => {
    const repository = await fresh();
    const words = Buffer.concat([Buffer.from('insert into ledger '.repeat(50_000)), randomBytes(5 * MIB)]);
    const first = await store(repository, words);
    const second = await store(repository, words);
    expect([first.bytes, second.addedBytes < 10_000]).toEqual([words.length, true]);
    expect((await content(repository, first.snapshotId)).equals(words)).toBe(true);
    await repository.check({ part: 1, of: 1 }, never);
    for (const file of await files('data')) {
      expect((await readFile(file)).includes('insert into ledger')).toBe(false);
    }
    await repository.forget([first.snapshotId], never);
    expect((await repository.snapshots([], never)).map(({ id }) => id)).toEqual([second.snapshotId]);
    expect((await content(repository, second.snapshotId)).equals(words)).toBe(true);
  });

  it('that is emptied keeps no object of what was stored, also where that was broken off and begun again', async () => {
    const repository = await fresh();
    await store(repository, randomBytes(3 * MIB));
    await store(repository, randomBytes(3 * MIB));
    const packs = (await files('data')).length;
    s3.fault = (step) => (/^DELETE \/bucket\/u\d+\/data\//.test(step) ? 'error' : 'pass');
    await expect(repository.empty(AbortSignal.timeout(HALF))).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    expect([await repository.snapshots([], never), (await files('data')).length]).toEqual([[], packs]);
    s3.fault = () => 'pass';
    await repository.unlock(never);
    await repository.empty(never);
    const kinds = ['data', 'index', 'keys', 'locks', 'snapshots'] as const;
    const left = await Promise.all(kinds.map(async (kind) => [kind, (await files(kind)).length]));
    expect(Object.fromEntries(left)).toEqual({ data: 0, index: 0, keys: 1, locks: 0, snapshots: 0 });
    await repository.empty(never);
  });

  it('is not opened with another key of the server, and nothing is made where one is missing', async () => {
    const there = await fresh();
    await store(there, randomBytes(MIB));
    const wrong = new Repository(
      restic.settings,
      place({ url: s3.url(`u${count}`), s3: { accessKey: s3.accessKey, secretKey: 'another' } }),
    );
    const told = { code: 'DEADLINE_EXCEEDED', message: expect.stringMatching(/signature/) as string };
    await expect(wrong.ensure(AbortSignal.timeout(8_000))).rejects.toMatchObject(told);
    await expect(store(wrong, randomBytes(MIB), AbortSignal.timeout(8_000))).rejects.toMatchObject(told);
  });

  it('FM-21 a server that fails for a while loses nothing: what it refused is sent again', async () => {
    const repository = await fresh();
    let refused = 0;
    s3.fault = (step) => (step.startsWith('PUT') && (refused += 1) <= 4 ? 'error' : 'pass');
    const words = randomBytes(3 * MIB);
    const { snapshotId } = await store(repository, words, AbortSignal.timeout(120_000));
    expect(refused).toBeGreaterThan(4);
    expect((await content(repository, snapshotId)).equals(words)).toBe(true);
    await repository.check({ part: 1, of: 1 }, never);
  });

  it.each(['error', 'hang'] as const)(
    'FM-21 a server whose every write ends in %s is an error, in time',
    async (fault) => {
      const repository = await fresh();
      const before = await store(repository, randomBytes(MIB));
      s3.fault = (step) => (step.startsWith('PUT') ? fault : 'pass');
      const broken = store(repository, randomBytes(3 * MIB), AbortSignal.timeout(HALF));
      expect(await took(broken)).toBeLessThan(HALF + ENDS_MS);
      await expect(broken).rejects.toMatchObject(
        fault === 'hang'
          ? { name: 'TimeoutError' }
          : { code: 'DEADLINE_EXCEEDED', message: expect.stringMatching(/internal error/i) as string },
      );
      s3.fault = () => 'pass';
      expect((await repository.snapshots([], never)).map(({ id }) => id)).toEqual([before.snapshotId]);
      await repository.unlock(never);
      await repository.check({ part: 1, of: 1 }, never);
      await store(repository, randomBytes(MIB));
    },
  );

  it('FM-21 a server that answers nothing at all ends every question in time', async () => {
    const repository = await fresh();
    s3.fault = () => 'hang';
    const work: (() => Promise<unknown>)[] = [
      () => repository.ensure(AbortSignal.timeout(2_000)),
      () => repository.snapshots([], AbortSignal.timeout(2_000)),
      () => repository.check({ part: 1, of: 1 }, AbortSignal.timeout(2_000)),
      () => repository.unlock(AbortSignal.timeout(2_000)),
    ];
    for (const ask of work) {
      const asked = ask();
      expect(await took(asked)).toBeLessThan(2_000 + ENDS_MS);
      await expect(asked).rejects.toMatchObject({ name: 'TimeoutError' });
    }
  });

  it('FM-21 an upload that the server took and lost is found by a check', async () => {
    const repository = await fresh();
    await store(repository, randomBytes(MIB));
    let lost = 0;
    s3.fault = (step) => (/^PUT \/bucket\/u\d+\/data\//.test(step) && (lost += 1) > 0 ? 'lose' : 'pass');
    // The server said "stored", so this cannot be seen yet: a backup is not verified by having been stored.
    await store(repository, randomBytes(3 * MIB));
    s3.fault = () => 'pass';
    expect(lost).toBeGreaterThan(0);
    await expect(repository.check({ part: 1, of: 1_000 }, never)).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
  });

  it('FM-20 a flipped bit and a pack cut short are found', async () => {
    const repository = await fresh();
    await store(repository, randomBytes(20 * MIB));
    const packs = await Promise.all(
      (await files('data')).map(async (file) => ({ file, size: (await stat(file)).size })),
    );
    const { file } = packs.toSorted((a, b) => b.size - a.size)[0] ?? { file: '' };
    const flip = async (): Promise<void> => {
      const handle = await open(file, 'r+');
      const byte = Buffer.alloc(1);
      await handle.read(byte, 0, 1, 4_000);
      byte[0] = (byte[0] ?? 0) ^ 1;
      await handle.write(byte, 0, 1, 4_000);
      await handle.close();
    };
    await flip();
    await expect(repository.check({ part: 1, of: 1 }, never)).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
    await flip();
    await repository.check({ part: 1, of: 1 }, never);
    await truncate(file, 100);
    await expect(repository.check({ part: 1, of: 1_000 }, never)).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
  });

  it('FM-21 a restic that was killed leaves a lock, which its heir removes, and no snapshot', async () => {
    const repository = await fresh();
    const slow = new Readable({ read: () => undefined });
    slow.push(randomBytes(MIB));
    const broken = repository.store(part, { stream: slow, produced: done }, never);
    broken.catch(() => undefined);
    await waitFor(async () => ((await files('locks')).length > 0 ? true : undefined), {
      what: 'a lock',
      deadlineMs: 15_000,
    });
    process.kill(await pidOn(s3.url(`u${count}`)), 'SIGKILL');
    await expect(broken).rejects.toMatchObject({ code: 'REPOSITORY_FAILED' });
    expect(await files('locks')).toHaveLength(1);
    await expect(repository.check({ part: 1, of: 1 }, never)).rejects.toMatchObject({ code: 'REPOSITORY_LOCKED' });
    await repository.unlock(never);
    await repository.check({ part: 1, of: 1 }, never);
    expect(await repository.snapshots([], never)).toEqual([]);
  });
});

describe('a repository on a full disk', () => {
  let disk: string;

  beforeAll(async () => {
    const image = join(restic.folder, 'disk.img');
    disk = join(restic.folder, 'disk');
    await mkdir(disk);
    await (await open(image, 'w')).close();
    await truncate(image, 64 * MIB);
    await execute('mkfs.ext4', ['-q', image]);
    await execute('mount', ['-o', 'loop', image, disk]);
  });
  afterAll(() => execute('umount', [disk]));

  it('FM-21 says so, and keeps what it had', async () => {
    const repository = new Repository(restic.settings, {
      url: join(disk, 'u1'),
      password: randomBytes(24).toString('base64'),
    });
    await repository.ensure(never);
    const words = randomBytes(5 * MIB);
    const { snapshotId } = await store(repository, words);
    await expect(store(repository, randomBytes(100 * MIB), AbortSignal.timeout(HALF))).rejects.toMatchObject({
      code: 'REPOSITORY_FAILED',
      message: expect.stringMatching(/no space left/i) as string,
    });
    expect((await repository.snapshots([], never)).map(({ id }) => id)).toEqual([snapshotId]);
    expect((await content(repository, snapshotId)).equals(words)).toBe(true);
    await repository.unlock(never);
    await repository.check({ part: 1, of: 1 }, never);
  });
});

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
