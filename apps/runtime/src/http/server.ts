import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  DomainError,
  isDomainError,
  RUNTIME_API_PREFIX,
  type Activity,
  type HoldAnswer,
  type Ready,
  type Resumption,
  STORE_TEXT,
  type StoreCode,
} from '#libs/contracts';
import type { Logger } from '#libs/telemetry';
import { StoresAway } from '../stack/stores-away.js';
import type { Authenticator } from '../access/authenticator.js';
import { SAFE_HEADERS, sendError, sendJson } from './answers.js';
import { checkAccess, findRoute, type Route } from './router.js';
import { acceptsBrotli, type StaticFiles } from './static-files.js';

/** What answers once the stack is open. */
export interface Site {
  authenticator: Authenticator;
  routes: readonly Route[];
  files: StaticFiles;
  /** Writes and reads both stores; throws while one does not answer. */
  ready: () => Promise<Ready>;
  /** What would stop with the stack, for the platform alone; throws UNAUTHENTICATED for anybody else. */
  activity: (authorization: string | undefined) => Promise<Activity>;
  /** Whether the bots resumed and the books agree; refuses as `activity` does. */
  resumption: (authorization: string | undefined) => Promise<Resumption>;
  /** Takes back orders, or lets the bots go on; refuses as `activity` does. */
  hold: (authorization: string | undefined) => Promise<HoldAnswer>;
}

/** Why the stack is not ready, in words for everybody who asks. */
export interface NotReady {
  code: 'UNAVAILABLE' | 'DATA_MISSING' | StoreCode;
  message: string;
}

/** `site` while the stack is open, else why it is not. */
export type Stage = { site: Site } | ({ site: null } & NotReady);

/** Encoded separators and NUL: the edge refuses them; whoever comes past it gets no further here. */
const HIDDEN_SEPARATOR = /%2f|%5c|%00|\\/i;

/** Listens from the first moment, so that /ready can say what is missing. */
export class HttpServer {
  private readonly server: Server;
  /** The reason told last; empty while both stores answer. */
  private notReady = '';
  stage: Stage = { site: null, code: 'UNAVAILABLE', message: 'The stack is starting.' };

  constructor(private readonly logger: Logger) {
    this.server = createServer((request, response) => {
      this.handle(request, response).catch((error: unknown) => sendError(response, error, this.logger));
    });
    // Whole requests are small; slow senders would otherwise hold connections for minutes.
    this.server.requestTimeout = 15_000;
    this.server.headersTimeout = 10_000;
    // Longer than the proxy keeps an idle connection (Traefik: 90 s), else it would reuse one that is just closing.
    this.server.keepAliveTimeout = 100_000;
  }

  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(port, host, () => resolve((this.server.address() as AddressInfo).port));
    });
  }

  private async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    for (const [name, value] of Object.entries(SAFE_HEADERS)) {
      response.setHeader(name, value);
    }
    const url = urlOf(request);
    if (url.pathname === '/ready') {
      await this.ready(response);
      return;
    }
    if (!this.stage.site) {
      const { code, message } = this.stage;
      throw new DomainError(code === 'DATA_MISSING' ? code : 'UNAVAILABLE', { message });
    }
    if (url.pathname === '/activity' && request.method === 'GET') {
      sendJson(response, 200, await this.stage.site.activity(request.headers.authorization));
      return;
    }
    if (url.pathname === '/resumption' && request.method === 'GET') {
      sendJson(response, 200, await this.stage.site.resumption(request.headers.authorization));
      return;
    }
    if (url.pathname === '/hold' && request.method === 'POST') {
      sendJson(response, 200, await this.stage.site.hold(request.headers.authorization));
      return;
    }
    await answer(this.stage.site, { request, response, url });
  }

  private async ready(response: ServerResponse): Promise<void> {
    const { stage } = this;
    if (!stage.site) {
      sendJson(response, 503, { ready: false, code: stage.code, message: stage.message });
      return;
    }
    try {
      sendJson(response, 200, await stage.site.ready());
      this.notReady = '';
    } catch (error) {
      // Anybody may ask, as often as they like: they learn no more than this, and each reason is logged once.
      const reason = error instanceof Error ? error.message : String(error);
      if (this.notReady !== reason) {
        this.notReady = reason;
        this.logger.error({ err: error }, 'not ready');
      }
      sendJson(response, 503, { ready: false, ...notReady(error) });
    }
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.server.close(() => resolve());
      this.server.closeAllConnections();
    });
  }
}

/** By its code the portal tells a person; a database that is not the stack's own is said here as at the start. */
function notReady(error: unknown): NotReady {
  if (isDomainError(error, 'DATA_MISSING')) {
    return { code: 'DATA_MISSING', message: error.message };
  }
  return error instanceof StoresAway
    ? { code: error.code, message: STORE_TEXT[error.code] }
    : { code: 'UNAVAILABLE', message: 'The stack cannot tell whether it is ready.' };
}

function urlOf(request: IncomingMessage): URL {
  const raw = request.url ?? '/';
  if (!raw.startsWith('/') || HIDDEN_SEPARATOR.test(raw.split('?', 1)[0] ?? '')) {
    throw new DomainError('NOT_FOUND');
  }
  try {
    // Beginning with two slashes, the path would be read as a host.
    const url = new URL(raw.replace(/^\/+/, '/'), 'http://runtime');
    decodeURIComponent(url.pathname);
    return url;
  } catch (cause) {
    throw new DomainError('NOT_FOUND', { cause });
  }
}

async function answer(
  { authenticator, routes, files }: Site,
  { request, response, url }: { request: IncomingMessage; response: ServerResponse; url: URL },
): Promise<void> {
  const caller = await authenticator.authenticate(request, url.pathname);
  const method = request.method ?? 'GET';
  if (url.pathname.startsWith('/api/')) {
    if (!url.pathname.startsWith(`${RUNTIME_API_PREFIX}/`)) {
      throw new DomainError('NOT_FOUND');
    }
    const { route, params } = findRoute(routes, method, url.pathname);
    checkAccess(route, caller);
    const sent = await route.handle({ request, response, url, params, caller });
    if (sent) {
      sendAnswer(response, sent);
    }
    return;
  }
  if (method !== 'GET' && method !== 'HEAD') {
    throw new DomainError('NOT_FOUND');
  }
  await files.send(response, decodeURIComponent(url.pathname), {
    head: method === 'HEAD',
    brotli: acceptsBrotli(request.headers['accept-encoding']),
  });
}

function sendAnswer(response: ServerResponse, sent: { status: number; body?: unknown }): void {
  if (sent.body === undefined) {
    response.writeHead(sent.status);
    response.end();
    return;
  }
  sendJson(response, sent.status, sent.body);
}
