import { createServer, type Server, type Socket } from 'node:net';
import { DomainError, isDomainError } from '#libs/contracts';
import type { Bounds } from '#libs/async';
import type { Engine } from '../port.js';
import { MUTATIONS, type EngineMethod } from './call-log.js';
import { receive, send, type Request, type Response } from './socket-protocol.js';

type Call = Extract<Request, { method: EngineMethod }>;
type AnyMethod = (...args: unknown[]) => Promise<unknown>;

interface Ambush {
  call: number;
  of: 'all' | 'mutations' | EngineMethod;
  /** Calls of that method since the ambush was laid. */
  seen: number;
  end: 'hold' | 'cut';
  sprung: (method: EngineMethod) => void;
}

/**
 * Lends an engine to other processes over a unix socket. The engine lives here, so it outlives a caller that is killed;
 * a call that began is finished, as a real engine does, whether or not anybody still listens.
 */
export class FakeEngineServer {
  /** Calls that arrived since the start or the last reset, and those of them that change something. */
  calls = 0;
  mutations = 0;
  private ambush: Ambush | undefined;
  private held: (() => void)[] = [];
  private readonly sockets = new Set<Socket>();
  private readonly closing = new AbortController();

  private constructor(
    private readonly engine: Engine,
    private readonly server: Server,
  ) {}

  static async listen(engine: Engine, path: string): Promise<FakeEngineServer> {
    const server = createServer();
    const lent = new FakeEngineServer(engine, server);
    server.on('connection', (socket) => lent.serve(socket));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, resolve);
    });
    return lent;
  }

  resetCounts(): void {
    this.calls = 0;
    this.mutations = 0;
    this.ambush = undefined;
  }

  /**
   * Call number `call` (from 1) is executed, but not answered before `releaseHeld`: resolves with its method at that
   * moment, for the test to kill or pause the caller. Later calls are served as usual. With a method, only calls of it from now on count.
   */
  async holdAfter(call: number, of: Ambush['of'] = 'all'): Promise<EngineMethod> {
    return await this.lieInWait(call, of, 'hold');
  }

  /** Answers what was held back, to callers that are still there. */
  releaseHeld(): void {
    this.held.splice(0).forEach((answer) => answer());
  }

  /** Call number `call` is executed, then the connection is cut: the caller hears that the engine is unreachable. */
  async cutAfter(call: number, of: Ambush['of'] = 'all'): Promise<EngineMethod> {
    return await this.lieInWait(call, of, 'cut');
  }

  async close(): Promise<void> {
    this.closing.abort(new DomainError('OPERATION_CANCELLED', { message: 'The test took its engine away.' }));
    for (const socket of this.sockets) {
      socket.destroy();
    }
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  private async lieInWait(call: number, of: Ambush['of'], end: Ambush['end']): Promise<EngineMethod> {
    return await new Promise((sprung) => {
      this.ambush = { call, of, seen: 0, end, sprung };
    });
  }

  private serve(socket: Socket): void {
    this.sockets.add(socket);
    const running = new Map<number, AbortController>();
    socket.on('close', () => this.sockets.delete(socket));
    // a killed caller: what it began goes on, the answers find nobody
    socket.on('error', () => socket.destroy());
    receive<Request>(socket, (request) => {
      if ('abort' in request) {
        running.get(request.id)?.abort();
        return;
      }
      const control = new AbortController();
      running.set(request.id, control);
      if ('follow' in request) {
        socket.once('close', () => control.abort());
        void this.tell(socket, request, AbortSignal.any([control.signal, this.closing.signal]));
        return;
      }
      void this.answer(socket, request, control).finally(() => running.delete(request.id));
    });
  }

  /** Events are no calls: whoever counts those need not know whether anybody follows. */
  private async tell(
    socket: Socket,
    { id, follow }: Extract<Request, { follow: unknown }>,
    signal: AbortSignal,
  ): Promise<void> {
    for await (const event of this.engine.events(follow, signal)) {
      if (!socket.writable) {
        return;
      }
      send(socket, { id, ok: true, event });
    }
  }

  /** Which number the call has among those the ambush counts; 0 for one it does not. */
  private numberFor(ambush: Ambush, method: EngineMethod, mutates: boolean): number {
    if (ambush.of === 'all') {
      return this.calls;
    }
    if (ambush.of === 'mutations') {
      return mutates ? this.mutations : 0;
    }
    ambush.seen += ambush.of === method ? 1 : 0;
    return ambush.of === method ? ambush.seen : 0;
  }

  private async answer(socket: Socket, request: Call, control: AbortController): Promise<void> {
    this.calls += 1;
    const mutates = MUTATIONS.includes(request.method);
    this.mutations += mutates ? 1 : 0;
    const { ambush } = this;
    const mine = ambush !== undefined && this.numberFor(ambush, request.method, mutates) === ambush.call;
    const response = await this.execute(request, AbortSignal.any([control.signal, this.closing.signal]));
    if (mine) {
      this.ambush = undefined;
      ambush.sprung(request.method);
      if (ambush.end === 'cut') {
        socket.destroy();
      } else {
        this.held.push(() => socket.writable && send(socket, response));
      }
    } else if (socket.writable) {
      send(socket, response);
    }
  }

  private async execute({ id, method, args, deadlineMs }: Call, signal: AbortSignal): Promise<Response> {
    const bounds: Bounds = { deadlineMs, signal };
    try {
      const call = this.engine[method].bind(this.engine) as AnyMethod;
      return { id, ok: true, value: await call(...args, bounds) };
    } catch (error) {
      const known = isDomainError(error) ? error : new DomainError('INTERNAL', { message: String(error) });
      return { id, ok: false, code: known.code, message: known.message, details: known.details };
    }
  }
}
