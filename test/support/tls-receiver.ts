import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { createAuthority, issueLeaf } from '#libs/crypto';

export interface Received {
  url: string;
  headers: IncomingMessage['headers'];
  body: string;
}

/** A real HTTPS server on loopback under an authority of its own; what it answers is up to the test. */
export class TlsReceiver {
  answer: (request: Received, response: ServerResponse) => void | Promise<void> = (_request, response) => {
    response.writeHead(404).end();
  };
  readonly received: Received[] = [];
  ca = '';
  port = 0;
  private server: Server | undefined;

  async start(): Promise<this> {
    const authority = await createAuthority(['localhost'], new Date());
    const leaf = await issueLeaf(authority, ['localhost'], new Date());
    this.ca = authority.certificate;
    this.server = createServer({ cert: leaf.certificate, key: leaf.key }, (request, response) => {
      void this.handle(request, response);
    });
    await this.listen();
    return this;
  }

  /** Again on the same port after `stop`. */
  async listen(): Promise<void> {
    const server = this.server?.listen(this.port, '127.0.0.1');
    if (!server) {
      throw new Error('not started');
    }
    await once(server, 'listening');
    ({ port: this.port } = server.address() as AddressInfo);
  }

  private async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = '';
    for await (const chunk of request) {
      body += String(chunk);
    }
    const received = { url: request.url ?? '', headers: request.headers, body };
    this.received.push(received);
    await this.answer(received, response);
  }

  async stop(): Promise<void> {
    if (this.server?.listening) {
      const closed = once(this.server, 'close');
      this.server.close();
      this.server.closeAllConnections();
      await closed;
    }
  }
}
