import { randomBytes } from 'node:crypto';
import { cp, lstat, mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { KeyedMutex } from '#libs/async';
import { isDomainError } from '#libs/contracts';
import type { Logger } from '#libs/telemetry';
import { SERVED_FILE, composeFiles, validateRouteFile } from './domain/render.js';
import type { DynamicFile, RouteFile } from './domain/dynamic.js';

export interface RouteFolderOptions {
  /** Where the files stand, and what the proxy reads. Only this class writes there. */
  directory: string;
  quarantineDirectory: string;
  logger: Pick<Logger, 'warn' | 'info'>;
  /** Asked before each change; what it throws, the call throws, and the folder stays as it is. */
  allowed?: () => Promise<void>;
  now?: () => Date;
}

export interface Quarantined {
  name: string;
  /** foreign: not a file of ours; altered: not what we wrote; broken: no route file at all. */
  reason: 'foreign' | 'altered' | 'broken';
  /** Null for one that could not be read: it is deleted. */
  movedTo: string | null;
}

const LOCK = 'folder';
const TEMPORARY = /^[.].+[.]tmp$/;
/** What could not be moved away, under a name nobody takes for a route. */
const SET_ASIDE = /[.]unreadable$/;
/** A stack's file has some kilobytes; what is larger than this is none and is not read into memory. */
const LARGEST_BYTES = 1024 * 1024;
const LARGEST_SERVED_BYTES = 64 * LARGEST_BYTES;

/**
 * The stacks' route files, and the one file the proxy reads, composed of them. What stands there is exactly what
 * `adopt`, `publish` and `remove` said; nothing else in the folder reaches the proxy, and nothing else stays.
 */
export class RouteFolder {
  private readonly mutex = new KeyedMutex();
  private readonly wanted = new Map<string, { content: string; parsed: DynamicFile }>();
  private adopted = false;
  /** What the proxy was given; null before anything was. */
  private served: string | null = null;
  private stale = true;

  constructor(private readonly options: RouteFolderOptions) {}

  /**
   * Makes `files` the whole content and clears away what else is there. Called once the full list is known; until
   * then the proxy gets nothing new, and `quarantine` removes only what is broken, since a file it does not know may be
   * a stack's good route. A valid file that says something else under one of these names is what an earlier process or
   * release wrote: it is renewed.
   */
  async adopt(files: readonly RouteFile[]): Promise<Quarantined[]> {
    const parsed = files.map((file) => ({ ...file, parsed: validateRouteFile(file) }));
    return this.change(async () => {
      await mkdir(this.options.directory, { recursive: true, mode: 0o755 });
      // What was published while the list was being made is newer than the list.
      for (const { name, ...file } of parsed) {
        if (!this.wanted.has(name)) {
          this.wanted.set(name, file);
        }
      }
      this.adopted = true;
      this.stale = true;
      return this.sweep('earlier life');
    });
  }

  /**
   * Gives the proxy one file more, or anew, and keeps it. Of many at once the proxy gets the first, and then all others
   * in one: each change makes it build everything. Refuses what is not valid.
   */
  async publish(file: RouteFile): Promise<void> {
    const { name, content } = file;
    this.wanted.set(name, { content, parsed: validateRouteFile(file) });
    this.stale = true;
    await this.change(async () => {
      // Before the stack's own file: whoever finds that one may rely on the proxy having it.
      await this.serve();
      await this.write(name, content);
    });
  }

  async remove(name: string): Promise<void> {
    this.stale = this.wanted.delete(name) || this.stale;
    await this.change(async () => {
      await this.serve();
      // Recursive, since something else may stand where our file belongs.
      await rm(join(this.options.directory, name), { recursive: true, force: true });
    });
  }

  /** Names of the files that are there, ours or not; not of the one composed of them. */
  async list(): Promise<string[]> {
    return (await readdir(this.options.directory))
      .filter((name) => name !== SERVED_FILE && !TEMPORARY.test(name) && !SET_ASIDE.test(name))
      .toSorted();
  }

  /** What should stand there, as it was last said. */
  files(): RouteFile[] {
    return [...this.wanted].map(([name, { content }]) => ({ name, content }));
  }

  /** The published content of a file; '' where something unreadable stands in its place, null where nothing does. */
  async read(name: string): Promise<string | null> {
    return readText(join(this.options.directory, name));
  }

  /** Moves away what is not ours or not as we wrote it, and writes ours again. Run at least once a minute. */
  async quarantine(): Promise<Quarantined[]> {
    return this.change(() => this.sweep('this life'));
  }

  /** Traefik does not watch certificates: its file written again makes it read them again. */
  async touch(): Promise<void> {
    await this.change(async () => {
      this.stale = true;
      await this.serve();
    });
  }

  /** Has what the proxy reads written again where somebody changed it since; for who is about to rely on it. */
  async serveAgain(): Promise<void> {
    await this.change(async () => {
      this.stale ||= (await readText(join(this.options.directory, SERVED_FILE), LARGEST_SERVED_BYTES)) !== this.served;
      await this.serve();
    });
  }

  /** What the proxy reads, where it is not what was last said. */
  private async serve(): Promise<void> {
    if (!this.adopted || !this.stale) {
      return;
    }
    this.stale = false;
    try {
      const text = composeFiles([...this.wanted.values()].map(({ parsed }) => parsed));
      await this.write(SERVED_FILE, text);
      this.served = text;
    } catch (error) {
      this.stale = true;
      throw error;
    }
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
      const largest = name === SERVED_FILE ? LARGEST_SERVED_BYTES : LARGEST_BYTES;
      const content = (entry.isFile() && (await readText(join(directory, name), largest))) || null;
      const reason = this.verdict(name, content, writtenIn);
      if (!reason) {
        if (content === this.said(name)) {
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
    this.stale ||= !intact.has(SERVED_FILE);
    await this.mend(SERVED_FILE, () => this.serve());
    for (const [name, { content }] of this.wanted) {
      if (!intact.has(name)) {
        await this.mend(name, () => this.write(name, content));
      }
    }
    for (const { name, reason, movedTo } of found) {
      this.options.logger.warn({ file: name, reason, movedTo }, 'a file in the route folder was quarantined');
    }
    return found;
  }

  /** What stands in its place may not be movable: the others do not wait for it. */
  private async mend(name: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.options.logger.warn({ file: name, err: error }, 'a route could not be written');
    }
  }

  private said(name: string): string | undefined {
    return name === SERVED_FILE ? (this.served ?? undefined) : this.wanted.get(name)?.content;
  }

  private verdict(
    name: string,
    content: string | null,
    writtenIn: 'this life' | 'earlier life',
  ): Quarantined['reason'] | null {
    const ours = this.said(name);
    if (name === SERVED_FILE && ours === undefined) {
      // Of an earlier life, and what the proxy serves until this one knows all files.
      return content === null ? 'altered' : null;
    }
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
        // Nobody may read it: there is nothing to keep.
        await rm(from, { force: true });
        return null;
      }
      // A pipe or a full disk: it cannot be copied, but it can lose the name of a route.
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

  /** Whole or not at all. */
  private async write(name: string, content: string): Promise<void> {
    const { directory } = this.options;
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
async function readText(path: string, largest = LARGEST_BYTES): Promise<string | null> {
  try {
    const { size } = await lstat(path);
    return size > largest ? '' : await readFile(path, 'utf8');
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? null : '';
  }
}
