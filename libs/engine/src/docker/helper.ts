import type { Duplex } from 'node:stream';
import type Docker from 'dockerode';
import { KeyedMutex, type Bounds, type Semaphore } from '#libs/async';
import { checkHelperSpec } from '../checks.js';
import { assertOwned, ownerOf } from '../ownership.js';
import type { HelperSpec } from '../port.js';
import { signalled, type DockerClient } from './client.js';
import { helperOptions } from './container-options.js';
import { demuxLines } from './demux.js';
import { absent } from './missing.js';
import { removeById } from './removal.js';

/** How long the removal may take after the helper ended or its bounds did. */
const REMOVE_MS = 15_000;

export class DockerHelpers {
  private readonly names = new KeyedMutex();

  constructor(
    private readonly client: DockerClient,
    /** Those of all creates and starts of the engine. */
    private readonly slots: Semaphore,
  ) {}

  async runOnce(spec: HelperSpec, bounds: Bounds): Promise<{ exitCode: number; output: string }> {
    checkHelperSpec(spec);
    return await this.names.run(spec.name, async () => {
      try {
        return await this.client.call(`run helper ${spec.name}`, bounds, async (docker, signal) => {
          await this.discard(docker, spec, { ...bounds, signal });
          return await run(docker, spec, this.slots, signal);
        });
      } finally {
        // with time of its own: a helper that hung must go although its bounds are used up
        await this.client.call(`remove helper ${spec.name}`, { deadlineMs: REMOVE_MS }, (docker, signal) =>
          this.discard(docker, spec, { deadlineMs: REMOVE_MS, signal }),
        );
      }
    });
  }

  /** Removes the helper, or one of that name left by a process that died; a foreign container is left alone. */
  private async discard(docker: Docker, spec: HelperSpec, bounds: Bounds & { signal: AbortSignal }): Promise<void> {
    const existing = await absent(docker.getContainer(spec.name).inspect(signalled(bounds.signal, {})));
    if (existing?.Name === `/${spec.name}`) {
      assertOwned('container', spec.name, existing.Config.Labels, ownerOf(spec.labels));
      await removeById(docker, existing.Id, bounds);
    }
  }
}

async function run(
  docker: Docker,
  spec: HelperSpec,
  slots: Semaphore,
  signal: AbortSignal,
): Promise<{ exitCode: number; output: string }> {
  const container = await slots.run(() => {
    signal.throwIfAborted();
    return docker.createContainer(signalled(signal, helperOptions(spec)));
  });
  const stdin = spec.stdin === undefined ? undefined : await attachStdin(container, signal);
  try {
    await slots.run(() => {
      signal.throwIfAborted();
      return container.start(signalled(signal, {}));
    });
    stdin?.end(spec.stdin);
    const { StatusCode } = (await container.wait(signalled(signal, {}))) as { StatusCode: number };
    const framed = await container.logs(signalled(signal, { stdout: true, stderr: true, follow: false } as const));
    return { exitCode: StatusCode, output: demuxLines(framed).join('\n') };
  } finally {
    stdin?.destroy();
  }
}

/** Attached before the start, so that nothing is lost; the output is read from the log, whole and in order, at the end. */
async function attachStdin(container: Docker.Container, signal: AbortSignal): Promise<Duplex> {
  const stream = (await container.attach(signalled(signal, { stream: true, stdin: true, hijack: true }))) as Duplex;
  // a helper that ends without reading closes the connection: its exit code tells, not the broken pipe
  stream.on('error', () => undefined);
  stream.resume();
  return stream;
}
