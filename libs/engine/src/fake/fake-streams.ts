import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { constants } from 'node:os';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { DomainError } from '#libs/contracts';
import { cancelled } from '../bounded.js';
import type { ContainerState, Engine, Owner } from '../port.js';
import {
  running,
  type EngineStreams,
  type ExecEnd,
  type ExecStreams,
  type ExecWish,
  type TarFilling,
} from '../stream-port.js';
import { WholeTar } from '../whole-tar.js';
import { refused } from './world.js';

const MOST_SAID = 4 * 1024;
const ASK_MS = 20_000;

export interface LocalProcess {
  file: string;
  args: readonly string[];
  env?: Readonly<Record<string, string | undefined>>;
}

export interface FakeStreamsOptions {
  /** Whose containers these are: in memory, or in memory behind a socket. */
  engine: Engine;
  /** The real process of this machine that stands for one in a container. */
  run: (container: string, command: readonly string[]) => LocalProcess;
  /** The real folder of this machine that stands for one of a container. */
  folder?: (container: string, folder: string) => string;
}

/**
 * Streams of the in-memory engine, by real processes and folders of this machine: a test sees `pg_dump` of a real
 * database without an engine. A process whose stream is cut or cancelled is killed here, so that tests leave none.
 */
export class FakeStreams implements EngineStreams {
  private readonly open = new Set<(error: DomainError) => void>();

  constructor(private readonly options: FakeStreamsOptions) {}

  /** Every stream ends in the middle of what it carries, as when the engine dies. */
  cut(): void {
    for (const end of this.open) {
      end(new DomainError('ENGINE_UNREACHABLE', { details: { reason: 'the in-memory engine was cut' } }));
    }
  }

  async exec(container: string, owner: Owner, wish: ExecWish, signal: AbortSignal): Promise<ExecStreams> {
    const { status } = await this.owned(container, owner, signal);
    if (status !== 'running') {
      throw new DomainError('ENGINE_CONFLICT', {
        message: `The engine refused run ${wish.command[0] ?? ''} in ${container}: it is not running`,
        details: { status: 409 },
      });
    }
    const local = this.options.run(container, wish.command);
    const given = Object.entries(wish.environment ?? {}).map(([name, value]) => `${name}=${value}`);
    const child = this.start({ ...local, file: 'env', args: [...given, local.file, ...local.args] });
    const said = tailOf(child.stderr);
    const ended = this.watched(child, signal, async (): Promise<ExecEnd> => {
      try {
        const [code, killedBy] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
        return { exitCode: code ?? 128 + constants.signals[killedBy ?? 'SIGKILL'], said: said() };
      } catch (error) {
        // A program that is not there, as a shell says it.
        return { exitCode: 127, said: String(error) };
      }
    });
    ended.catch(() => undefined);
    return { input: child.stdin, output: child.stdout, ended };
  }

  async pack(container: string, owner: Owner, folder: string, signal: AbortSignal): Promise<Readable> {
    await this.owned(container, owner, signal);
    const child = this.start({
      file: 'tar',
      args: ['--numeric-owner', '-C', await this.at(container, folder), '-c', '.'],
    });
    const whole = new WholeTar();
    pipeline(child.stdout, whole).catch(() => undefined);
    this.watched(child, signal, () => once(child, 'close')).catch((error: Error) => whole.destroy(error));
    return whole;
  }

  async unpack(container: string, owner: Owner, { folder, tar }: TarFilling, signal: AbortSignal): Promise<void> {
    const { status } = await this.owned(container, owner, signal);
    if (status === 'running') {
      throw running(container);
    }
    const child = this.start({
      file: 'tar',
      // Zeros do not end it: it would close its input before the padding behind them was read.
      args: ['--numeric-owner', '-p', '-i', '-C', await this.at(container, folder), '-x'],
    });
    child.stdout.resume();
    const said = tailOf(child.stderr);
    const closed = this.watched(child, signal, async () => {
      const [code] = (await once(child, 'close')) as [number | null];
      if (code !== 0) {
        throw refused(500, said());
      }
    });
    const whole = new WholeTar();
    // Its break is told by the other two.
    pipeline(whole, child.stdin).catch(() => undefined);
    closed.catch(() => tar.destroy());
    try {
      await Promise.all([closed, pipeline(tar, whole)]);
    } catch (error) {
      if (signal.aborted) {
        throw cancelled(`fill ${folder} of ${container}`, signal);
      }
      throw error instanceof DomainError
        ? error
        : new DomainError('INTERNAL', { message: `fill ${folder} of ${container}: ${String(error)}`, cause: error });
    }
  }

  private start({ file, args, env }: LocalProcess): ChildProcessWithoutNullStreams {
    const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'], ...(env ? { env } : {}) });
    // Whoever reads or writes is told by that.
    child.stdin.on('error', () => undefined);
    child.stdout.on('error', () => undefined);
    return child;
  }

  private async watched<T>(
    child: ChildProcessWithoutNullStreams,
    signal: AbortSignal,
    work: () => Promise<T>,
  ): Promise<T> {
    const { promise: stopped, reject } = Promise.withResolvers<never>();
    const end = (error: DomainError): void => {
      reject(error);
      child.kill('SIGKILL');
      child.stdout.destroy(error);
      child.stdin.destroy(error);
      child.stderr.destroy();
    };
    const abort = (): void => end(cancelled('use a stream', signal));
    this.open.add(end);
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) {
      abort();
    }
    try {
      return await Promise.race([work(), stopped]);
    } finally {
      this.open.delete(end);
      signal.removeEventListener('abort', abort);
    }
  }

  private async owned(name: string, owner: Owner, signal: AbortSignal): Promise<ContainerState> {
    const { containers } = await this.options.engine.observe(owner, { deadlineMs: ASK_MS, signal });
    const found = containers.find((one) => one.name === name);
    if (!found) {
      throw new DomainError('NOT_FOUND', { message: `There is no container ${name}.` });
    }
    return found;
  }

  private async at(container: string, folder: string): Promise<string> {
    const at = this.options.folder?.(container, folder);
    if (at === undefined || !(await stat(at).catch(() => undefined))) {
      throw refused(404, `Could not find the file ${folder} in container ${container}`);
    }
    return at;
  }
}

function tailOf(stream: Readable): () => string {
  let tail: Buffer = Buffer.alloc(0);
  stream.on('data', (chunk: Buffer) => {
    tail = Buffer.concat([tail, chunk]).subarray(-MOST_SAID);
  });
  return () => tail.toString('utf8').trim();
}
