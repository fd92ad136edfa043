import type { Bounds } from '#libs/async';
import { provesOwner } from '../ownership.js';
import { LABEL, type Labels, type Owner } from '../port.js';
import { Readable } from 'node:stream';
import type Docker from 'dockerode';
import { DomainError } from '#libs/contracts';
import type { DiskUse, EngineWatch, LogLine, LogWish, RunningContainer } from '../watch-port.js';
import { DockerClient, signalled } from './client.js';
import { toDomainError } from './errors.js';
import { LogFrames } from './log-frames.js';
import { absent } from './missing.js';

const OPEN_MS = 10_000;

/** What of `GET /system/df` is read. */
interface DiskAnswer {
  Containers: { Names: string[]; Labels: Labels | null; SizeRw?: number }[] | null;
  Volumes: { Name: string; Labels: Labels | null; UsageData?: { Size: number } | null }[] | null;
}

/** Looks at one Docker Engine. A connection of its own: a slow look holds up nothing that is being made. */
export class DockerWatch implements EngineWatch {
  private readonly client: DockerClient;

  constructor({ endpoint }: { endpoint: string }) {
    this.client = new DockerClient(endpoint);
  }

  async running(owner: Owner, bounds: Bounds): Promise<RunningContainer[]> {
    const label = [
      `${LABEL.platform}=${owner.platform}`,
      ...(owner.tenant === undefined ? [] : [`${LABEL.tenant}=${owner.tenant}`]),
    ];
    return await this.client.call('list running containers', bounds, async (docker, signal) => {
      const [listed, networks] = await Promise.all([
        docker.listContainers(signalled(signal, { filters: { label, status: ['running', 'paused'] } })),
        docker.listNetworks(signalled(signal, {})),
      ]);
      const internal = new Set(networks.filter(({ Internal }) => Internal).map(({ Name }) => Name));
      return listed.map(({ Id, Names, Labels, NetworkSettings }) => ({
        id: Id,
        name: plainName(Names),
        labels: Labels,
        outward: Object.keys(NetworkSettings?.Networks ?? {}).some((name) => name !== 'none' && !internal.has(name)),
      }));
    });
  }

  async *log(container: string, owner: Owner, wish: LogWish, signal: AbortSignal): AsyncGenerator<LogLine> {
    const stream = await this.client.call(`open the log of ${container}`, { deadlineMs: OPEN_MS, signal }, (docker) =>
      open(docker, container, owner, { wish, signal }),
    );
    const frames = new LogFrames();
    try {
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        for (const line of frames.push(chunk)) {
          if (wish.after === undefined || line.at > wish.after) {
            yield line;
          }
        }
      }
    } catch (error) {
      signal.throwIfAborted();
      throw toDomainError(`read the log of ${container}`, error);
    }
  }

  async diskUse(owner: Owner, bounds: Bounds): Promise<DiskUse[]> {
    return await this.client.call('measure disks', bounds, async (docker, signal) => {
      // the types know no options, the call takes a signal all the same
      const df = docker.df.bind(docker) as (options: object) => Promise<DiskAnswer>;
      const answer = await df(signalled(signal, {}));
      const all: (Omit<DiskUse, 'bytes'> & { bytes: number | undefined })[] = [
        ...(answer.Volumes ?? []).map(({ Name, Labels, UsageData }) => ({
          kind: 'volume' as const,
          name: Name,
          labels: Labels ?? {},
          bytes: UsageData?.Size,
        })),
        ...(answer.Containers ?? []).map(({ Names, Labels, SizeRw }) => ({
          kind: 'container' as const,
          name: plainName(Names),
          labels: Labels ?? {},
          bytes: SizeRw ?? 0,
        })),
      ];
      // -1 is the engine's word for "not measured"
      return all.filter(
        (use): use is DiskUse => provesOwner(use.labels, owner) && use.bytes !== undefined && use.bytes >= 0,
      );
    });
  }
}

async function open(
  docker: Docker,
  name: string,
  owner: Owner,
  { wish, signal }: { wish: LogWish; signal: AbortSignal },
): Promise<NodeJS.ReadableStream> {
  const container = docker.getContainer(name);
  const info = await absent(container.inspect(signalled(signal, {})));
  if (!info || info.Name !== `/${name}` || !provesOwner(info.Config.Labels, owner)) {
    throw new DomainError('NOT_FOUND', { message: `There is no container ${name}.` });
  }
  const options = {
    stdout: true,
    stderr: true,
    timestamps: true,
    tail: wish.tail,
    // its types know whole seconds only
    ...(wish.after === undefined ? {} : { since: secondsOf(wish.after) as unknown as number }),
  };
  return wish.follow
    ? container.logs(signalled(signal, { ...options, follow: true as const }))
    : Readable.from([await container.logs(signalled(signal, { ...options, follow: false as const }))]);
}

/** Seconds and nanoseconds, as the engine wants them: its own times have more digits than ours. */
function secondsOf(at: string): string {
  const fraction = /\.(\d{1,9})/.exec(at)?.[1] ?? '';
  return `${Math.floor(Date.parse(at) / 1_000)}.${fraction.padEnd(9, '0')}`;
}

const plainName = (names: readonly string[]): string => (names[0] ?? '').replace(/^\//, '');
