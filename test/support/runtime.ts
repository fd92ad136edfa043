import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes, randomUUID, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { get as httpGet, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { waitFor } from '#libs/async';
import { IDENTITY_HEADER, SPEC_FILES, type StackSpec, type StreamEvent } from '#libs/contracts';
import { newSigningKey, publicKeyText, randomBase32, signToken } from '#libs/crypto';
import { freePort } from './ports.js';
import { program } from './program.js';

const ROOT = join(__dirname, '..', '..');

/** A real Redis on loopback, from the distribution's package redis-server. */
export class TestRedis {
  readonly password = randomBytes(12).toString('hex');
  private readonly home = mkdtempSync(join(tmpdir(), 'aviary-redis-'));
  private child: ChildProcess | undefined;
  port = 0;

  async start(): Promise<this> {
    this.port ||= await freePort();
    const settings = ['--port', String(this.port), '--bind', '127.0.0.1', '--requirepass', this.password];
    const child = spawn('redis-server', [...settings, '--save', '', '--dir', this.home], { stdio: 'ignore' });
    this.child = child;
    await once(child, 'spawn');
    await waitFor(
      async () => {
        const socket = connect(this.port, '127.0.0.1');
        try {
          await once(socket, 'connect');
          return true;
        } finally {
          socket.destroy();
        }
      },
      { what: 'redis', deadlineMs: 10_000 },
    );
    return this;
  }

  /** Its connections stand, and nothing is answered, until `resume`. */
  pause(): void {
    this.child?.kill('SIGSTOP');
  }

  resume(): void {
    this.child?.kill('SIGCONT');
  }

  async stop(): Promise<void> {
    if (this.child?.exitCode === null) {
      const gone = once(this.child, 'exit');
      this.child.kill('SIGKILL');
      await gone;
    }
  }

  async close(): Promise<void> {
    await this.stop();
    rmSync(this.home, { recursive: true, force: true });
  }
}

export interface DatabaseAddress {
  host: string;
  port: number;
  user: string;
  password: string;
  database: string;
}

/** An empty database on the server of the test run. */
export async function emptyDatabase(server = process.env['AVIARY_TEST_POSTGRES'] ?? ''): Promise<DatabaseAddress> {
  const url = new URL(server);
  const database = `stack_${randomBytes(6).toString('hex')}`;
  const client = new pg.Client({ connectionString: server });
  await client.connect();
  await client.query(`create database ${database}`);
  await client.end();
  return {
    host: url.hostname,
    port: Number(url.port),
    user: url.username,
    password: decodeURIComponent(url.password),
    database,
  };
}

export interface StackOptions {
  redis: TestRedis;
  database?: DatabaseAddress;
  portalUrl?: string;
  dashboardUrl?: string;
  portalCa?: string;
  bots?: number;
}

/** The files of a stack's secret volume, its database, and the keys of those it talks to. */
export class TestStack {
  readonly directory = mkdtempSync(join(tmpdir(), 'aviary-stack-'));
  readonly gateKey: KeyObject = newSigningKey();
  readonly stackKey: KeyObject = newSigningKey();
  spec: StackSpec;
  private readonly children = new Set<RuntimeProcess>();

  private constructor(
    readonly database: DatabaseAddress,
    private readonly options: StackOptions,
  ) {
    this.spec = {
      version: 1,
      platform: randomUUID(),
      tenant: randomUUID(),
      slug: `u${randomBase32(6)}`,
      generation: 1,
      provisioningGeneration: 1,
      clonedFrom: null,
      tradingHeldSince: null,
      tradesAfter: null,
      release: '0.1.0',
      image: 'sha256:first',
      dashboardUrl: options.dashboardUrl ?? 'https://localhost:1',
      portalUrl: options.portalUrl ?? 'https://localhost:1',
      limits: { cpus: 1, memoryMb: 512, diskGb: 1, pids: 256, bots: options.bots ?? 5 },
      gatePublicKey: publicKeyText(this.gateKey),
      database: { host: database.host, port: database.port, user: database.user, database: database.database },
      redis: { host: '127.0.0.1', port: options.redis.port },
    };
    this.write();
  }

  static async create(options: StackOptions): Promise<TestStack> {
    return new TestStack(options.database ?? (await emptyDatabase()), options);
  }

  write(change: Partial<StackSpec> = {}): void {
    this.spec = { ...this.spec, ...change };
    const file = (name: string, content: string): void => writeFileSync(join(this.directory, name), content);
    file(SPEC_FILES.spec, JSON.stringify(this.spec));
    file(SPEC_FILES.databasePassword, this.database.password);
    file(SPEC_FILES.redisPassword, this.options.redis.password);
    file(SPEC_FILES.stackKey, this.stackKey.export({ format: 'pem', type: 'pkcs8' }) as string);
    file(SPEC_FILES.portalCa, this.options.portalCa ?? '');
  }

  /** Runs the runtime; it need not be ready yet. */
  async start(options: RuntimeOptions = {}): Promise<RuntimeProcess> {
    const runtime = new RuntimeProcess(this, options);
    this.children.add(runtime);
    await runtime.listening();
    return runtime;
  }

  async startReady(options?: RuntimeOptions): Promise<RuntimeProcess> {
    const runtime = await this.start(options);
    await runtime.ready();
    return runtime;
  }

  /** Makes the schema, sets the speed of the simulated market, and leaves the stack stopped. */
  async provision(speed: { tickMs: number; partialChance?: number; seed?: number }): Promise<void> {
    const runtime = await this.startReady();
    await runtime.stop();
    await this.sql(`update settings set value = value || $1 where key = 'price_source'`, [
      { partialChance: 0.2, ...speed },
    ]);
  }

  async sql<T = Record<string, unknown>>(statement: string, values: unknown[] = []): Promise<T[]> {
    const client = new pg.Client(this.database);
    await client.connect();
    try {
      return (await client.query(statement, values)).rows as T[];
    } finally {
      await client.end();
    }
  }

  /** The header the gate adds for a signed-in person. */
  async identity(
    change: { sid?: string; key?: KeyObject; audience?: string; role?: string; ttl?: number; host?: string } = {},
  ) {
    const claims = {
      sub: randomUUID(),
      sid: change.sid ?? randomUUID(),
      slug: this.spec.slug,
      name: 'ana',
      role: change.role ?? 'owner',
      ...(change.host === undefined ? {} : { host: change.host }),
    };
    const token = await signToken(change.key ?? this.gateKey, claims, {
      issuer: 'aviary-gate',
      audience: change.audience ?? this.spec.tenant,
      ttlSeconds: change.ttl ?? 60,
    });
    return { [IDENTITY_HEADER]: token };
  }

  async close(): Promise<void> {
    for (const child of this.children) {
      await child.kill();
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export interface Answer<T = unknown> {
  status: number;
  headers: Headers;
  body: T;
}

export interface RuntimeOptions {
  /** The folder of the built dashboard. */
  dashboard?: string;
  /** A resolv.conf of its own, in a mount namespace of its own (needs root). */
  resolvConf?: string;
}

/** The runtime as it runs in production, in a process of its own. */
export class RuntimeProcess {
  readonly logs: Record<string, unknown>[] = [];
  private readonly child: ChildProcess;
  private port = 0;

  constructor(
    private readonly stack: TestStack,
    { dashboard = '/nonexistent', resolvConf }: RuntimeOptions,
  ) {
    const options = ['--directory', stack.directory, '--dashboard', dashboard, '--host', '127.0.0.1', '--port', '0'];
    const node = [process.execPath, '--no-warnings', ...program('apps/runtime/src/main.ts')];
    const [command = '', ...words] = [
      ...(resolvConf === undefined ? [] : withResolver(resolvConf)),
      ...node,
      ...options,
    ];
    this.child = spawn(command, words, {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env['PATH'] },
    });
    let rest = '';
    const take = (chunk: Buffer): void => {
      const lines = (rest + chunk.toString('utf8')).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines.filter((text) => text !== '')) {
        this.logs.push(line.startsWith('{') ? (JSON.parse(line) as Record<string, unknown>) : { raw: line });
      }
    };
    this.child.stdout?.on('data', take);
    this.child.stderr?.on('data', take);
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  async listening(): Promise<void> {
    this.port = await waitFor(
      () => {
        if (this.child.exitCode !== null) {
          return -1;
        }
        return this.logs.find(({ msg }) => msg === 'listening')?.['port'] as number | undefined;
      },
      { what: 'the runtime to listen', deadlineMs: 30_000 },
    );
    if (this.port < 0) {
      throw new Error(`the runtime ended: ${JSON.stringify(this.logs)}`);
    }
  }

  async ready(): Promise<void> {
    await waitFor(async () => ((await fetch(`${this.origin}/ready`)).status === 200 ? true : undefined), {
      what: `ready (${JSON.stringify(this.logs)})`,
      deadlineMs: 20_000,
    });
  }

  /** Once every bot has looked at what the exchange did meanwhile; until then a comparison compares nothing. */
  async recovered(): Promise<void> {
    await waitFor(() => this.logs.some(({ msg }) => msg === 'bots are recovered') || undefined, {
      what: `recovery (${JSON.stringify(this.logs)})`,
      deadlineMs: 20_000,
    });
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async request<T = unknown>(
    method: string,
    path: string,
    options: { body?: unknown; raw?: string; headers?: Record<string, string>; anonymous?: boolean } = {},
  ): Promise<Answer<T>> {
    const identity = options.anonymous ? {} : await this.stack.identity();
    const payload = options.raw ?? (options.body === undefined ? undefined : JSON.stringify(options.body));
    const response = await fetch(this.origin + path, {
      method,
      signal: AbortSignal.timeout(15_000),
      headers: {
        ...identity,
        ...(payload === undefined ? {} : { 'content-type': 'application/json' }),
        ...options.headers,
      },
      ...(payload === undefined ? {} : { body: payload }),
    });
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.startsWith('application/json');
    return { status: response.status, headers: response.headers, body: (isJson ? JSON.parse(text) : text) as T };
  }

  /** The body of an answer that must be a success. */
  async call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const answer = await this.request<T>(method, `/api/v1${path}`, body === undefined ? {} : { body });
    if (answer.status > 299) {
      throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    }
    return answer.body;
  }

  async stream(headers: Record<string, string>): Promise<EventStream> {
    const request = httpGet(`${this.origin}/api/v1/stream`, { headers, agent: false });
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    if (response.statusCode !== 200) {
      throw new Error(`stream: ${response.statusCode ?? 0}`);
    }
    return new EventStream(response);
  }

  async stop(): Promise<number | null> {
    return this.end('SIGTERM');
  }

  async kill(): Promise<void> {
    await this.end('SIGKILL');
  }

  private async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const gone = once(this.child, 'exit');
      this.child.kill(signal);
      await gone;
    }
    return this.child.exitCode;
  }
}

/** Begins a command line: what follows sees that file as its resolv.conf (needs root). */
export function withResolver(file: string): string[] {
  return ['unshare', '--mount', 'sh', '-c', 'mount --bind "$0" /etc/resolv.conf && exec "$@"', file];
}

export type Received = StreamEvent & { id: string };

export class EventStream {
  readonly events: Received[] = [];
  ended = false;

  constructor(private readonly response: IncomingMessage) {
    let rest = '';
    response.on('data', (chunk: Buffer) => {
      const blocks = (rest + chunk.toString('utf8')).split('\n\n');
      rest = blocks.pop() ?? '';
      for (const block of blocks) {
        const field = (name: string): string | undefined => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1];
        const type = field('event');
        if (type !== undefined) {
          this.events.push({ type, id: field('id'), data: JSON.parse(field('data') ?? '') as unknown } as Received);
        }
      }
    });
    const end = (): void => {
      this.ended = true;
    };
    response.on('end', end).on('close', end).on('error', end);
  }

  of<T extends Received['type']>(type: T): Extract<Received, { type: T }>[] {
    return this.events.filter((event): event is Extract<Received, { type: T }> => event.type === type);
  }

  close(): void {
    this.response.destroy();
  }
}
