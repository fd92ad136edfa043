import { createHash } from 'node:crypto';
import type { Disclaimer } from '#libs/contracts';
import { DISCLAIMER_1_0_0 } from './1.0.0.js';

/** Every version there was, newest last. A text is never edited: a new one is a new file and a line here. */
const VERSIONS = [DISCLAIMER_1_0_0];

const hashed = VERSIONS.map((entry): Disclaimer => ({
  ...entry,
  sha256: createHash('sha256').update(entry.text).digest('hex'),
}));

/** The text a person must accept now. */
export function currentDisclaimer(): Disclaimer {
  const newest = hashed.at(-1);
  if (!newest) {
    throw new Error('There is no risk disclaimer');
  }
  return newest;
}

/** A version accepted in the past, to show it again; null for a version that never was. */
export function disclaimer(version: string): Disclaimer | null {
  return hashed.find((entry) => entry.version === version) ?? null;
}
