import { execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';

const execute = promisify(execFile);

export interface CommandOptions {
  env?: Readonly<Record<string, string>>;
  /** Also seen by the person; else only collected. */
  show?: boolean;
  /** Ten minutes unless told: no call waits for an engine that hangs for ever. */
  deadlineMs?: number;
  /** Standard input: how secrets travel. */
  input?: string;
}

interface Ended {
  exitCode: number | null;
  output: string;
  stdout?: string;
  /** Of one that was ended since it took longer, for how long it had run. */
  deadlineMs?: number;
}

export class CommandError extends Error {
  readonly exitCode: number | null;
  /** Standard error; where there is none, why it could not run. */
  readonly output: string;
  /** Empty for one that was shown. */
  readonly stdout: string;
  /** It was ended at its deadline. */
  readonly tooLong: boolean;

  constructor(command: string, { exitCode, output, stdout = '', deadlineMs }: Ended) {
    const how =
      deadlineMs === undefined
        ? `ended with ${exitCode ?? 'a signal'}`
        : `did not end within ${Math.round(deadlineMs / 1_000)} s, so it was ended`;
    const said = output.trim().split('\n').slice(-8).join('\n');
    super(`${command} ${how}${said === '' ? '' : `: ${said}`}`);
    this.name = 'CommandError';
    this.exitCode = exitCode;
    this.output = output;
    this.stdout = stdout;
    this.tooLong = deadlineMs !== undefined;
  }
}

/** Only what a tool needs; a secret of this process never travels by accident. */
export const BASE_ENV = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/tmp',
  LC_ALL: 'C.UTF-8',
};

const DEADLINE_MS = 600_000;
/** From being told to end until it is ended. */
const ENDS_MS = 10_000;

/** Runs a program without a shell and gives its standard output. Throws CommandError when it fails. */
export async function run(file: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  const env = { ...BASE_ENV, ...options.env };
  const { deadlineMs = DEADLINE_MS } = options;
  if (options.show) {
    await runShown(file, args, { env, deadlineMs });
    return '';
  }
  let last: NodeJS.Timeout | undefined;
  try {
    const running = execute(file, [...args], {
      env,
      maxBuffer: 64 * 1024 * 1024,
      timeout: deadlineMs,
    });
    // A program that ends without reading is judged by how it ended, not by its closed input.
    running.child.stdin?.once('error', () => undefined);
    running.child.stdin?.end(options.input ?? '');
    last = setTimeout(() => running.child.kill('SIGKILL'), deadlineMs + ENDS_MS);
    return (await running).stdout;
  } catch (error) {
    const { code, stdout, stderr, message, killed } = error as {
      code?: number | string;
      stdout?: string;
      stderr?: string;
      message: string;
      killed?: boolean;
    };
    const exitCode = typeof code === 'number' ? code : null;
    // Ended by us for another reason: it said more than is kept, which has a code of its own.
    const tooLong = killed === true && typeof code !== 'string';
    throw new CommandError(`${file} ${args[0] ?? ''}`, {
      exitCode,
      output: stderr || (tooLong ? '' : message),
      ...(stdout === undefined ? {} : { stdout }),
      ...(tooLong ? { deadlineMs } : {}),
    });
  } finally {
    clearTimeout(last);
  }
}

async function runShown(
  file: string,
  args: readonly string[],
  { env, deadlineMs }: { env: Record<string, string>; deadlineMs: number },
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const child = spawn(file, [...args], { env, stdio: ['ignore', 'ignore', 'inherit'] });
  let tooLong = false;
  let last: NodeJS.Timeout | undefined;
  const timer = setTimeout(() => {
    tooLong = true;
    child.kill('SIGTERM');
    last = setTimeout(() => child.kill('SIGKILL'), ENDS_MS);
  }, deadlineMs);
  child.once('error', reject);
  // Not `close`: what the program itself had started may keep its output open for as long as it likes.
  child.once('exit', (exitCode) => {
    if (exitCode === 0 && !tooLong) {
      resolve();
      return;
    }
    reject(
      new CommandError(`${file} ${args[0] ?? ''}`, {
        exitCode,
        output: tooLong ? '' : 'see above',
        ...(tooLong ? { deadlineMs } : {}),
      }),
    );
  });
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    clearTimeout(last);
  }
}
