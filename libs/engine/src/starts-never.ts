import { isDomainError } from '#libs/contracts';

/**
 * The engine's words for a container in whose start it died: what it began is left behind, without a process, and every
 * later start is refused with the same (Docker Engine 20.10, seen with `kill -9` of it and its containerd). The address
 * may still be held by what was left: on machines that `up` prepared, scripts/lib/clear-half-started has ended it.
 */
const NEVER_STARTS = /task \S+: already exists/;

/** Whether this refusal of a start will be the answer to every other, so that only a new container helps. */
export function startsNever(error: unknown): boolean {
  return isDomainError(error, 'ENGINE_REFUSED') && NEVER_STARTS.test(String(error.details['reason']));
}
