import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { withDeadline } from '#libs/async';

export interface HealthServer {
  port: number;
  close(): Promise<void>;
}

/** `GET /healthz` on loopback, for the container's own health check: 200 while `check` passes within 2 s, else 503. */
export async function startHealthServer(port: number, check: () => Promise<void>): Promise<HealthServer> {
  const server = createServer((request, response) => {
    if (request.url !== '/healthz') {
      response.writeHead(404).end();
      return;
    }
    withDeadline('health check', { deadlineMs: 2_000 }, check).then(
      () => response.writeHead(200, { 'content-type': 'application/json' }).end('{"status":"ok"}'),
      () => response.writeHead(503, { 'content-type': 'application/json' }).end('{"status":"unavailable"}'),
    );
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
