import { backoffMs } from '#libs/async';
import { DomainError, type OperationKind } from '#libs/contracts';

/**
 * Tries of one operation before it is called failed, whatever ended them: an engine that stays away, or an agent that
 * dies each time it works on this. With the waits below it is a quarter of an hour of an engine's absence.
 */
export const MOST_ATTEMPTS = 20;

const FIRST_WAIT_MS = 2_000;
/** Longer, and a stack would still wait when its engine has long been back. */
const LONGEST_WAIT_MS = 60_000;

/** How long to wait after that many tries; half of it by chance, so that many operations do not come back at once. */
export function retryDelayMs(attempts: number, random: number): number {
  const whole = backoffMs(attempts - 1, FIRST_WAIT_MS, LONGEST_WAIT_MS, 1);
  return Math.round(whole / 2 + (whole / 2) * random);
}

/** What a person may do when an operation of that kind has failed; each of these is legal then. */
const NEXT_STEP: Record<OperationKind, { next: OperationKind; text: string }> = {
  provision: { next: 'start', text: 'Start the stack again, or destroy it.' },
  start: { next: 'start', text: 'Start the stack again, or destroy it.' },
  restart: { next: 'start', text: 'Start the stack again, or destroy it.' },
  stop: { next: 'stop', text: 'Stop the stack again, or destroy it.' },
  repair: { next: 'start', text: 'Start the stack, or destroy it.' },
  destroy: { next: 'destroy', text: 'Destroy the stack again.' },
  suspend: { next: 'suspend', text: 'Suspend the stack again, or destroy it.' },
  resume: { next: 'resume', text: 'Resume the stack again, or destroy it.' },
  hibernate: { next: 'hibernate', text: 'Put the stack to sleep again, stop it, or destroy it.' },
  wake: { next: 'start', text: 'Start the stack again, or destroy it.' },
  resize: { next: 'restart', text: 'Restart the stack: it then has the new limits.' },
  backup: { next: 'backup', text: 'Take another backup.' },
  prune: { next: 'prune', text: 'Prune again: the next night does so by itself.' },
  restore: { next: 'restore', text: 'Restore again, or start the stack as it is.' },
  clone: { next: 'destroy', text: 'Destroy the new stack, and clone the backup again.' },
  undo_restore: { next: 'undo_restore', text: 'Undo it again, or start the stack as it is.' },
  upgrade: { next: 'upgrade', text: 'Upgrade again once the reason is mended.' },
  rollback: { next: 'start', text: 'Start the stack again, or restore the backup that was taken before.' },
  rotate_secrets: { next: 'restart', text: 'Restart the stack: that finishes the rotation.' },
};

export function nextStep(kind: OperationKind): OperationKind {
  return NEXT_STEP[kind].next;
}

/** The end of an operation that was tried too often, in words of what to do; `cause` is what ended the last try. */
export function gaveUp(kind: OperationKind, attempts: number, cause?: DomainError): DomainError {
  const { text } = NEXT_STEP[kind];
  const details = { ...cause?.details, kind, attempts };
  return cause
    ? new DomainError(cause.code, {
        message: `${cause.message} It was tried ${attempts} times. Operators see why with: aviary doctor. Once that is mended: ${text}`,
        details,
        cause,
      })
    : new DomainError('GAVE_UP', {
        message: `The ${kind} was begun ${attempts} times and its worker died each time, so it was given up. ${text}`,
        details,
      });
}
