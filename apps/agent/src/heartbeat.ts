import type { Finding } from '#libs/jobs';
import { DomainError } from '#libs/contracts';

const ANSWER_MS = 10_000;

/**
 * Tells a watchdog outside of this host that all is well: one that hears nothing raises the alarm, also when nobody here
 * is left to. Nothing is sent while recurring work is not done. Throws UNAVAILABLE when the watchdog does not take it;
 * its address is a secret and is in no error.
 */
export async function beat(url: string, undone: readonly Finding[]): Promise<boolean> {
  if (undone.some(({ severity }) => severity === 'critical')) {
    return false;
  }
  try {
    const { ok, status } = await fetch(url, {
      method: 'POST',
      redirect: 'error',
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    if (ok) {
      return true;
    }
    throw new Error(`it answered ${status}`);
  } catch (error) {
    const why = error instanceof Error ? error.message : 'no answer';
    throw new DomainError('UNAVAILABLE', { message: `The watchdog of AVIARY_HEARTBEAT_URL took no word: ${why}.` });
  }
}
