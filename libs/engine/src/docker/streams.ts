import type { Duplex, Readable, Transform } from 'node:stream';
import { finished, pipeline } from 'node:stream/promises';
import type Docker from 'dockerode';
import { waitFor } from '#libs/async';
import { DomainError } from '#libs/contracts';
import { cancelled } from '../bounded.js';
import { provesOwner } from '../ownership.js';
import type { Owner } from '../port.js';
import {
  running,
  type EngineStreams,
  type ExecEnd,
  type ExecStreams,
  type ExecWish,
  type TarFilling,
} from '../stream-port.js';
import { WholeTar } from '../whole-tar.js';
import { DockerClient, signalled } from './client.js';
import { reasonOf, toDomainError } from './errors.js';
import { ExecFrames } from './exec-frames.js';
import { ExecInput } from './exec-input.js';
import { absent } from './missing.js';

const OPEN_MS = 20_000;
/** From the end of its output to the engine's word about its exit code. */
const CODE_MS = 10_000;
/** The same where the connection broke, which is also how it looks when a process ends before it read its input. */
const BROKEN_CODE_MS = 1_000;

/** Over one Docker Engine, by a connection of its own: gigabytes hold up nothing that is being made. */
export class DockerStreams implements EngineStreams {
  private readonly client: DockerClient;

  constructor({ endpoint }: { endpoint: string }) {
    this.client = new DockerClient(endpoint);
  }

  async exec(container: string, owner: Owner, wish: ExecWish, signal: AbortSignal): Promise<ExecStreams> {
    const what = `run ${wish.command[0] ?? ''} in ${container}`;
    const opened = await this.client.call(what, { deadlineMs: OPEN_MS, signal }, async (docker, bounded) => {
      const { target } = await owned(docker, container, owner, bounded);
      const exec = await target.exec(
        signalled(bounded, {
          Cmd: [...wish.command],
          User: wish.user,
          Env: Object.entries(wish.environment ?? {}).map(([name, value]) => `${name}=${value}`),
          AttachStdin: true,
          AttachStdout: true,
          AttachStderr: true,
        }),
      );
      // Not under these bounds, which would cut it later; who turned away meanwhile gets no connection.
      const connection = (await exec.start({ hijack: true, stdin: true })) as Duplex;
      if (bounded.aborted) {
        connection.destroy();
      }
      return { exec, connection };
    });
    return attach(what, opened, signal);
  }

  async pack(container: string, owner: Owner, folder: string, signal: AbortSignal): Promise<Readable> {
    const what = `read ${folder} of ${container}`;
    return this.client.call(what, { deadlineMs: OPEN_MS, signal }, async (docker, bounded) => {
      const { target } = await owned(docker, container, owner, bounded);
      const archive = await target.getArchive({ path: `${folder}/.` });
      const whole = new WholeTar((error) => broken(what, error, signal));
      join(archive as Readable, whole, (error) => broken(what, error, signal), signal);
      return whole;
    });
  }

  async unpack(container: string, owner: Owner, { folder, tar }: TarFilling, signal: AbortSignal): Promise<void> {
    const what = `fill ${folder} of ${container}`;
    const { target, runs } = await this.client.call(what, { deadlineMs: OPEN_MS, signal }, (docker, bounded) =>
      owned(docker, container, owner, bounded),
    );
    if (runs) {
      throw running(container);
    }
    const whole = new WholeTar((error) => toDomainError(what, error));
    const copied = pipeline(tar, whole, { signal });
    const put = target.putArchive(whole, signalled(signal, { path: folder }));
    put.catch(() => whole.destroy());
    try {
      // The first to fail tells why.
      await Promise.all([copied, put]);
    } catch (error) {
      throw signal.aborted ? cancelled(what, signal) : toDomainError(what, error);
    }
  }
}

function attach(
  what: string,
  { exec, connection }: { exec: Docker.Exec; connection: Duplex },
  signal: AbortSignal,
): ExecStreams {
  // Whoever writes to it is told by the write; without a writer the break is nobody's to handle here.
  connection.on('error', () => undefined);
  const told = (error: unknown): DomainError => broken(what, error, signal);
  let code: Promise<number> | undefined;
  const output = new ExecFrames(() => (code ??= exitCode(exec, CODE_MS, signal)), told);
  join(connection, output, told, signal);
  const ended = (async (): Promise<ExecEnd> => {
    try {
      await finished(output);
      return { exitCode: (await code) ?? 0, said: output.said };
    } catch (error) {
      if (signal.aborted) {
        throw cancelled(what, signal);
      }
      // A process that ends before it has read its input breaks the pipe to it: it is what has something to say.
      const late = await exitCode(exec, BROKEN_CODE_MS, signal).catch(() => 0);
      if (late !== 0) {
        return { exitCode: late, said: output.said };
      }
      throw told(error);
    }
  })();
  // Who reads the output learns of a break by it.
  ended.catch(() => undefined);
  return { input: new ExecInput(connection), output, ended };
}

/** Pipes, and fails `to` with what `told` makes of a break or of the signal; the end of either is the end of both. */
function join(from: Readable, to: Transform, told: (error: Error) => Error, signal: AbortSignal): void {
  const abort = (): void => void to.destroy(told(new Error('aborted')));
  from.once('error', (error) => to.destroy(told(error)));
  from.once('close', () => {
    if (!from.readableEnded) {
      to.destroy(told(new Error('the connection broke')));
    }
  });
  to.once('close', () => {
    signal.removeEventListener('abort', abort);
    from.destroy();
  });
  // Told to whoever reads; without a reader it is nobody's to handle here.
  to.on('error', () => undefined);
  from.pipe(to);
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) {
    abort();
  }
}

async function exitCode(exec: Docker.Exec, deadlineMs: number, signal: AbortSignal): Promise<number> {
  return waitFor(async (bounded) => (await exec.inspect(signalled(bounded, {}))).ExitCode ?? undefined, {
    what: 'the exit code',
    deadlineMs,
    signal,
  });
}

function broken(what: string, error: unknown, signal: AbortSignal): DomainError {
  if (error instanceof DomainError) {
    return error;
  }
  return signal.aborted
    ? cancelled(what, signal)
    : new DomainError('ENGINE_UNREACHABLE', {
        message: `The engine broke off while it was to ${what}: ${reasonOf(error)}`,
        details: { what, reason: reasonOf(error) },
        cause: error,
      });
}

async function owned(
  docker: Docker,
  name: string,
  owner: Owner,
  signal: AbortSignal,
): Promise<{ target: Docker.Container; runs: boolean }> {
  const container = docker.getContainer(name);
  const info = await absent(container.inspect(signalled(signal, {})));
  if (!info || info.Name !== `/${name}` || !provesOwner(info.Config.Labels, owner)) {
    throw new DomainError('NOT_FOUND', { message: `There is no container ${name}.` });
  }
  return { target: docker.getContainer(info.Id), runs: info.State.Running };
}
