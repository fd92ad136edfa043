import { DeadlineError, withDeadline, type Bounds } from '#libs/async';
import { DomainError } from '#libs/contracts';

/** Runs one engine call within its bounds; running out of time or being cancelled reads as a DomainError. */
export async function bounded<T>(what: string, bounds: Bounds, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  try {
    return await withDeadline(`engine: ${what}`, bounds, work);
  } catch (error) {
    throw outOfBounds(what, bounds, error) ?? error;
  }
}

/** How the end that a caller's own signal made reads. */
export function cancelled(what: string, { reason }: AbortSignal): DomainError {
  if (reason instanceof DomainError) {
    return reason;
  }
  // the caller's signal may be the deadline of a larger piece of work
  const code = nameOf(reason) === 'TimeoutError' ? 'DEADLINE_EXCEEDED' : 'OPERATION_CANCELLED';
  return new DomainError(code, { details: { what }, cause: reason });
}

function outOfBounds(what: string, bounds: Bounds, error: unknown): DomainError | undefined {
  if (bounds.signal?.aborted) {
    return cancelled(what, bounds.signal);
  }
  if (error instanceof DeadlineError || nameOf(error) === 'TimeoutError' || nameOf(error) === 'AbortError') {
    return new DomainError('DEADLINE_EXCEEDED', {
      message: `engine: ${what} did not happen within ${bounds.deadlineMs} ms`,
      details: { what },
      cause: error,
    });
  }
  return undefined;
}

// by name: errors of the platform are of another realm where modules run in a context of their own
function nameOf(error: unknown): unknown {
  return (error as { name?: unknown } | null | undefined)?.name;
}
