import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  createServer as createHttp,
  type IncomingMessage,
  request as httpRequest,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { waitFor } from '#libs/async';
import { newSigningKey, publicKeyText, signToken } from '#libs/crypto';
import { freePort } from './ports.js';
import { program } from './program.js';

const ROOT = join(import.meta.dirname, '..', '..');

export interface Reply {
  status: number;
  headers: IncomingMessage['headers'];
  body: string;
}

/** One HTTP/1.1 request with exactly these headers; the path is sent as it is written. */
export async function ask(
  port: number,
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: string; host?: string } = {},
): Promise<Reply> {
  const request = httpRequest({
    host: options.host ?? '127.0.0.1',
    port,
    path,
    method: options.method ?? 'GET',
    headers: options.headers ?? {},
    agent: false,
    timeout: 10_000,
  });
  request.on('timeout', () => request.destroy(new Error(`no answer for ${path}`)));
  request.end(options.body);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
  }
  return { status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks).toString('utf8') };
}

export type Handler = (request: IncomingMessage, response: ServerResponse, body: string) => void | Promise<void>;

/** The api's private port as the gate sees it: a real HTTP server whose answers a test chooses. */
export class ApiCounterpart {
  revoked: string[] = [];
  redeem: Handler = (_request, response) => {
    response.writeHead(403).end('{}');
  };
  revocations: Handler = (_request, response) => {
    const at = new Date().toISOString();
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ revoked: this.revoked.map((sid) => ({ sid, at })) }));
  };
  wake: Handler = (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"state":"waking"}');
  };
  begin: Handler = (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"state":"starting","reason":null}');
  };
  readonly woken: unknown[] = [];
  readonly starting: unknown[] = [];
  readonly redeemed: unknown[] = [];
  polls = 0;
  private server: Server | undefined;
  port = 0;

  async start(): Promise<void> {
    this.server = createHttp((request, response) => {
      void this.answer(request, response);
    }).listen(this.port, '127.0.0.1');
    await once(this.server, 'listening');
    this.port = (this.server.address() as AddressInfo).port;
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) {
      chunks.push(chunk);
    }
    const body = Buffer.concat(chunks).toString('utf8');
    const action = `${request.method} ${request.url}`;
    if (action === 'GET /internal/revocations') {
      await this.revocations(request, response, body);
      this.polls += 1;
    } else if (action === 'POST /internal/redeem') {
      this.redeemed.push(JSON.parse(body));
      await this.redeem(request, response, body);
    } else if (action === 'POST /internal/wake') {
      this.woken.push(JSON.parse(body));
      await this.wake(request, response, body);
    } else if (action === 'POST /internal/starting') {
      this.starting.push(JSON.parse(body));
      await this.begin(request, response, body);
    } else {
      response.writeHead(404).end();
    }
  }

  async stop(): Promise<void> {
    const { server } = this;
    this.server = undefined;
    if (server) {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    }
  }
}

export interface SessionOptions {
  tenant: string;
  slug: string;
  sid?: string;
  ttlSeconds?: number;
  now?: Date;
  issuer?: string;
  key?: ReturnType<typeof newSigningKey>;
  claims?: Record<string, unknown>;
}

/** The gate as a process of its own, from its sources, with keys of its own unless it is another one's twin. */
export class GateProcess {
  readonly signOnKey: ReturnType<typeof newSigningKey>;
  readonly seed: Buffer;
  port = 0;
  log = '';
  private child: ChildProcess | undefined;

  constructor(
    private readonly options: {
      apiPort: number;
      stateDirectory: string;
      tenantDomain: string;
      httpsPort?: number;
      /** As `gate` where left out. */
      name?: string;
      /** Whose keys it has. */
      twinOf?: GateProcess;
    },
  ) {
    this.signOnKey = options.twinOf?.signOnKey ?? newSigningKey();
    this.seed = options.twinOf?.seed ?? randomBytes(32);
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    this.port ||= await freePort();
    const child = spawn(process.execPath, program('apps/gate/src/main.ts'), {
      cwd: ROOT,
      env: {
        PATH: process.env['PATH'],
        AVIARY_ENV: 'test',
        AVIARY_PLATFORM_ID: '0193a1f0-0000-7000-8000-0000000000aa',
        AVIARY_PORTAL_DOMAIN: 'portal.test',
        AVIARY_TENANT_DOMAIN: this.options.tenantDomain,
        AVIARY_HTTPS_PORT: String(this.options.httpsPort ?? 443),
        AVIARY_GATE_PORT: String(this.port),
        AVIARY_GATE_HOST: '127.0.0.1',
        AVIARY_GATE_SEED: this.seed.toString('base64'),
        AVIARY_SIGN_ON_PUBLIC_KEY: publicKeyText(this.signOnKey),
        AVIARY_API_PRIVATE_URLS: `http://127.0.0.1:${this.options.apiPort}`,
        AVIARY_GATE_STATE_DIR: this.options.stateDirectory,
        AVIARY_GATE_NAME: this.options.name ?? '',
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child = child;
    const keep = (chunk: Buffer): void => {
      this.log += chunk.toString('utf8');
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    await waitFor(
      async () => {
        if (child.exitCode !== null) {
          throw new Error(`the gate ended: ${this.log}`);
        }
        return (await ask(this.port, '/healthz')).status === 200 ? true : undefined;
      },
      { what: 'the gate to answer', deadlineMs: 15_000 },
    );
  }

  /** Resolves with its exit code, or the signal's name, once the log is whole. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | string | null> {
    const { child } = this;
    this.child = undefined;
    if (!child || child.exitCode !== null) {
      return child?.exitCode ?? null;
    }
    child.kill(signal);
    const [code, by] = (await once(child, 'close')) as [number | null, string | null];
    return code ?? by;
  }

  /** A session token as the portal would sign it. */
  async session(options: SessionOptions): Promise<string> {
    return signToken(
      options.key ?? this.signOnKey,
      {
        sub: '0193a1f0-0000-7000-8000-00000000000a',
        sid: options.sid ?? '0193a1f0-0000-7000-8000-00000000000b',
        slug: options.slug,
        name: 'ana',
        role: 'owner',
        ...options.claims,
      },
      {
        issuer: options.issuer ?? 'aviary-portal',
        audience: options.tenant,
        ttlSeconds: options.ttlSeconds ?? 3600,
        ...(options.now ? { now: options.now } : {}),
      },
    );
  }
}
