import type { DesiredState, HoldReason, StackNext, StackReasonCode, StackStatus } from '#libs/contracts';
import { failsOnTheWay, type Seen } from './health-layers.js';
import { decideRepair, failedRepairs, FAILURES_TO_BREAK, type PastOperation } from './repair-rules.js';

export interface WhatNextInput {
  status: StackStatus;
  desired: DesiredState;
  holds: readonly HoldReason[];
  reasonCode: StackReasonCode | null;
  reasonParams: Seen['reasonParams'];
  /** Exclusive operations, newest first; only looked at where the stack needs attention. */
  past: readonly PastOperation[];
  now: Date;
}

const step = (kind: StackNext['kind'], rest: Partial<StackNext> = {}): StackNext => ({
  kind,
  at: null,
  attempt: null,
  ...rest,
});

const WAITS: Partial<Record<StackStatus, StackNext['kind']>> = {
  asleep: 'visit',
  stopped: 'start',
  suspended: 'resume',
  unknown: 'look',
};

/**
 * What happens next to a stack that is not simply running, by the rules the reconciler goes by; null while it runs or
 * an operation is at work, whose steps say it.
 */
export function whatNext(input: WhatNextInput): StackNext | null {
  const { status, desired, holds, reasonCode, past, now } = input;
  const waits = WAITS[status];
  if (waits !== undefined) {
    return step(waits);
  }
  if (status !== 'attention') {
    return null;
  }
  // Data that is gone is never made anew, and what the breaker holds waits for a person.
  if (holds.includes('breaker') || reasonCode === 'DATA_MISSING') {
    return step('person');
  }
  // The reconciler restarts none that answers by its address.
  if (failsOnTheWay(input)) {
    return step('route');
  }
  const runs = desired === 'running' && holds.length === 0;
  const decision = decideRepair(past, now, runs);
  if (decision.kind === 'leave' || decision.kind === 'break') {
    return step('person');
  }
  return step('repair', {
    at: decision.kind === 'wait' ? decision.until.toISOString() : null,
    // to destroy and to stop is tried for ever
    attempt: !runs ? null : { number: failedRepairs(past) + 1, of: FAILURES_TO_BREAK },
  });
}
