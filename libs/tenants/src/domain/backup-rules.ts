import type { BackupProblem, StackReasonCode } from '#libs/contracts';
import type { ObservedState } from './headline.js';

export interface SeenStack {
  observed: ObservedState;
  reasonCode: StackReasonCode | null;
}

/** Of one that is only partly up its database may well run; taking the backup finds out. */
export function backupProblem({ observed, reasonCode }: SeenStack): BackupProblem | null {
  if (reasonCode === 'DATA_MISSING') {
    return 'data_missing';
  }
  return observed === 'none' || observed === 'stopped' ? 'not_running' : null;
}

/**
 * Whether the data that a restore takes the place of is backed up first. Of a broken stack it is not, or what is to be
 * mended would keep it from being mended; the volumes before are kept all the same.
 */
export function safeguards(stack: SeenStack): boolean {
  return stack.observed === 'running' && backupProblem(stack) === null;
}
