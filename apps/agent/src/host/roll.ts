/** What keeps the portal's state: another one of these is a pause of everything that asks it. */
export const STORES = ['postgres', 'redis'] as const;

/** Of these there are two each, so that one always answers: the one is left alone until the other one takes requests. */
const PAIRS: Readonly<Record<PairKind, readonly string[]>> = { api: ['api', 'api2'], gate: ['gate', 'gate2'] };
export type PairKind = 'api' | 'gate';

/** Null of what there is once. */
export function pairOf(name: string): PairKind | null {
  return (Object.keys(PAIRS) as PairKind[]).find((kind) => PAIRS[kind].includes(name)) ?? null;
}

/**
 * In which order the rest is made anew while the portal runs, once the apis and gates are there that routes lead to: the
 * proxy, whose own restart everybody's connections feel, before the agent, whose routes may need what the proxy is only
 * now set up for.
 */
const REST: readonly (readonly string[])[] = [['traefik'], ['worker', 'agent']];

/** A mark of each service that changes with anything its container is made of. */
export type Marks = Readonly<Record<string, string>>;

/** Services whose container is not what it is to be, or not there; the stores first, then as they are rolled. */
export function changedServices(wanted: Marks, running: Marks): string[] {
  const known: readonly string[] = [...STORES, ...Object.values(PAIRS).flat(), ...REST.flat()];
  const place = (name: string): number => (known.includes(name) ? known.indexOf(name) : known.length);
  return Object.keys(wanted)
    .filter((name) => wanted[name] !== running[name])
    .toSorted((a, b) => place(a) - place(b) || a.localeCompare(b));
}

/**
 * Which services are made anew together, step by step, after stores and schema: all at once where no api runs and so
 * nobody is kept waiting; else so that of each pair the one that is missing comes first, and never both are away.
 */
export function rollSteps(wanted: Marks, running: Marks): string[][] {
  const services = Object.keys(wanted).filter((name) => !(STORES as readonly string[]).includes(name));
  const there = (name: string): boolean => running[name] !== undefined;
  if (!PAIRS.api.some(there)) {
    return [services];
  }
  const pairs = Object.values(PAIRS).flatMap((pair) =>
    pair.toSorted((a, b) => Number(there(a)) - Number(there(b))).map((name) => [name]),
  );
  const unknown = services.filter((name) => pairOf(name) === null && !REST.flat().includes(name));
  return [...pairs, unknown, ...REST]
    .map((step) => step.filter((name) => services.includes(name)))
    .filter((step) => step.length > 0);
}
