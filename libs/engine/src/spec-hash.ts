import { createHash } from 'node:crypto';
import { LABEL, type ContainerSpec } from './port.js';

/** Labels that tell when an object was made, not what it is. */
const NOT_HASHED = new Set<string>([LABEL.generation, LABEL.specHash]);

/**
 * 32 hex digits over everything that can only change by making the container anew: the whole spec but limits and
 * restart (changed while it runs) and the labels that tell when it was made. The same in every process and for any
 * order of keys; arrays keep their order, since the first network is the default route.
 */
export function specHash(spec: ContainerSpec): string {
  const { limits: _limits, restart: _restart, labels, ...rest } = spec;
  const lasting = Object.fromEntries(Object.entries(labels).filter(([name]) => !NOT_HASHED.has(name)));
  return createHash('sha256')
    .update(canonical({ ...rest, labels: lasting }))
    .digest('hex')
    .slice(0, 32);
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) {
    return `[${value.map(canonical).join(',')}]`;
  }
  if (typeof value === 'object' && value !== null) {
    const fields = Object.entries(value)
      .filter(([, field]) => field !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${fields.map(([key, field]) => `${JSON.stringify(key)}:${canonical(field)}`).join(',')}}`;
  }
  return JSON.stringify(value);
}
