import { randomOf } from '#libs/trading';

/** What is done to the platform. Of `stop` on it is the engine's own verb; `die` is a process that ends by itself. */
export const FAULTS = [
  'kill',
  'stop',
  'remove',
  'die',
  'disconnect',
  'network',
  'agent',
  'worker',
  'engine',
  'database',
] as const;
export type FaultKind = (typeof FAULTS)[number];

export const SERVICES = ['postgres', 'redis', 'runtime'] as const;
export type Service = (typeof SERVICES)[number];

export interface Fault {
  /** Seconds after the beginning. */
  at: number;
  kind: FaultKind;
  /** Number of the customer whose stack it meets, or of the next one whose stack runs. */
  customer: number;
  service: Service;
  /** Seconds the engine stays away. */
  away: number;
}

/** Shorter than most repairs, so that faults meet what is still being repaired. */
const EVERY_SECONDS = 5;
const AWAY_SECONDS = { least: 1, most: 6 };

/** The items in an order that the seed and the key alone decide. */
export function shuffled<T extends string | number>(items: readonly T[], seed: number, key: string): T[] {
  return items.toSorted((a, b) => randomOf(seed, `${key}/${a}`) - randomOf(seed, `${key}/${b}`));
}

/** Every kind once in a random order, then every kind again: a short run meets all of them too. So it is with customers. */
export function scheduleOf(seed: number, seconds: number, customers: number): Fault[] {
  const all = Array.from({ length: customers }, (_, index) => index);
  return Array.from({ length: Math.floor(seconds / EVERY_SECONDS) }, (_, number) => {
    const turn = (length: number): string => String(Math.floor(number / length));
    const kind = shuffled(FAULTS, seed, `kinds ${turn(FAULTS.length)}`)[number % FAULTS.length];
    const customer = shuffled(all, seed, `customers ${turn(customers)}`)[number % customers];
    const service = SERVICES[Math.floor(randomOf(seed, `service ${number}`) * SERVICES.length)];
    if (kind === undefined || customer === undefined || service === undefined) {
      throw new Error('there is nobody to meet a fault');
    }
    const { least, most } = AWAY_SECONDS;
    return {
      at: Math.round((number + randomOf(seed, `at ${number}`)) * EVERY_SECONDS * 10) / 10,
      kind,
      customer,
      service,
      away: Math.round((least + randomOf(seed, `away ${number}`) * (most - least)) * 10) / 10,
    };
  });
}
