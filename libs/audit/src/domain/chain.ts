import { GENESIS, canonicalEntry, canonicalSeal, type SealedFields } from './canonical.js';

export interface SealRow {
  seq: number;
  entryId: string;
  entryHash: string;
  hash: string;
}

export type AuditFault =
  | { kind: 'seal_missing'; seq: number }
  | { kind: 'chain_broken'; seq: number }
  | { kind: 'entry_missing'; seq: number; entryId: string }
  | { kind: 'entry_edited'; seq: number; entryId: string };

export interface ChainPosition {
  seq: number;
  hash: string;
}

export const CHAIN_START: ChainPosition = { seq: 0, hash: GENESIS };

/**
 * Follows the chain over one page of seals. `entry` gives the stored entry of an id, or undefined when it is gone.
 * After a fault the walk goes on from what is stored, so that one changed row is reported once.
 */
export function checkSeals(
  start: ChainPosition,
  seals: readonly SealRow[],
  entry: (id: string) => SealedFields | undefined,
  sha256: (text: string) => string,
): { end: ChainPosition; faults: AuditFault[] } {
  const faults: AuditFault[] = [];
  let at = start;
  for (const seal of seals) {
    for (let seq = at.seq + 1; seq < seal.seq; seq += 1) {
      faults.push({ kind: 'seal_missing', seq });
    }
    const follows = seal.seq === at.seq + 1;
    const expected = sha256(canonicalSeal({ seq: seal.seq, previous: at.hash, entryHash: seal.entryHash }));
    if (follows && seal.hash !== expected) {
      faults.push({ kind: 'chain_broken', seq: seal.seq });
    }
    const found = entry(seal.entryId);
    if (!found) {
      faults.push({ kind: 'entry_missing', seq: seal.seq, entryId: seal.entryId });
    } else if (sha256(canonicalEntry(found)) !== seal.entryHash) {
      faults.push({ kind: 'entry_edited', seq: seal.seq, entryId: seal.entryId });
    }
    at = { seq: seal.seq, hash: seal.hash };
  }
  return { end: at, faults };
}
