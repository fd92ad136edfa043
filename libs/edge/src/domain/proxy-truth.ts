import { z } from 'zod';
import type { DynamicFile, RouteFile } from './dynamic.js';
import { isTenantFile } from './render.js';

const thing = { name: z.string(), provider: z.string(), status: z.string().default('enabled') };

/** What Traefik's API (v3.6, `/api/http/…`) says of the things it serves; of each only what is compared. */
export const servedRouterSchema = z.looseObject({
  ...thing,
  rule: z.string(),
  priority: z.number(),
  service: z.string(),
  entryPoints: z.array(z.string()).default([]),
  middlewares: z.array(z.string()).default([]),
  tls: z.unknown().optional(),
});
export const servedServiceSchema = z.looseObject(thing);
export const servedMiddlewareSchema = z.looseObject(thing);

export interface Served {
  routers: z.infer<typeof servedRouterSchema>[];
  services: z.infer<typeof servedServiceSchema>[];
  middlewares: z.infer<typeof servedMiddlewareSchema>[];
}

/** missing: written and not served; different: served otherwise; foreign: served and not written by us. */
export interface Mismatch {
  kind: 'missing' | 'different' | 'foreign';
  part: 'router' | 'service' | 'middleware';
  name: string;
  /** The file it stands in; null for what is foreign. */
  file: string | null;
}

/**
 * The entry points that clients reach put this before a router's own: without it they could forge what only the proxy may
 * say. On loopback there is only the proxy's own question, and its API, which is to answer also where no file is served.
 */
const STRIP = 'strip@file';

const qualified = (name: string): string => (name.includes('@') ? name : `${name}@file`);

/** Where what the proxy serves from files is not what the files say, in the files' order, then what is foreign. */
export function compareServed(files: readonly RouteFile[], served: Served): Mismatch[] {
  const parsed = files.map(({ name, content }) => ({ file: name, http: (JSON.parse(content) as DynamicFile).http }));
  return [
    ...comparePart(
      'router',
      parsed.map(({ file, http }) => [file, http.routers] as const),
      served.routers,
      (wanted, is) =>
        is.rule === wanted.rule &&
        is.priority === wanted.priority &&
        qualified(is.service) === qualified(wanted.service) &&
        covers(is.entryPoints, wanted.entryPoints ?? ['websecure']) &&
        covers(is.middlewares, [
          ...(wanted.entryPoints?.[0] === 'traefik' ? [] : [STRIP]),
          ...(wanted.middlewares ?? []).map(qualified),
        ]) &&
        (wanted.entryPoints === undefined) === (is.tls !== undefined),
    ),
    ...comparePart(
      'service',
      parsed.map(({ file, http }) => [file, http.services ?? {}] as const),
      served.services,
      (wanted, is) => covers(is, wanted),
    ),
    ...comparePart(
      'middleware',
      parsed.map(({ file, http }) => [file, http.middlewares ?? {}] as const),
      served.middlewares,
      (wanted, is) => covers(is, wanted),
    ),
  ];
}

/** How many stacks have a file, and of how many nothing is missing or served otherwise. */
export function countServed(
  files: readonly Pick<RouteFile, 'name'>[],
  mismatches: readonly Mismatch[],
): { rendered: number; served: number } {
  const stacks = files.map(({ name }) => name).filter(isTenantFile);
  const wrong = new Set(mismatches.map(({ file }) => file));
  return { rendered: stacks.length, served: stacks.filter((name) => !wrong.has(name)).length };
}

function comparePart<W, S extends { name: string; provider: string; status: string }>(
  part: Mismatch['part'],
  wanted: readonly (readonly [file: string, things: Readonly<Record<string, W>>])[],
  served: readonly S[],
  same: (wanted: W, is: S) => boolean,
): Mismatch[] {
  const left = new Map(served.filter(({ provider }) => provider === 'file').map((one) => [one.name, one]));
  const found: Mismatch[] = [];
  for (const [file, things] of wanted) {
    for (const [name, want] of Object.entries(things)) {
      const is = left.get(`${name}@file`);
      left.delete(`${name}@file`);
      if (!is) {
        found.push({ kind: 'missing', part, name, file });
      } else if (is.status !== 'enabled' || !same(want, is)) {
        found.push({ kind: 'different', part, name, file });
      }
    }
  }
  return [...found, ...[...left.keys()].map((name): Mismatch => ({ kind: 'foreign', part, name, file: null }))];
}

/** Everything `wanted` says is so in `is`, which may say more (defaults) and leaves out what is false. */
function covers(is: unknown, wanted: unknown): boolean {
  if (Array.isArray(wanted)) {
    return (
      Array.isArray(is) &&
      is.length === wanted.length &&
      wanted.every((item, at) => covers((is as unknown[])[at], item))
    );
  }
  if (typeof wanted === 'object' && wanted !== null) {
    return (
      typeof is === 'object' &&
      is !== null &&
      Object.entries(wanted).every(([key, value]) => covers((is as Record<string, unknown>)[key], value))
    );
  }
  return is === wanted || (wanted === false && is === undefined);
}

/** For logs and alarms: the first few by name, and how many more there are. */
export function describeMismatches(mismatches: readonly Mismatch[]): string {
  const most = 5;
  const names = mismatches.slice(0, most).map(({ kind, part, name, file }) => {
    const where = file === null ? '' : ` of ${file}`;
    return `${part} ${name}${where} ${kind === 'missing' ? 'is not served' : kind === 'different' ? 'is served otherwise' : 'is served and not ours'}`;
  });
  const more = mismatches.length - names.length;
  return `${names.join('; ')}${more > 0 ? `; and ${more} more` : ''}`;
}
