import { execFile, spawn } from 'node:child_process';
import { promisify } from 'node:util';

const execute = promisify(execFile);

export interface CommandOptions {
  env?: Readonly<Record<string, string>>;
  /** Also seen by the person; else only collected. */
  show?: boolean;
  deadlineMs?: number;
  /** Standard input: how secrets travel. */
  input?: string;
}

export class CommandError extends Error {
  constructor(
    command: string,
    readonly exitCode: number | null,
    readonly output: string,
  ) {
    super(`${command} ended with ${exitCode ?? 'a signal'}: ${output.trim().split('\n').slice(-8).join('\n')}`);
    this.name = 'CommandError';
  }
}

/** Only what a tool needs; a secret of this process never travels by accident. */
export const BASE_ENV = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/tmp',
  LC_ALL: 'C.UTF-8',
};

/** Runs a program without a shell and gives its standard output. Throws CommandError when it fails. */
export async function run(file: string, args: readonly string[], options: CommandOptions = {}): Promise<string> {
  const env = { ...BASE_ENV, ...options.env };
  if (options.show) {
    await runShown(file, args, env);
    return '';
  }
  try {
    const running = execute(file, [...args], {
      env,
      maxBuffer: 64 * 1024 * 1024,
      timeout: options.deadlineMs ?? 600_000,
    });
    // A program that ends without reading is judged by how it ended, not by its closed input.
    running.child.stdin?.once('error', () => undefined);
    running.child.stdin?.end(options.input ?? '');
    return (await running).stdout;
  } catch (error) {
    const { code, stderr, message } = error as { code?: number | string; stderr?: string; message: string };
    throw new CommandError(`${file} ${args[0] ?? ''}`, typeof code === 'number' ? code : null, stderr || message);
  }
}

async function runShown(file: string, args: readonly string[], env: Record<string, string>): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const child = spawn(file, [...args], { env, stdio: ['ignore', 'ignore', 'inherit'] });
  child.once('error', reject);
  child.once('close', (code) =>
    code === 0 ? resolve() : reject(new CommandError(`${file} ${args[0] ?? ''}`, code, 'see above')),
  );
  await promise;
}
