import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { pipeline } from 'node:stream/promises';
import { text } from 'node:stream/consumers';
import { z } from 'zod';
import { handOver } from '#libs/async';
import { DomainError, isDomainError } from '#libs/contracts';
import { startRestic, type RepositoryPlace, type ResticSettings, type Run } from './process.js';

const summarySchema = z.object({
  message_type: z.literal('summary'),
  snapshot_id: z.string(),
  total_bytes_processed: z.number(),
  data_added_packed: z.number(),
});
const snapshotSchema = z.object({
  id: z.string(),
  time: z.iso.datetime({ offset: true }),
  paths: z.array(z.string()),
  tags: z.array(z.string()).default([]),
});
// It becomes the name of a folder.
const configSchema = z.object({ id: z.string().regex(/^[0-9a-f]{64}$/) });
const keySchema = z.object({ id: z.string(), current: z.boolean() });
const lockSchema = z.object({ time: z.iso.datetime({ offset: true }), hostname: z.string() });
const statsSchema = z.object({ total_size: z.number() });

/** From a closed pipe to the end of the process that closed it. */
const OWN_END_MS = 500;

export interface Stored {
  snapshotId: string;
  /** Of the stream. */
  bytes: number;
  /** By which the repository grew. */
  addedBytes: number;
}

export interface Snapshot {
  id: string;
  time: Date;
  /** Names of files, each with a leading slash; a stream has one. */
  paths: string[];
  tags: string[];
}

export interface Part {
  /** Name of the file in the snapshot, without a slash. */
  name: string;
  tags: readonly string[];
  /** Whose it is; part of what retention groups by. */
  host: string;
}

export interface Source {
  stream: Readable;
  /** How the stream's maker ended. */
  produced: Promise<unknown>;
  /** Its chunks' memory is nobody else's, and given back as soon as restic has it. */
  own?: boolean;
}

/**
 * One restic repository. Errors: REPOSITORY_MISSING, REPOSITORY_LOCKED, REPOSITORY_KEY (another password),
 * REPOSITORY_DAMAGED (by `check`), REPOSITORY_FAILED with restic's own words; whatever the signal was aborted with, or
 * where that is a deadline, DEADLINE_EXCEEDED with what a server kept answering.
 */
export class Repository {
  constructor(
    private readonly settings: ResticSettings,
    private readonly place: RepositoryPlace,
  ) {}

  /** Makes it where it is not there yet. */
  async ensure(signal: AbortSignal): Promise<void> {
    try {
      await this.read(['cat', 'config', '--no-lock'], signal);
    } catch (error) {
      if (!isDomainError(error, 'REPOSITORY_MISSING')) {
        throw error;
      }
      await this.read(['init', '--repository-version', '2'], signal);
    }
  }

  /**
   * Stores the stream as one file of a new snapshot. restic is told of the end only once it is known to be one, so a
   * stream that broke off leaves no snapshot.
   */
  async store(part: Part, { stream, produced, own = false }: Source, signal: AbortSignal): Promise<Stored> {
    const broken = new AbortController();
    const either = AbortSignal.any([signal, broken.signal]);
    const tags = part.tags.flatMap((tag) => ['--tag', tag]);
    // It may fail before anybody waits for it.
    produced.catch(() => undefined);
    const run = await startRestic(
      this.settings,
      this.place,
      ['backup', '--stdin', '--stdin-filename', part.name, '--host', part.host, ...tags],
      either,
    ).catch((error: unknown) => {
      stream.destroy();
      throw error;
    });
    const answer = text(run.output);
    try {
      const input = run.child.stdin;
      if (!input) {
        throw new Error('restic was started without an input');
      }
      // Where it breaks, restic's own end tells more.
      input.on('error', () => undefined);
      // Its end is told only when the maker is known to have ended well.
      await Promise.all([pipeline(stream, handOver(input, { own }), { signal: either }), produced]);
      input.end();
      await run.ended;
    } catch (error) {
      stream.destroy();
      // Where restic itself failed it closes the pipe, and tells more than the pipe does.
      const own = signal.aborted ? undefined : await Promise.race([ending(run), pause(OWN_END_MS)]);
      broken.abort(error);
      await Promise.allSettled([run.ended, answer]);
      if (signal.aborted) {
        throw (await ending(run)) ?? signal.reason;
      }
      throw own ?? error;
    }
    const lines = (await answer).trimEnd().split('\n');
    const summary = summarySchema.parse(JSON.parse(lines.at(-1) ?? ''));
    return {
      snapshotId: summary.snapshot_id,
      bytes: summary.total_bytes_processed,
      addedBytes: summary.data_added_packed,
    };
  }

  /**
   * The file of a snapshot as a stream; `ended` rejects where what was read is not all of it, or not what was stored.
   * Each chunk's memory is the reader's alone (`release` in `libs/async`).
   */
  async open(
    snapshotId: string,
    name: string,
    signal: AbortSignal,
  ): Promise<{ stream: Readable; ended: Promise<void> }> {
    const run = await startRestic(this.settings, this.place, ['dump', '--no-lock', snapshotId, `/${name}`], signal);
    run.child.stdin?.end();
    return { stream: run.output, ended: run.ended };
  }

  /** Newest first; all of them, or those with every tag. */
  async snapshots(tags: readonly string[], signal: AbortSignal): Promise<Snapshot[]> {
    const filter = tags.length > 0 ? ['--tag', tags.join(',')] : [];
    const answer = await this.read(['snapshots', '--no-lock', ...filter], signal);
    return z
      .array(snapshotSchema)
      .parse(JSON.parse(answer))
      .map(({ time, ...snapshot }) => ({ ...snapshot, time: new Date(time) }))
      .toSorted((a, b) => b.time.getTime() - a.time.getTime());
  }

  /**
   * Its structure, and the data of part `part` of `of` (from 1): only reading finds a flipped bit, and each check reads
   * another part. Throws REPOSITORY_DAMAGED with what is wrong.
   */
  async check({ part, of }: { part: number; of: number }, signal: AbortSignal): Promise<void> {
    try {
      await this.read(['check', `--read-data-subset=${part}/${of}`], signal);
    } catch (error) {
      if (!isDomainError(error, 'REPOSITORY_FAILED') || error.details['exitCode'] !== 1) {
        throw error;
      }
      throw new DomainError('REPOSITORY_DAMAGED', { message: error.message, details: error.details, cause: error });
    }
  }

  /** Takes these snapshots off the list. What only they needed stays until something is removed. */
  async unlist(snapshotIds: readonly string[], signal: AbortSignal): Promise<void> {
    if (snapshotIds.length > 0) {
      await this.read(['forget', ...snapshotIds], signal);
    }
  }

  /** Removes these snapshots and what no other needs. Not while anybody reads, since reading takes no lock. */
  async forget(snapshotIds: readonly string[], signal: AbortSignal): Promise<void> {
    if (snapshotIds.length > 0) {
      await this.read(['forget', '--prune', ...snapshotIds], signal);
    }
  }

  /** Removes what no snapshot needs. Not while anybody reads, since reading takes no lock. */
  async prune(signal: AbortSignal): Promise<void> {
    await this.read(['prune'], signal);
  }

  /**
   * Removes all that was stored, also where somebody was broken off over that. What is left is what makes it a
   * repository (its configuration and keys), since restic removes none.
   */
  async empty(signal: AbortSignal): Promise<void> {
    const all = await this.snapshots([], signal);
    await this.unlist(
      all.map(({ id }) => id),
      signal,
    );
    await this.read(['prune', '--max-unused', '0'], signal);
  }

  /** What restic calls it, wherever it lies; its cache has that name. */
  async id(signal: AbortSignal): Promise<string> {
    return configSchema.parse(JSON.parse(await this.read(['cat', 'config', '--no-lock'], signal))).id;
  }

  /**
   * Removes every lock, also that of a process which died elsewhere. Only who alone may work on the repository may do
   * so: a lock that is at work would go too.
   */
  async unlock(signal: AbortSignal): Promise<void> {
    await this.read(['unlock', '--remove-all'], signal);
  }

  /** Who works with it now, or died over that: when each lock was made or last renewed, and by which machine. */
  async locks(signal: AbortSignal): Promise<{ time: Date; host: string }[]> {
    const listed = await this.read(['list', 'locks', '--no-lock'], signal);
    const locks: { time: Date; host: string }[] = [];
    for (const [id] of listed.matchAll(/^[0-9a-f]{64}$/gm)) {
      const { time, hostname } = lockSchema.parse(
        JSON.parse(await this.read(['cat', 'lock', id, '--no-lock'], signal)),
      );
      locks.push({ time: new Date(time), host: hostname });
    }
    return locks;
  }

  /** Whether the password opens it. Throws REPOSITORY_MISSING where there is none. */
  async opens(signal: AbortSignal): Promise<boolean> {
    try {
      await this.read(['cat', 'config', '--no-lock'], signal);
      return true;
    } catch (error) {
      if (isDomainError(error, 'REPOSITORY_KEY')) {
        return false;
      }
      throw error;
    }
  }

  /** From now on that password opens it too. What lies in it stays as it is: passwords open its key, not its data. */
  async addPassword(password: string, signal: AbortSignal): Promise<void> {
    const folder = await mkdtemp(join(this.settings.secretDir, 'restic-'));
    try {
      const file = join(folder, 'new-password');
      await writeFile(file, password, { mode: 0o600, flag: 'wx' });
      await this.read(['key', 'add', '--new-password-file', file], signal);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  /** From now on no password but this one opens it. Gives how many others did. */
  async removeOtherPasswords(signal: AbortSignal): Promise<number> {
    const keys = z.array(keySchema).parse(JSON.parse(await this.read(['key', 'list', '--no-lock'], signal)));
    const others = keys.filter(({ current }) => !current);
    for (const { id } of others) {
      await this.read(['key', 'remove', id], signal);
    }
    return others.length;
  }

  /** Bytes it takes where it lies. */
  async size(signal: AbortSignal): Promise<number> {
    const answer = await this.read(['stats', '--mode', 'raw-data', '--no-lock'], signal);
    return statsSchema.parse(JSON.parse(answer.trimEnd().split('\n').at(-1) ?? '')).total_size;
  }

  private async read(args: readonly string[], signal: AbortSignal): Promise<string> {
    const run = await startRestic(this.settings, this.place, args, signal);
    run.child.stdin?.end();
    const answer = text(run.output);
    // How it ended tells more than what that did to its output.
    answer.catch(() => undefined);
    await run.ended;
    return answer;
  }
}

/** What it failed of by itself, once it ended; undefined where it did not fail. */
const ending = ({ ended }: Run): Promise<unknown> =>
  ended.then(
    () => undefined,
    (error: unknown) => error,
  );
