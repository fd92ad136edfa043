import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Reply } from './gate-process.js';

export interface Echo {
  name: string;
  url: string;
  headers: Record<string, string>;
}

/** A process behind the proxy that tells what reached it. */
export class Backend {
  readonly seen: { url: string; headers: IncomingHttpHeaders }[] = [];
  private server: Server | undefined;

  constructor(readonly name: string) {}

  /** On a free port of 127.0.0.1 unless told. */
  async start(at = { host: '127.0.0.1', port: 0 }): Promise<{ host: string; port: number }> {
    this.server = createServer((request, response) => {
      this.seen.push({ url: request.url ?? '', headers: request.headers });
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ name: this.name, url: request.url, headers: request.headers }));
    }).listen(at.port, at.host);
    await once(this.server, 'listening');
    return { host: at.host, port: (this.server.address() as AddressInfo).port };
  }

  stop(): void {
    this.server?.closeAllConnections();
    this.server?.close();
  }
}

/** What a backend saw, from its answer. */
export function echo(reply: Reply): Echo {
  return JSON.parse(reply.body) as Echo;
}
