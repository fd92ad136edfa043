import { setTimeout as delay } from 'node:timers/promises';
import { DomainError, type ErrorCode } from '#libs/contracts';
import type { Engine } from '../port.js';

/** Calls with one answer; a stream of events is none. */
export type EngineMethod = Exclude<keyof Engine, 'events'>;

export interface EngineCall {
  /** From 1, over all methods, since the start or the last reset. */
  index: number;
  /** From 1, over calls of this method. */
  nth: number;
  method: EngineMethod;
  args: readonly unknown[];
  /** `pending`, `done`, or the code of the error it ended with. */
  outcome: 'pending' | 'done' | ErrorCode;
}

export interface Fault {
  method: EngineMethod;
  /** Which call of the method, from 1. */
  nth: number;
  code: ErrorCode;
  details?: Record<string, unknown>;
  /** `before`: nothing happened; `after`: it happened, but the caller hears of an error. Default `before`. */
  when?: 'before' | 'after';
}

/** Methods that change something on the engine. */
export const MUTATIONS: readonly EngineMethod[] = [
  'createNetwork',
  'removeNetwork',
  'createVolume',
  'removeVolume',
  'createContainer',
  'putFiles',
  'fillVolumes',
  'startContainer',
  'unpauseContainer',
  'stopContainer',
  'restartContainer',
  'removeContainer',
  'remakeContainer',
  'updateLimits',
  'setRestart',
  'connectNetwork',
  'disconnectNetwork',
  'runOnce',
];

/** Counts, records and spoils calls of the in-memory engine. */
export class CallLog {
  calls: EngineCall[] = [];
  /** True: every call ends with ENGINE_UNREACHABLE, as with a stopped engine. */
  down = false;
  private faults: Fault[] = [];
  private hangs: { method: EngineMethod; nth: number }[] = [];

  /** Real milliseconds a method takes; none by default. */
  constructor(private readonly latencyMs: Partial<Record<EngineMethod, number>> = {}) {}

  /** Forgets calls and faults, so that counting begins at 1 again. */
  reset(): void {
    this.calls = [];
    this.faults = [];
    this.hangs = [];
  }

  failOn(fault: Fault): void {
    this.faults.push(fault);
  }

  /** The call happens never and answers never: only its deadline or its caller ends it. */
  hangOn(method: EngineMethod, nth: number): void {
    this.hangs.push({ method, nth });
  }

  mutations(): EngineCall[] {
    return this.calls.filter(({ method }) => MUTATIONS.includes(method));
  }

  count(method: EngineMethod): number {
    return this.calls.filter((call) => call.method === method).length;
  }

  async around<T>(
    method: EngineMethod,
    args: readonly unknown[],
    signal: AbortSignal,
    work: () => T | Promise<T>,
  ): Promise<T> {
    const call: EngineCall = {
      index: this.calls.length + 1,
      nth: this.count(method) + 1,
      method,
      args,
      outcome: 'pending',
    };
    this.calls.push(call);
    try {
      if (this.down) {
        throw new DomainError('ENGINE_UNREACHABLE', { details: { method, reason: 'the in-memory engine is down' } });
      }
      const spoiled = ({ method: which, nth }: { method: EngineMethod; nth: number }): boolean =>
        which === method && nth === call.nth;
      if (this.hangs.some(spoiled)) {
        await new Promise(() => undefined);
      }
      signal.throwIfAborted();
      const latency = this.latencyMs[method];
      if (latency) {
        await delay(latency, undefined, { signal });
      }
      const fault = this.faults.find(spoiled);
      if (fault && fault.when !== 'after') {
        throw injected(fault);
      }
      const result = await work();
      if (fault) {
        throw injected(fault);
      }
      call.outcome = 'done';
      return result;
    } catch (error) {
      call.outcome = error instanceof DomainError ? error.code : 'INTERNAL';
      throw error;
    }
  }
}

function injected({ code, method, nth, details }: Fault): DomainError {
  return new DomainError(code, { details: { what: method, nth, reason: 'injected', ...details } });
}
