/**
 * Where to go after signing in. Only an address within this portal: `//host`, `/\host` and anything with a scheme
 * would let a link send people elsewhere with our name on it.
 */
export function safeNext(next: unknown, fallback = '/app'): string {
  return typeof next === 'string' && /^\/(?![/\\])[^\p{C}\\]*$/u.test(next) && next.length <= 2048 ? next : fallback;
}
