import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { DomainError, isDomainError, type ErrorCode } from '#libs/contracts';

/** Exit codes of restic 0.17 and later (its manual, "Exit codes"). */
const CODES: Readonly<Record<number, ErrorCode>> = {
  10: 'REPOSITORY_MISSING',
  11: 'REPOSITORY_LOCKED',
  12: 'REPOSITORY_KEY',
};
/** Of what restic says about a failure: its first lines name the cause. */
const MOST_SAID = 8_192;
const KILL_AFTER_MS = 5_000;
/** What it says once it has given up saving a file, such as on a full disk. */
const NOT_SAVED = /^Save\(<[^\n]*\) failed: [^\n]*$/m;
/** restic 0.18 may then stand still for ever, each of its workers waiting for another; else it ends within a moment. */
const END_WITHIN_MS = 10_000;
/** A request to S3 that moves nothing is made again after this long; restic's own 5 minutes are most of a deadline. */
const STUCK_SECONDS = 60;
/**
 * What restic's own runtime aims to stay below, by collecting sooner: of 64 MiB that it keeps while it reads a file, it
 * would hold half as much again in what is no longer needed. No limit that it could fail of.
 */
const MEMORY_AIM = '76MiB';
/** One processor reads a file as fast as anybody takes it; what a second one collects beside it is time and memory lost. */
const READS_ALONE = { GOMAXPROCS: '1' };

export interface ResticSettings {
  /** Where restic lies. */
  binary: string;
  /** Of this process alone, mode 0700 and in memory: passwords lie there while a restic runs. */
  secretDir: string;
  /**
   * Where restic keeps what it may look up again, and packs under way, encrypted; one folder for all repositories. What
   * it has there of a repository that nobody opened for 30 days goes when another is opened.
   */
  cacheDir: string;
}

export interface RepositoryPlace {
  /** A folder, or `s3:https://host/bucket/path`. Holds no secret. */
  url: string;
  password: string;
  s3?: { accessKey: string; secretKey: string; region?: string };
}

export interface Run {
  child: ChildProcess;
  /** Its standard output, unread: also what it left of that when it ended before anybody read. */
  output: Readable;
  /** Resolves once it ended well and all of it is gone; rejects with a DomainError otherwise. */
  ended: Promise<void>;
}

/**
 * Starts restic on that repository. No secret is on its command line or in its environment: other processes of this user
 * read those. The signal asks it to end, which removes its lock; who does not obey is killed.
 */
export async function startRestic(
  settings: ResticSettings,
  place: RepositoryPlace,
  args: readonly string[],
  signal: AbortSignal,
): Promise<Run> {
  signal.throwIfAborted();
  await mkdir(settings.cacheDir, { recursive: true, mode: 0o700 });
  const folder = await mkdtemp(join(settings.secretDir, 'restic-'));
  try {
    const environment = await secretsIn(folder, place);
    const child = spawn(
      settings.binary,
      [
        '--json',
        '--repo',
        place.url,
        '--cache-dir',
        settings.cacheDir,
        '--cleanup-cache',
        '--stuck-request-timeout',
        `${STUCK_SECONDS}s`,
        ...args,
      ],
      // Two of them would move what the kernel wakes us for; the pace is the stream's.
      {
        stdio: ['pipe', 'pipe', 'pipe'],
        // Packs under way are of 16 MiB each and several at a time: too much for a /tmp in memory.
        env: {
          HOME: folder,
          // What it says of its progress is kept to its end.
          RESTIC_PROGRESS_FPS: '0.1',
          TMPDIR: settings.cacheDir,
          GOMEMLIMIT: MEMORY_AIM,
          ...(args[0] === 'dump' ? READS_ALONE : {}),
          ...environment,
        },
      },
    );
    const ended = (async (): Promise<void> => {
      try {
        await watch(child, args[0] ?? '', signal);
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    })();
    // Whoever only reads the output learns of a failure by it, and asks for the end afterwards.
    ended.catch(() => undefined);
    // Node throws away what a process left in a pipe that nobody reads by the time it has ended.
    const output = new PassThrough();
    pipeline(child.stdout, output).catch(() => undefined);
    return { child, output, ended };
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

/** As restic names them (cmd_check.go). */
const CHECK_CACHE = 'restic-check-cache-';

/**
 * Removes what checks look up for themselves, of all repositories: each goes with its check, but of one that was killed.
 * Only who alone works on this machine's repositories may do so.
 */
export async function removeCheckCaches(cacheDir: string): Promise<void> {
  const names = await readdir(cacheDir).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') {
      return [];
    }
    throw error;
  });
  for (const name of names.filter((one) => one.startsWith(CHECK_CACHE))) {
    await rm(join(cacheDir, name), { recursive: true, force: true });
  }
}

/** Removes what restic looked up of the repository of that id, on this machine. */
export async function removeCache(cacheDir: string, repositoryId: string): Promise<void> {
  await rm(join(cacheDir, repositoryId), { recursive: true, force: true });
}

async function secretsIn(folder: string, { password, s3 }: RepositoryPlace): Promise<Record<string, string>> {
  const keep = { mode: 0o600, flag: 'wx' } as const;
  const passwordFile = join(folder, 'password');
  await writeFile(passwordFile, password, keep);
  if (!s3) {
    return { RESTIC_PASSWORD_FILE: passwordFile };
  }
  const credentials = join(folder, 'credentials');
  await writeFile(
    credentials,
    `[default]\naws_access_key_id=${s3.accessKey}\naws_secret_access_key=${s3.secretKey}\n`,
    keep,
  );
  return {
    RESTIC_PASSWORD_FILE: passwordFile,
    AWS_SHARED_CREDENTIALS_FILE: credentials,
    ...(s3.region === undefined ? {} : { AWS_DEFAULT_REGION: s3.region }),
  };
}

async function watch(child: ChildProcess, command: string, signal: AbortSignal): Promise<void> {
  let said = '';
  let killer: NodeJS.Timeout | undefined;
  let hung: NodeJS.Timeout | undefined;
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(0, MOST_SAID);
    if (NOT_SAVED.test(said)) {
      hung ??= setTimeout(stop, END_WITHIN_MS);
    }
  });
  const stop = (): void => {
    clearTimeout(killer);
    child.kill('SIGTERM');
    killer = setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS);
  };
  signal.addEventListener('abort', stop, { once: true });
  // Who listens to a signal that was given meanwhile hears nothing.
  if (signal.aborted) {
    stop();
  }
  try {
    const [code] = (await once(child, 'close')) as [number | null];
    if (code === 0) {
      return;
    }
    if (signal.aborted) {
      throw outOfTime(command, said, signal.reason) ?? signal.reason;
    }
    throw failure(command, code, NOT_SAVED.exec(said)?.[0] ?? said);
  } finally {
    signal.removeEventListener('abort', stop);
    clearTimeout(hung);
    clearTimeout(killer);
  }
}

/**
 * restic tries again for a quarter of an hour whatever a server answers, a wrong key too, so most often it is a deadline
 * that ends it; what it was told by the server is the reason then. Undefined where it was told nothing.
 */
function outOfTime(command: string, said: string, reason: unknown): DomainError | undefined {
  const why = said
    .split('\n')
    .findLast((line) => line.includes(', retrying after '))
    ?.replace(/^.*, retrying after [\w.]+: /, '');
  const late = (reason as { name?: unknown }).name === 'TimeoutError' || isDomainError(reason, 'DEADLINE_EXCEEDED');
  return why === undefined || !late
    ? undefined
    : new DomainError('DEADLINE_EXCEEDED', {
        message: `restic ${command} was not done in time, and tried again and again: ${why}`,
        details: { command },
        cause: reason,
      });
}

/** What it said about its end, without the words around it. */
function failure(command: string, code: number | null, said: string): DomainError {
  const messages = said.split('\n').flatMap((line) => {
    try {
      const { message } = JSON.parse(line) as { message?: unknown };
      return typeof message === 'string' ? [message.replace(/^Fatal: /, '')] : [];
    } catch {
      return [];
    }
  });
  const why = messages.at(-1) ?? (said.trim() || `it ended with ${code ?? 'a signal'}`);
  return new DomainError(CODES[code ?? -1] ?? 'REPOSITORY_FAILED', {
    message: `restic ${command}: ${why}`,
    details: { command, exitCode: code },
  });
}
