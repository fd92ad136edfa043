import { once } from 'node:events';
import { chmod, rm } from 'node:fs/promises';
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { connect, type Socket } from 'node:net';
import { pipeline, type Duplex } from 'node:stream';

/** One answered call. */
export interface EngineCall {
  /** Method, path without version and query, names instead of ids: `POST /containers/aviary-…-redis/start`. */
  step: string;
  status: number;
}

/** An executed call whose answer its caller has not got. */
export interface HeldCall {
  step: string;
  /** Gives the answer to the caller, if it still waits for it. */
  release: () => void;
  /** Ends the caller's connection without one, as an engine that dies does. */
  drop: () => void;
}

interface Trap {
  matches: (step: string) => boolean;
  sprung: (held: HeldCall) => void;
}

/** Calls whose answers are small documents: they are read for names, and only they can be held back. */
const DOCUMENT = /^(POST \/(containers|networks|volumes)\/create|GET \/(containers\/[^/]+\/json|networks\/[^/]+))$/;
const CHANGE = /^(POST|PUT|DELETE) /;
/** What engines collapse under when there are many at once. */
const START = /^POST \/containers\/(create|[^/]+\/start)$/;

/**
 * A second socket of the real engine. Everything passes unchanged; a test sees which calls were made and how they
 * ended, and can keep back the answer of one that was executed, which is where a caller's death hurts most.
 */
export class EngineDoor {
  readonly calls: EngineCall[] = [];
  /** Most creates and starts of containers under way at once, since a test set it to 0. */
  mostStarts = 0;
  private starts = 0;
  private readonly names = new Map<string, string>();
  private readonly sockets = new Set<Duplex>();
  private readonly server: Server;
  private trap: Trap | undefined;

  private constructor(
    readonly path: string,
    private readonly engine: string,
  ) {
    this.server = createServer((incoming, answer) => {
      this.pass(incoming, answer).catch(() => answer.destroy());
    });
    // As the engine: it ends no idle connection, and a body may take its time.
    Object.assign(this.server, { keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0 });
    this.server.on('upgrade', (incoming: IncomingMessage, client: Duplex, head: Buffer) => {
      this.tunnel(incoming, client, head);
    });
    this.server.on('connection', (socket: Socket) => this.keep(socket));
  }

  /** Listens at `path` for whoever may use the engine's socket `engine`. */
  static async open(path: string, engine: string): Promise<EngineDoor> {
    const door = new EngineDoor(path, engine);
    door.server.listen(path);
    await once(door.server, 'listening');
    await chmod(path, 0o660);
    return door;
  }

  async close(): Promise<void> {
    this.server.close();
    this.sockets.forEach((socket) => socket.destroy());
    await rm(this.path, { force: true });
  }

  /** Every connection ends in the middle of whatever it carries, as when the engine's end hangs up; new ones are let in. */
  cut(): void {
    this.sockets.forEach((socket) => socket.destroy());
  }

  /** The first successful change that matches is executed and its answer kept back. Resolves once the engine has answered. */
  holdAnswer(matches: (step: string) => boolean): Promise<HeldCall> {
    return new Promise((resolve) => {
      this.trap = { matches, sprung: resolve };
    });
  }

  /** What no call was met for is waited for no more. */
  holdNothing(): void {
    this.trap = undefined;
  }

  private keep(socket: Duplex): void {
    this.sockets.add(socket);
    socket.once('close', () => this.sockets.delete(socket));
  }

  private async pass(incoming: IncomingMessage, answer: ServerResponse): Promise<void> {
    const body = await whole(incoming);
    const { method = 'GET', url = '/' } = incoming;
    const { pathname, searchParams } = new URL(url, 'http://engine');
    const path = pathname.replace(/^\/v1\.\d+/, '');
    const created = path.endsWith('/create') ? nameIn(searchParams.get('name'), body) : '';
    const step = `${method} ${this.named(path)}${created === '' ? '' : ` ${created}`}`;
    const outgoing = httpRequest({
      socketPath: this.engine,
      method,
      path: url,
      headers: incoming.headers,
      agent: false,
    });
    answer.once('close', () => outgoing.destroy());
    const starts = START.test(`${method} ${path}`) ? 1 : 0;
    this.starts += starts;
    this.mostStarts = Math.max(this.mostStarts, this.starts);
    outgoing.end(body);
    const [reply] = (await once(outgoing, 'response').finally(() => {
      this.starts -= starts;
    })) as [IncomingMessage];
    const status = reply.statusCode ?? 0;
    const trap = CHANGE.test(step) && status < 300 && this.trap?.matches(step) ? this.trap : undefined;
    if (!trap && !DOCUMENT.test(`${method} ${path}`)) {
      this.calls.push({ step, status });
      answer.writeHead(status, reply.headers);
      // A wait answers at once and says its result much later.
      answer.flushHeaders();
      // An engine that dies in the middle of a stream ends it for whoever reads it, too.
      pipeline(reply, answer, () => undefined);
      return;
    }
    const document = await whole(reply);
    this.learn(document, created);
    this.calls.push({ step, status });
    const release = (): void => {
      answer.writeHead(status, reply.headers);
      answer.end(document);
    };
    if (trap) {
      this.trap = undefined;
      trap.sprung({ step, release, drop: () => void answer.destroy() });
    } else {
      release();
    }
  }

  /** An upgraded connection (a helper's stdin) is passed byte by byte. */
  private tunnel(incoming: IncomingMessage, client: Duplex, head: Buffer): void {
    const engine = connect(this.engine);
    this.keep(engine);
    const headers: string[] = [];
    for (let i = 0; i < incoming.rawHeaders.length; i += 2) {
      headers.push(`${incoming.rawHeaders[i]}: ${incoming.rawHeaders[i + 1]}`);
    }
    engine.write(`${incoming.method} ${incoming.url} HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`);
    engine.write(head);
    engine.pipe(client).on('error', () => engine.destroy());
    client.pipe(engine).on('error', () => client.destroy());
  }

  private named(path: string): string {
    return path.replaceAll(/[0-9a-f]{64}/g, (id) => this.names.get(id) ?? id);
  }

  private learn(document: Buffer, created: string): void {
    const seen = json(document);
    if (typeof seen?.['Id'] === 'string') {
      const name = created === '' ? seen['Name'] : created;
      if (typeof name === 'string') {
        this.names.set(seen['Id'], name.replace(/^\//, ''));
      }
    }
  }
}

async function whole(stream: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function json(text: Buffer): Record<string, unknown> | undefined {
  try {
    return JSON.parse(text.toString('utf8')) as Record<string, unknown>;
  } catch {
    // Not a document: then it tells no name either.
    return undefined;
  }
}

/** Containers are named in the query, networks and volumes in the body. */
function nameIn(query: string | null, body: Buffer): string {
  const name = query ?? json(body)?.['Name'];
  return typeof name === 'string' ? name : '';
}
