import type { AdmitStream, Engine, FakeStreamsServer } from '#libs/engine';
import type { Door } from './door.js';

type AnyCall = (...args: unknown[]) => Promise<unknown>;

/** Ends what runs in a container, as its stop or removal does. */
type Ended = FakeStreamsServer['ended'];

/** An engine whose calls pass the door where they name that stack. */
export function engineAtDoor(engine: Engine, door: Door, stack: Names, ended: Ended): Engine {
  return new Proxy(engine, {
    get(target, name, receiver): unknown {
      const member: unknown = Reflect.get(target, name, receiver);
      if (typeof member !== 'function' || name === 'events' || typeof name !== 'string') {
        return member;
      }
      const call = member.bind(target) as AnyCall;
      return async (...args: unknown[]): Promise<unknown> => {
        const made = async (): Promise<unknown> => {
          const answer = await call(...args);
          if (['stopContainer', 'removeContainer', 'restartContainer'].includes(name)) {
            ended(args[0] as string);
          }
          return answer;
        };
        return names(stack, args) ? passing(door, `${name} ${general(stack, targetOf(args))}`, made) : made();
      };
    },
  });
}

/** The same of its streams: their call is that they are begun. */
export function streamsAtDoor(door: Door, stack: Names): AdmitStream {
  return async (wish) => {
    if (!names(stack, [wish.container])) {
      return () => Promise.resolve();
    }
    const what = wish.call === 'exec' ? (wish.wish.command[0] ?? '') : wish.folder;
    const passage = await door.begins(`${wish.call} ${what} in ${general(stack, wish.container)}`);
    return () => passage.ended();
  };
}

/** By what a stack is known in calls; read at each of them. */
export interface Names {
  id: string;
  slug: string;
}

function names({ id, slug }: Names, args: readonly unknown[]): boolean {
  const text = JSON.stringify(args);
  return text.includes(slug) || text.includes(id);
}

/** The same name in every stack and of every epoch. */
const general = ({ slug }: Names, name: string): string => name.replace(slug, 'SLUG').replace(/-\d+$/, '-N');

function targetOf([first]: readonly unknown[]): string {
  return typeof first === 'string' ? first : ((first as { name?: string } | undefined)?.name ?? '');
}

async function passing<T>(door: Door, step: string, call: () => Promise<T>): Promise<T> {
  const passage = await door.begins(step);
  try {
    return await call();
  } finally {
    await passage.ended();
  }
}
