/**
 * Seeded randomness without state: the same key gives the same number in [0, 1), whatever was asked before. So a
 * price path or a partial fill is repeated exactly after a crash. FNV-1a (32 bit), then the finaliser of MurmurHash3.
 */
export function randomOf(seed: number, key: string): number {
  let hash = (0x811c9dc5 ^ seed) >>> 0;
  for (let i = 0; i < key.length; i += 1) {
    hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193) >>> 0;
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b) >>> 0;
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35) >>> 0;
  return ((hash ^ (hash >>> 16)) >>> 0) / 0x1_0000_0000;
}

/** A standard normal number by Box and Muller (1958). */
export function normalOf(seed: number, key: string): number {
  const radius = Math.sqrt(-2 * Math.log(1 - randomOf(seed, `${key}/r`)));
  return radius * Math.cos(2 * Math.PI * randomOf(seed, `${key}/a`));
}
