import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import { parse } from 'yaml';
import { waitFor } from '#libs/async';
import { SERVED_FILE } from '#libs/edge';
import { ask, type Reply } from './gate-process.js';
import { freePort } from './ports.js';

const ROOT = join(import.meta.dirname, '..', '..');
const CACHE = process.env['AVIARY_GO_TOOLS_CACHE'] ?? '/var/cache/aviary/go-tools';

/** The program out of the platform's own Traefik image, kept beside the other tools of the tests. */
export function traefikBinary(): string {
  const given = process.env['AVIARY_TEST_TRAEFIK'];
  if (given) {
    return given;
  }
  const images = (...args: string[]): string => execFileSync(join(ROOT, 'scripts/images'), args, { encoding: 'utf8' });
  // Under scripts/test the engine that has the image is a test's own; elsewhere the image is named first and only made
  // where the program was not taken out of it before.
  const made = process.env['AVIARY_IMAGE_TRAEFIK'];
  const reference = made ?? images('--list', 'traefik').trim().split(' ')[1] ?? '';
  const socket = made && process.env['AVIARY_TEST_DOCKER'];
  const docker = (...args: string[]): string =>
    execFileSync('docker', [...(socket ? ['-H', socket] : []), ...args], { encoding: 'utf8' }).trim();
  const path = join(CACHE, `traefik-${reference.replace(/^.*:/, '')}`);
  if (!existsSync(path)) {
    mkdirSync(CACHE, { recursive: true });
    if (!made) {
      images('traefik');
    }
    const container = docker('create', reference);
    try {
      docker('cp', `${container}:/usr/local/bin/traefik`, `${path}.part`);
    } finally {
      docker('rm', container);
    }
    renameSync(`${path}.part`, path);
  }
  return path;
}

/** What the platform's own Traefik is given beside its static configuration. */
function ownEnvironment(): Record<string, string> {
  const compose = parse(readFileSync(join(ROOT, 'docker-compose.portal.yml'), 'utf8'), { merge: true }) as {
    services: { traefik: { environment: Record<string, string> } };
  };
  return compose.services.traefik.environment;
}

/** Traefik with the platform's own static configuration, on free ports and folders of a test. */
export class TraefikProcess {
  httpPort = 0;
  httpsPort = 0;
  /** Loopback: ping, metrics, and what it says it serves. */
  adminPort = 0;
  private child: ChildProcess | undefined;
  log = '';

  constructor(
    private readonly options: {
      binary: string;
      directory: string;
      routes: string;
      /** Changes the static configuration, for tests that show what happens without a part of it. */
      change?: (text: string) => string;
    },
  ) {}

  async choosePorts(): Promise<void> {
    this.httpPort = await freePort();
    this.httpsPort = await freePort();
    this.adminPort = await freePort();
  }

  async start(): Promise<void> {
    const { binary, directory, routes, change = (text) => text } = this.options;
    const values: Record<string, string> = {
      HTTP_PORT: String(this.httpPort),
      HTTPS_PORT: String(this.httpsPort),
      PROXY_PORT: String(this.adminPort),
    };
    const text = readFileSync(join(ROOT, 'traefik/traefik.yml'), 'utf8')
      .replace(/\$\{([A-Z_]+)\}/g, (whole, name: string) => values[name] ?? whole)
      .replace('filename: /routes/', `filename: ${routes}/`);
    // As `up` leaves it for the agent.
    if (!existsSync(join(routes, SERVED_FILE))) {
      writeFileSync(join(routes, SERVED_FILE), '{}\n');
    }
    const file = join(directory, 'traefik.yml');
    writeFileSync(file, change(text));
    const child = spawn(binary, [`--configFile=${file}`], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...ownEnvironment() },
    });
    this.child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        this.log += chunk.toString('utf8');
      });
    }
    await waitFor(
      async () => {
        if (child.exitCode !== null) {
          throw new Error(`Traefik ended: ${this.log}`);
        }
        return (await ask(this.adminPort, '/ping')).status === 200 ? true : undefined;
      },
      { what: 'Traefik to answer its ping', deadlineMs: 20_000 },
    );
  }

  /** Stops it where it stands: connections are taken and nothing is answered. */
  pause(): void {
    this.child?.kill('SIGSTOP');
  }

  async stop(): Promise<void> {
    const { child } = this;
    this.child = undefined;
    if (child && child.exitCode === null) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
  }

  /** One request over TLS with exactly this path and these headers, the server's certificate checked against `ca`. */
  async get(
    host: string,
    path: string,
    options: { ca: string; method?: string; headers?: Record<string, string | string[]> },
  ): Promise<Reply> {
    const request = httpsRequest({
      host: '127.0.0.1',
      port: this.httpsPort,
      servername: host,
      path,
      method: options.method ?? 'GET',
      headers: { host, ...options.headers },
      ca: options.ca,
      agent: false,
      timeout: 10_000,
    });
    request.on('timeout', () => request.destroy(new Error(`no answer for ${host}${path}`)));
    request.end();
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    const chunks: Buffer[] = [];
    for await (const chunk of response as AsyncIterable<Buffer>) {
      chunks.push(chunk);
    }
    return {
      status: response.statusCode ?? 0,
      headers: response.headers,
      body: Buffer.concat(chunks).toString('utf8'),
    };
  }
}
