import { chmod, mkdir, rm } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { DomainError } from '#libs/contracts';
import type { CountsAnswer } from './counts-answer.js';
import type { ExportAnswer } from './export-answer.js';
import type { ImagesAnswer } from './images-answer.js';
import type { PasswordAnswer } from './password-answer.js';
import { errorAnswer } from './watch/log-answer.js';

export type LogAnswer = (query: URLSearchParams, response: ServerResponse) => Promise<void>;

/** What may be asked besides health and metrics, where this agent can answer it. */
export interface PrivateAnswers {
  logs?: LogAnswer | undefined;
  exports?: ExportAnswer | undefined;
  images?: ImagesAnswer | undefined;
  passwords?: PasswordAnswer | undefined;
  counts?: CountsAnswer | undefined;
}

export interface Health {
  ok: boolean;
  checks: Record<string, string>;
}

/**
 * The agent's private port: a unix socket on this host, for the health check of its container, for metrics, for
 * logs of stacks, for downloads of their backups, for passwords of their repositories, for how much is in their databases
 * and for what the engine's images are. It answers seven fixed paths and parses nothing but the queries of two and the
 * bodies of three. Throws CONFIG_INVALID while another process listens there.
 */
export async function startPrivateServer(
  path: string,
  health: () => Promise<Health>,
  metrics: () => Promise<string>,
  { logs, exports, passwords, images, counts }: PrivateAnswers = {},
): Promise<Server> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  if (await listens(path)) {
    throw new DomainError('CONFIG_INVALID', {
      message: `Another agent answers on ${path}. A stand-by needs a socket of its own: set AVIARY_AGENT_SOCKET for it.`,
    });
  }
  // Left by a process that was killed.
  await rm(path, { force: true });
  const server = createServer((request, response) => {
    const url = URL.parse(request.url ?? '/', 'http://agent.invalid');
    const refused = (error: unknown): void => {
      const { status, body } = errorAnswer(error);
      response.writeHead(status, { 'content-type': 'application/json' }).end(body);
    };
    if (logs && request.method === 'GET' && url?.pathname === '/logs') {
      logs(url.searchParams, response).catch(refused);
      return;
    }
    if (counts && request.method === 'GET' && url?.pathname === '/counts') {
      counts(url.searchParams, response).catch(refused);
      return;
    }
    if (exports && request.method === 'POST' && request.url === '/export') {
      exports(request, response).catch(refused);
      return;
    }
    if (images && request.method === 'POST' && request.url === '/images') {
      images(request, response).catch(refused);
      return;
    }
    if (passwords && request.method === 'POST' && request.url === '/repository-password') {
      passwords(request, response).catch(refused);
      return;
    }
    const answer = async (): Promise<{ status: number; type: string; body: string }> => {
      if (request.method === 'GET' && request.url === '/healthz') {
        const state = await health();
        return { status: state.ok ? 200 : 503, type: 'application/json', body: JSON.stringify(state) };
      }
      if (request.method === 'GET' && request.url === '/metrics') {
        return { status: 200, type: 'text/plain; version=0.0.4', body: await metrics() };
      }
      return { status: 404, type: 'text/plain', body: 'no such path\n' };
    };
    answer().then(
      ({ status, type, body }) => response.writeHead(status, { 'content-type': type }).end(body),
      (error: unknown) =>
        response
          .writeHead(500, { 'content-type': 'text/plain' })
          .end(`${error instanceof Error ? error.message : 'failed'}\n`),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  await chmod(path, 0o600);
  return server;
}

function listens(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', (error: NodeJS.ErrnoException) =>
      ['ENOENT', 'ECONNREFUSED'].includes(error.code ?? '') ? resolve(false) : reject(error),
    );
  });
}
