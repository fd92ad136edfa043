import type { Engine } from '#libs/engine';

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
  'stopContainer',
  'removeContainer',
  'updateLimits',
  'setRestart',
  'connectNetwork',
  'disconnectNetwork',
  'runOnce',
] as const satisfies readonly (keyof Engine)[];

/** An engine that asks `allowed` before every change: a worker that lost its lease must do nothing more. */
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
        return Reflect.apply(member, target, args) as unknown;
      };
    },
  });
}
