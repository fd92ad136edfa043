import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { withDeadline } from '#libs/async';
import { METRICS_TYPE } from '#libs/telemetry';
import { DutyMissed } from './worker.lifecycle.js';

/** Shorter than a scraper's own patience (10 s), so that it hears why. */
const METRICS_MS = 8_000;

export interface HealthServer {
  port: number;
  close(): Promise<void>;
}

export interface HealthPlace {
  port: number;
  host: string;
}

/**
 * `GET /healthz`, for the container's own health check: 200 while `check` passes within 2 s, else 503. `GET /metrics`,
 * for a scraper; 503 while its figures cannot be had.
 */
export async function startHealthServer(
  { port, host }: HealthPlace,
  check: () => Promise<void>,
  metrics: () => Promise<string>,
): Promise<HealthServer> {
  const server = createServer((request, response) => {
    if (request.url === '/metrics') {
      withDeadline('metrics', { deadlineMs: METRICS_MS }, metrics).then(
        (text) => response.writeHead(200, { 'content-type': METRICS_TYPE }).end(text),
        (error: unknown) =>
          response
            .writeHead(503, { 'content-type': 'text/plain' })
            .end(`${error instanceof Error ? error.message : 'failed'}\n`),
      );
      return;
    }
    if (request.url !== '/healthz') {
      response.writeHead(404).end();
      return;
    }
    withDeadline('health check', { deadlineMs: 2_000 }, check).then(
      () => response.writeHead(200, { 'content-type': 'application/json' }).end('{"status":"ok"}'),
      (error: unknown) => {
        const says = error instanceof DutyMissed ? { duties: error.message } : {};
        const body = { status: 'unavailable', checks: says };
        response.writeHead(503, { 'content-type': 'application/json' }).end(JSON.stringify(body));
      },
    );
  });
  server.listen(port, host);
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
