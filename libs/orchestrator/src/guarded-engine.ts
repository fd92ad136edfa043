import type { Bounds } from '#libs/async';
import type { Engine, EngineStreams } from '#libs/engine';
import type { Probes } from './ports.js';

/** Calls that change something; only they are guarded. The compiler refuses a name the port does not have. */
const CHANGES = [
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
] as const satisfies readonly (keyof Engine)[];

/**
 * An engine that asks `allowed` before every change: a worker that lost its lease must do nothing more. A change that
 * has begun is waited for, whoever cancels meanwhile: the engine would finish it all the same, and what it makes after
 * its caller turned away is seen by nobody. Its deadline still holds.
 */
export function guardedEngine(engine: Engine, allowed: () => Promise<void>): Engine {
  const guarded = new Set<PropertyKey>(CHANGES);
  return new Proxy(engine, {
    get(target, name, receiver) {
      const member: unknown = Reflect.get(target, name, receiver);
      if (typeof member !== 'function') {
        return member;
      }
      if (!guarded.has(name)) {
        return member.bind(target) as unknown;
      }
      return async (...args: unknown[]): Promise<unknown> => {
        await allowed();
        const { deadlineMs, signal } = args.at(-1) as Bounds;
        signal?.throwIfAborted();
        return Reflect.apply(member, target, [...args.slice(0, -1), { deadlineMs }]) as unknown;
      };
    },
  });
}

/** Streams that ask `allowed` before those that may change what a stack holds. Their signal ends them all the same. */
export function guardedStreams(streams: EngineStreams, allowed: () => Promise<void>): EngineStreams {
  return {
    exec: async (...order) => {
      await allowed();
      return streams.exec(...order);
    },
    pack: (...look) => streams.pack(...look),
    unpack: async (...order) => {
      await allowed();
      return streams.unpack(...order);
    },
  };
}

/** Probes that ask `allowed` before the one among them that changes what a stack does. */
export function guardedProbes(probes: Probes, allowed: () => Promise<void>): Probes {
  return {
    ready: (...look) => probes.ready(...look),
    served: (...look) => probes.served(...look),
    activity: (...question) => probes.activity(...question),
    resumption: (...question) => probes.resumption(...question),
    hold: async (...order) => {
      await allowed();
      return probes.hold(...order);
    },
  };
}
