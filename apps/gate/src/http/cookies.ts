/**
 * The value of one cookie, or null. A name that comes twice counts as absent: which of the two a browser put first
 * is not ours to guess, and a second one is how a neighbouring host would smuggle its own in.
 */
export function readCookie(header: string | undefined, name: string): string | null {
  if (header === undefined || header.length > 16_384) {
    return null;
  }
  let found: string | null = null;
  for (const part of header.split(';')) {
    const at = part.indexOf('=');
    if (at > 0 && part.slice(0, at).trim() === name) {
      if (found !== null) {
        return null;
      }
      found = part.slice(at + 1).trim();
    }
  }
  // A JWS or a random token: anything else was not set by us.
  return found !== null && /^[A-Za-z0-9._-]{1,4096}$/.test(found) ? found : null;
}

export function setCookie(name: string, value: string, maxAgeSeconds: number): string {
  return `${name}=${value}; Path=/; Max-Age=${maxAgeSeconds}; Secure; HttpOnly; SameSite=Lax`;
}

export function clearCookie(name: string): string {
  return setCookie(name, '', 0);
}
