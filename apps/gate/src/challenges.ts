import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

export const CHALLENGE_PREFIX = '/.well-known/acme-challenge/';

/** A key authorisation (RFC 8555 §8.1) is a token, a dot and a thumbprint: well below this. */
const MAX_BYTES = 1024;

/** The answer to an HTTP-01 challenge (RFC 8555 §8.3) as the ACME client left it in its web root, or null. */
export async function readChallenge(webRoot: string, path: string): Promise<string | null> {
  const token = path.slice(CHALLENGE_PREFIX.length);
  if (!path.startsWith(CHALLENGE_PREFIX) || !/^[A-Za-z0-9_-]{1,256}$/.test(token)) {
    return null;
  }
  try {
    const content = await readFile(join(webRoot, CHALLENGE_PREFIX, token), 'utf8');
    return content.length <= MAX_BYTES ? content : null;
  } catch (error) {
    if (['ENOENT', 'EISDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) {
      return null;
    }
    throw error;
  }
}
