import { connect } from 'node:net';

/** On a network of this host a connection is had in a millisecond; one that is gone answers nothing at all. */
const CONNECT_MS = 300;

/**
 * The private ports of the portal's apis. Whichever takes a connection is asked, and again until it takes none: while one
 * of them is replaced the other answers. Nothing that was sent is sent again.
 */
export class ApiDoors {
  private at = 0;

  constructor(private readonly urls: readonly string[]) {}

  /** As `fetch` of the path at one of them; where none takes a connection its error is that of the last that did. */
  async fetch(path: string, init: RequestInit): Promise<Response> {
    return fetch(new URL(path, await this.open()), init);
  }

  private async open(): Promise<string | undefined> {
    for (let tried = 0; this.urls.length > 1 && tried < this.urls.length; tried += 1) {
      const next = (this.at + tried) % this.urls.length;
      if (await takesConnections(this.urls[next] ?? '')) {
        this.at = next;
        break;
      }
    }
    return this.urls[this.at];
  }
}

function takesConnections(url: string): Promise<boolean> {
  const { hostname: host, port } = new URL(url);
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect({ host, port: Number(port || 80), timeout: CONNECT_MS });
  socket.once('connect', () => resolve(true));
  socket.once('timeout', () => resolve(false));
  socket.once('error', () => resolve(false));
  return promise.finally(() => socket.destroy());
}
