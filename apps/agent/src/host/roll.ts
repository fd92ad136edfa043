/** What keeps the portal's state: another one of these is a pause of everything that asks it. */
export const STORES = ['postgres', 'redis'] as const;

/**
 * In which order the portal's services are made anew while it runs. The apis one after the other, so that one of them
 * always answers; then those of which there is one only, the agent among them once the apis are there that its routes
 * lead to; the proxy last, since its own restart is the one that everybody's connections feel.
 */
const ORDER: readonly (readonly string[])[] = [['api'], ['api2'], ['gate', 'worker', 'agent'], ['traefik']];

/** Only of these are there two, so only these are waited for before the next step. */
export const APIS: readonly string[] = ['api', 'api2'];

/** A mark of each service that changes with anything its container is made of. */
export type Marks = Readonly<Record<string, string>>;

/** Services whose container is not what it is to be, or not there; the stores first, then as they are rolled. */
export function changedServices(wanted: Marks, running: Marks): string[] {
  const known: readonly string[] = [...STORES, ...ORDER.flat()];
  const place = (name: string): number => (known.includes(name) ? known.indexOf(name) : known.length);
  return Object.keys(wanted)
    .filter((name) => wanted[name] !== running[name])
    .toSorted((a, b) => place(a) - place(b) || a.localeCompare(b));
}

/**
 * Which services are made anew together, step by step, after stores and schema: all at once where no api runs and so
 * nobody is kept waiting; else so that those that are missing come first, and never both apis are away.
 */
export function rollSteps(wanted: Marks, running: Marks): string[][] {
  const services = Object.keys(wanted).filter((name) => !(STORES as readonly string[]).includes(name));
  const there = (name: string): boolean => running[name] !== undefined;
  if (!APIS.some(there)) {
    return [services];
  }
  const missingFirst = ORDER.toSorted((a, b) => Number(a.every(there)) - Number(b.every(there)));
  const apis = missingFirst.filter((step) => step.some((name) => APIS.includes(name)));
  const others = ORDER.filter((step) => !apis.includes(step));
  const unknown = services.filter((name) => !ORDER.flat().includes(name));
  return [...apis, ...(unknown.length > 0 ? [unknown] : []), ...others]
    .map((step) => step.filter((name) => services.includes(name)))
    .filter((step) => step.length > 0);
}
