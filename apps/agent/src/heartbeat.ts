import { DomainError } from '#libs/contracts';
import type { DutyWatch } from '#libs/jobs';

const ANSWER_MS = 10_000;

/**
 * Tells a watchdog outside of this host that all is well: one that hears nothing raises the alarm, also when nobody here
 * is left to. Nothing is sent while recurring work is not done, nor while nobody knows because the portal's database
 * does not tell. Throws UNAVAILABLE when the watchdog does not take it; its address is a secret and is in no error.
 */
export async function beat(url: string, duties: Pick<DutyWatch, 'findings' | 'known'>): Promise<boolean> {
  if (!duties.known || duties.findings().some(({ severity }) => severity === 'critical')) {
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
