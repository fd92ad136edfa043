/** What of an entry is sealed, in the order it is written; a new field is only ever added at the end, as a new version. */
export interface SealedFields {
  id: string;
  at: string;
  actorKind: string;
  actorId: string | null;
  actorName: string;
  via: string | null;
  ip: string | null;
  sessionId: string | null;
  action: string;
  targetKind: string;
  targetId: string;
  before: unknown;
  after: unknown;
}

/** JSON with sorted keys and no spaces (after RFC 8785), so equal values give equal text whatever stored them. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) {
    return `[${value.map(canonicalJson).join(',')}]`;
  }
  if (typeof value === 'object' && value !== null) {
    const record = value as Record<string, unknown>;
    const parts = Object.keys(record)
      .filter((key) => record[key] !== undefined)
      .sort()
      .map((key) => `${JSON.stringify(key)}:${canonicalJson(record[key])}`);
    return `{${parts.join(',')}}`;
  }
  return JSON.stringify(value ?? null);
}

/** The text whose sha256 is an entry's hash. */
export function canonicalEntry(entry: SealedFields): string {
  return canonicalJson({ version: 1, ...entry });
}

/** The text whose sha256 is a seal's hash: it binds the place in the chain, what came before, and the entry. */
export function canonicalSeal(seal: { seq: number; previous: string; entryHash: string }): string {
  return `aviary-audit-seal-1\n${seal.seq}\n${seal.previous}\n${seal.entryHash}`;
}

/** The hash "before" the first seal. */
export const GENESIS = '0'.repeat(64);
