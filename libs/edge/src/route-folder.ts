import { randomBytes } from 'node:crypto';
import { cp, lstat, mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { KeyedMutex } from '#libs/async';
import { isDomainError } from '#libs/contracts';
import type { Logger } from '#libs/telemetry';
import { SHARED_FILE, validateRouteFile } from './domain/render.js';
import type { RouteFile } from './domain/dynamic.js';

export interface RouteFolderOptions {
  /** Traefik's dynamic folder. Only this class writes there. */
  directory: string;
  quarantineDirectory: string;
  logger: Pick<Logger, 'warn' | 'info'>;
  /** Asked before each change; what it throws, the call throws, and the folder stays as it is. */
  allowed?: () => Promise<void>;
  now?: () => Date;
}

export interface Quarantined {
  name: string;
  /** foreign: not a file of ours; altered: not what we wrote; broken: Traefik would stumble over it. */
  reason: 'foreign' | 'altered' | 'broken';
  /** Null for one that could not be read: it is deleted. */
  movedTo: string | null;
}

const LOCK = 'folder';
const TEMPORARY = /^[.].+[.]tmp$/;
/** Traefik reads by ending, so a file of this one may lie there. */
const SET_ASIDE = /[.]unreadable$/;
/** A stack's file has some kilobytes; what is larger than this is none and is not read into memory. */
const LARGEST_BYTES = 1024 * 1024;

/**
 * The proxy's dynamic folder. Traefik reads every .yml, .yaml and .toml in it, hidden ones and subfolders included,
 * and one bad file stops all updates; so what stands there is exactly what `adopt`, `publish` and `remove` said.
 */
export class RouteFolder {
  private readonly mutex = new KeyedMutex();
  private readonly wanted = new Map<string, string>();
  private adopted = false;

  constructor(private readonly options: RouteFolderOptions) {}

  /**
   * Makes `files` the whole content and clears away what else is there. Called once the full list is known; until
   * then `quarantine` removes only what is broken, since a file it does not know may be a stack's good route. A valid
   * file that says something else under one of these names is what an earlier process or release wrote: it is renewed.
   */
  async adopt(files: readonly RouteFile[]): Promise<Quarantined[]> {
    files.forEach(validateRouteFile);
    return this.change(async () => {
      await mkdir(this.options.directory, { recursive: true, mode: 0o755 });
      // What was published while the list was being made is newer than the list.
      for (const file of files) {
        if (!this.wanted.has(file.name)) {
          this.wanted.set(file.name, file.content);
        }
      }
      this.adopted = true;
      return this.sweep('earlier life');
    });
  }

  /** Writes one file so that Traefik sees the old one or the new one, never half. Refuses what is not valid. */
  async publish(file: RouteFile): Promise<void> {
    validateRouteFile(file);
    await this.change(async () => {
      this.wanted.set(file.name, file.content);
      await this.write(file);
    });
  }

  async remove(name: string): Promise<void> {
    await this.change(async () => {
      this.wanted.delete(name);
      // Recursive, since something else may stand where our file belongs.
      await rm(join(this.options.directory, name), { recursive: true, force: true });
    });
  }

  /** Names of the files that are there, ours or not. */
  async list(): Promise<string[]> {
    return (await readdir(this.options.directory))
      .filter((name) => !TEMPORARY.test(name) && !SET_ASIDE.test(name))
      .toSorted();
  }

  /** What should stand there, as it was last said. */
  files(): RouteFile[] {
    return [...this.wanted].map(([name, content]) => ({ name, content }));
  }

  /** The published content of a file; '' where something unreadable stands in its place, null where nothing does. */
  async read(name: string): Promise<string | null> {
    return readText(join(this.options.directory, name));
  }

  /** Moves away what is not ours or not as we wrote it, and writes ours again. Run at least once a minute. */
  async quarantine(): Promise<Quarantined[]> {
    return this.change(() => this.sweep('this life'));
  }

  /** Traefik does not watch certificates: an event in its folder makes it read them again. */
  async touch(): Promise<void> {
    await this.change(async () => {
      const content = this.wanted.get(SHARED_FILE) ?? (await this.read(SHARED_FILE));
      if (content) {
        await this.write({ name: SHARED_FILE, content });
      }
    });
  }

  private change<T>(work: () => Promise<T>): Promise<T> {
    return this.mutex.run(LOCK, async () => {
      await this.options.allowed?.();
      return work();
    });
  }

  private async sweep(writtenIn: 'this life' | 'earlier life'): Promise<Quarantined[]> {
    const { directory } = this.options;
    const found: Quarantined[] = [];
    const intact = new Set<string>();
    for (const entry of await readdir(directory, { withFileTypes: true })) {
      const { name } = entry;
      if (TEMPORARY.test(name) && entry.isFile()) {
        // Left by a process that died between writing and renaming; nobody else writes while we hold the lock.
        await rm(join(directory, name), { force: true });
        continue;
      }
      if (SET_ASIDE.test(name) && !entry.isDirectory()) {
        continue;
      }
      const content = (entry.isFile() && (await readText(join(directory, name)))) || null;
      const reason = this.verdict(name, content, writtenIn);
      if (!reason) {
        if (content === this.wanted.get(name)) {
          intact.add(name);
        }
        continue;
      }
      try {
        found.push({ name, reason, movedTo: await this.moveAway(name) });
      } catch (error) {
        // One that only its owner can remove must not keep the others' routes from being mended.
        this.options.logger.warn({ file: name, reason, err: error }, 'remove this from the route folder by hand');
      }
    }
    for (const [name, content] of this.wanted) {
      if (!intact.has(name)) {
        try {
          await this.write({ name, content });
        } catch (error) {
          // What stands in its place could not be moved either: the other stacks' routes do not wait for it.
          this.options.logger.warn({ file: name, err: error }, 'a route could not be written');
        }
      }
    }
    for (const { name, reason, movedTo } of found) {
      this.options.logger.warn({ file: name, reason, movedTo }, 'a file in the route folder was quarantined');
    }
    return found;
  }

  private verdict(
    name: string,
    content: string | null,
    writtenIn: 'this life' | 'earlier life',
  ): Quarantined['reason'] | null {
    const ours = this.wanted.get(name);
    if (ours !== undefined) {
      const renewed = writtenIn === 'earlier life' && content !== null && valid({ name, content });
      return content === ours || renewed ? null : 'altered';
    }
    if (content === null) {
      return 'foreign';
    }
    if (!valid({ name, content })) {
      return 'broken';
    }
    return this.adopted ? 'foreign' : null;
  }

  private async moveAway(name: string): Promise<string | null> {
    const { directory, quarantineDirectory, now = () => new Date() } = this.options;
    await mkdir(quarantineDirectory, { recursive: true, mode: 0o700 });
    const stamp = now().toISOString().replaceAll(/[-:.]/g, '');
    const target = join(quarantineDirectory, `${stamp}-${randomBytes(3).toString('hex')}-${name}`);
    try {
      await rename(join(directory, name), target);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EXDEV') {
        throw error;
      }
      // The two folders may be mounts of their own, and a rename does not cross those.
      return this.copyAway(name, target);
    }
    return target;
  }

  private async copyAway(name: string, target: string): Promise<string | null> {
    const from = join(this.options.directory, name);
    try {
      await cp(from, target, { recursive: true, verbatimSymlinks: true });
    } catch (error) {
      await rm(target, { recursive: true, force: true });
      if ((await lstat(from)).isDirectory()) {
        throw error;
      }
      if ((error as NodeJS.ErrnoException).code === 'EACCES') {
        // Traefik watches every file of its folder, whatever its ending, and does not start with one it may not read.
        await rm(from, { force: true });
        return null;
      }
      // A pipe or a full disk: it cannot be copied, but it can lose the ending that makes Traefik try.
      const aside = join(this.options.directory, `${basename(target)}.unreadable`);
      await rename(from, aside);
      return aside;
    }
    try {
      await rm(from, { recursive: true, force: true });
    } catch (error) {
      await rm(target, { recursive: true, force: true });
      throw error;
    }
    return target;
  }

  private async write({ name, content }: RouteFile): Promise<void> {
    const { directory } = this.options;
    // Ends in .tmp, which Traefik does not read; a hidden .yml it would.
    const temporary = join(directory, `.${name}.${randomBytes(4).toString('hex')}.tmp`);
    try {
      // No fsync: it would cost every provisioning a disk flush, and after a power cut the files are adopted anew.
      await writeFile(temporary, content, { flag: 'wx', mode: 0o644 });
      await rename(temporary, join(directory, name));
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
  }
}

function valid(file: RouteFile): boolean {
  try {
    validateRouteFile(file);
    return true;
  } catch (error) {
    if (!isDomainError(error, 'ROUTE_INVALID')) {
      throw error;
    }
    return false;
  }
}

/** The text, '' for what stands there and is no readable route (a folder, a locked or endless file), null for nothing. */
async function readText(path: string): Promise<string | null> {
  try {
    const { size } = await lstat(path);
    return size > LARGEST_BYTES ? '' : await readFile(path, 'utf8');
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? null : '';
  }
}
