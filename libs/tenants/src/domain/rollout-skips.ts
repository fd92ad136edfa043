import type { DesiredState, HoldReason, RolloutSelection, RolloutSkip } from '#libs/contracts';
import { isSuspended } from './headline.js';
import { restProblem, upgradeProblem, type FailedBefore, type ReleaseFacts } from './release-rules.js';

interface SkipQuestion {
  stack: { slug: string; desired: DesiredState; observed: string; tradingHeldSince: Date | null };
  holds: readonly HoldReason[];
  from: ReleaseFacts;
  to: ReleaseFacts;
  failure: FailedBefore | null;
  selection: RolloutSelection;
}

/** Why a rollout leaves a stack as it is; null where it goes. What may go is what a single upgrade would take. */
export function rolloutSkip(question: SkipQuestion): { why: RolloutSkip; message: string } | null {
  const { stack, holds, from, to, failure, selection } = question;
  const { slug, tradingHeldSince } = stack;
  if (stack.desired === 'deleted') {
    return { why: 'destroying', message: `${slug} is being destroyed.` };
  }
  if (isSuspended(holds)) {
    return { why: 'suspended', message: `${slug} is suspended, so nothing of it may run.` };
  }
  const problem = upgradeProblem({ slug, tradingHeldSince, from, to, operator: true, failure });
  if (problem !== null) {
    return problem;
  }
  // Somebody tries a candidate there; who means it names the stack or the release it is on.
  if (selection.from === undefined && selection.stacks === undefined && from.createdAt > to.createdAt) {
    return { why: 'newer', message: `${slug} is on ${from.id}, which is newer.` };
  }
  return restProblem(stack);
}
