import Docker from 'dockerode';
import { withDeadline, type Bounds } from '#libs/async';
import { DomainError, isDomainError } from '#libs/contracts';
import { bounded } from '../bounded.js';
import { negotiate } from './api-version.js';
import { toDomainError } from './errors.js';

/** An engine that does not say its version in this time does not answer. */
const VERSION_MS = 10_000;

/** dockerode takes `abortSignal` in the options of nearly every call, though its types name it in only some. */
export function signalled<T extends object>(signal: AbortSignal, options: T): T & { abortSignal: AbortSignal } {
  return { ...options, abortSignal: signal };
}

/** The connection to one engine: finds its API version on first use and puts bounds and our errors around every call. */
export class DockerClient {
  private readonly address: Docker.DockerOptions;
  private negotiated: Promise<Docker> | undefined;

  /** `unix:///path/to.sock` or `tcp://host:port`. */
  constructor(readonly endpoint: string) {
    this.address = parseEndpoint(endpoint);
  }

  async call<T>(what: string, bounds: Bounds, work: (docker: Docker, signal: AbortSignal) => Promise<T>): Promise<T> {
    return await bounded(what, bounds, async (signal) => {
      try {
        const docker = await this.connect();
        signal.throwIfAborted();
        return await work(docker, signal);
      } catch (error) {
        // whatever the cut connection says, the reason is the signal's
        signal.throwIfAborted();
        const ours = toDomainError(what, error);
        if (isDomainError(ours, 'ENGINE_UNREACHABLE')) {
          // when it comes back it may be another version
          this.negotiated = undefined;
        }
        throw ours;
      }
    });
  }

  private connect(): Promise<Docker> {
    // not under one caller's signal: others wait for the same answer
    const connecting = (this.negotiated ??= this.negotiate());
    connecting.catch(() => {
      if (this.negotiated === connecting) {
        this.negotiated = undefined;
      }
    });
    return connecting;
  }

  private async negotiate(): Promise<Docker> {
    const plain = new Docker(this.address);
    const server = await withDeadline('answer of the engine', { deadlineMs: VERSION_MS }, () => plain.version());
    const version = negotiate({
      version: server.Version,
      apiVersion: server.ApiVersion,
      minApiVersion: server.MinAPIVersion ?? server.ApiVersion,
    });
    return new Docker({ ...this.address, version: `v${version}` });
  }
}

function parseEndpoint(endpoint: string): Docker.DockerOptions {
  const url = URL.parse(endpoint);
  if (url?.protocol === 'unix:' && url.pathname !== '') {
    // an explicit empty host keeps DOCKER_HOST of the environment from taking over
    return { host: '', socketPath: decodeURIComponent(url.pathname) };
  }
  if (url?.protocol === 'tcp:' && url.hostname !== '') {
    return { protocol: 'http', host: url.hostname, port: url.port || 2375, pathPrefix: '/' } as Docker.DockerOptions;
  }
  throw new DomainError('CONFIG_INVALID', {
    message: 'An engine’s address must read unix:///path or tcp://host:port.',
    details: { endpoint },
  });
}
