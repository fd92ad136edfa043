import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, open, rm, statfs, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const MIB = 1024 ** 2;
/** Several backups of the stacks whose repositories lie on it. */
const SIZE_MIB = 1_024;

/** A file system of its own for repositories, which can be filled without harm. */
export class SmallDisk {
  /** Where repositories lie; whoever keeps them there makes it. */
  readonly backups: string;

  private constructor(
    private readonly home: string,
    private readonly mounted: string,
  ) {
    this.backups = join(mounted, 'backups');
  }

  static async make(): Promise<SmallDisk> {
    const home = await mkdtemp(join(tmpdir(), 'aviary-disk-'));
    try {
      const mounted = join(home, 'mounted');
      // The agent is a user of its own.
      await chmod(home, 0o755);
      await mkdir(mounted);
      const image = join(home, 'disk.img');
      await writeFile(image, '');
      await truncate(image, SIZE_MIB * MIB);
      // Nothing is kept back for root, so what is full is full for everybody.
      await execute('mkfs.ext4', ['-q', '-m', '0', image]);
      await execute('mount', ['-o', 'loop', image, mounted]);
      return new SmallDisk(home, mounted);
    } catch (error) {
      await rm(home, { recursive: true, force: true });
      throw error;
    }
  }

  /** To the last block: a lock of restic needs no more than one. Gives what makes room again. */
  async fill(): Promise<() => Promise<void>> {
    const [most, rest] = [join(this.mounted, 'most'), join(this.mounted, 'rest')];
    const undo = async (): Promise<void> => {
      await Promise.all([most, rest].map((file) => rm(file, { force: true })));
    };
    try {
      // What was removed a moment ago is room only once the file system has written that down.
      await execute('sync', ['-f', this.mounted]);
      const { bavail, bsize } = await statfs(this.mounted);
      await execute('fallocate', ['-l', String(Math.max(1, bavail - 1) * bsize), most]);
      await writeToTheEnd(rest, bsize);
      await execute('sync', ['-f', this.mounted]);
      await writeToTheEnd(rest, bsize);
    } catch (error) {
      await undo();
      throw error;
    }
    return undo;
  }

  async remove(): Promise<void> {
    await execute('umount', ['-l', this.mounted]);
    await rm(this.home, { recursive: true, force: true });
  }
}

async function writeToTheEnd(path: string, blockSize: number): Promise<void> {
  const file = await open(path, 'a');
  try {
    for (;;) {
      await file.write(Buffer.alloc(blockSize));
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') {
      throw error;
    }
  } finally {
    await file.close();
  }
}
