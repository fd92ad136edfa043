/**
 * The first four hex digits of FNV-1a (32 bit, Fowler–Noll–Vo) over the platform id: short enough for bridge and
 * firewall chain names (15 and 28 characters), and the same in every process. It separates platforms on one host;
 * ownership itself is proven by the full id in labels, never by this.
 */
export function platformPrefix(platformId: string): string {
  let hash = 0x811c9dc5;
  for (const char of platformId.toLowerCase()) {
    hash = Math.imul(hash ^ char.charCodeAt(0), 0x01000193) >>> 0;
  }
  return hash.toString(16).padStart(8, '0').slice(0, 4);
}

/** Of an api's private port, and of a gate: where the proxy asks whether to send requests to it. */
export const BALANCER_PATH = 'internal/balancer';
