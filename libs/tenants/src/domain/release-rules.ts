import type { DesiredState, ReleaseState, UpgradeProblem } from '#libs/contracts';
import { databaseMajorOf } from './database-major.js';
import type { Template } from './template.js';

const sorted = (names: readonly string[]): string => names.toSorted().join(', ');

/**
 * Why a stack of one template cannot go to another, in words; null where it can. Addresses are given to services by
 * their place among them, so those must be the same; volumes may be added and never taken away.
 */
export function incompatible(from: Template, to: Template): string | null {
  if (from.name !== to.name) {
    return `It is a release of the template ${to.name}, and this stack is one of ${from.name}.`;
  }
  const [had, has] = [sorted(Object.keys(from.services)), sorted(Object.keys(to.services))];
  if (had !== has) {
    return `It has the services ${has}, and this stack has ${had}.`;
  }
  for (const [name, service] of Object.entries(from.services)) {
    if (sorted(service.networks) !== sorted(to.services[name]?.networks ?? [])) {
      return `Its ${name} is on other networks.`;
    }
  }
  const [databases, others] = [sorted(from.aviary.backup.postgres), sorted(to.aviary.backup.postgres)];
  if (databases !== others) {
    return `Its databases are ${others || 'none'}, and this stack has ${databases || 'none'}.`;
  }
  const gone = Object.keys(from.volumes).filter((volume) => !(volume in to.volumes));
  return gone.length === 0 ? null : `It has no volume ${sorted(gone)}, which holds data of this stack.`;
}

/** Whether its runtime keeps a copy from trading; one from before copies would trade with the original's money. */
export function takesCopies({ definition }: Pick<ReleaseFacts, 'definition'>): boolean {
  return (definition as Template).aviary.copies === true;
}

/**
 * Whether a copy can be made on it of a backup that was taken with the other one: it takes the data as it stands in
 * volumes of that template, its runtime adapts data of an earlier one and never of a later, and so does its database.
 */
export function takesCopyOf(taken: CopyFacts, to: CopyFacts): boolean {
  return (
    takesCopies(to) &&
    to.createdAt >= taken.createdAt &&
    databaseMajorOf(to.definition as Template) >= databaseMajorOf(taken.definition as Template) &&
    incompatible(taken.definition as Template, to.definition as Template) === null
  );
}
type CopyFacts = Pick<ReleaseFacts, 'definition' | 'createdAt'>;

/** What rules read of a release. */
export interface ReleaseFacts {
  id: string;
  state: ReleaseState;
  /** A template, as it was registered. */
  definition: object;
  createdAt: Date;
}

/** That this very upgrade failed on the stack before. */
export interface FailedBefore {
  at: Date;
  message: string;
}

interface UpgradeQuestion {
  slug: string;
  /** Since when nothing of it may trade; null where it may. */
  tradingHeldSince: Date | null;
  from: ReleaseFacts;
  to: ReleaseFacts;
  /** They choose stacks that go to a candidate. */
  operator: boolean;
  failure: FailedBefore | null;
}

/** Why that stack cannot go to that release, whatever it does at the moment; null where it can. */
export function upgradeProblem({
  slug,
  tradingHeldSince,
  from,
  to,
  operator,
  failure,
}: UpgradeQuestion): { why: UpgradeProblem; message: string } | null {
  if (to.id === from.id) {
    return { why: 'same', message: `${slug} is on ${to.id} already.` };
  }
  if (to.state === 'withdrawn') {
    return { why: 'withdrawn', message: `${to.id} was withdrawn. Choose another release.` };
  }
  if (to.state === 'draft' || (to.state === 'candidate' && !operator)) {
    return { why: 'draft', message: `${to.id} is not ready yet.` };
  }
  const different = incompatible(from.definition as Template, to.definition as Template);
  if (different !== null) {
    return { why: 'incompatible', message: `${slug} cannot go to ${to.id}: ${different}` };
  }
  if (tradingHeldSince !== null && !takesCopies(to)) {
    return {
      why: 'trading_held',
      message: `${slug} may not trade yet, and ${to.id} knows nothing of that: it would trade. Allow it first, or choose a newer release.`,
    };
  }
  if (failure !== null) {
    return {
      why: 'failed_before',
      message: `The same upgrade of ${slug} failed on ${failure.at.toISOString()}: ${failure.message} It is not tried again until an operator marks the release as fixed.`,
    };
  }
  return null;
}

/** Nobody could tell whether the new release works on what does not run as it should. */
export function restProblem({
  slug,
  desired,
  observed,
}: {
  slug: string;
  desired: DesiredState;
  observed: string;
}): { why: UpgradeProblem; message: string } | null {
  return desired === 'running' && observed === 'running'
    ? null
    : {
        why: 'not_running',
        message: `${slug} does not run as it should, so nobody could tell whether the new release works. Start it first.`,
      };
}

interface OfferQuestion<R extends ReleaseFacts> extends Pick<UpgradeQuestion, 'slug' | 'tradingHeldSince'> {
  from: ReleaseFacts;
  /** Stable ones, newest first. */
  stable: readonly R[];
  failureOn: (to: string) => FailedBefore | null;
}

/** The newest release its owner is offered: newer than the stack's own, and one it can go to. */
export function offeredRelease<R extends ReleaseFacts>({
  from,
  stable,
  failureOn,
  ...stack
}: OfferQuestion<R>): R | null {
  const mayGo = (to: R): boolean =>
    to.createdAt > from.createdAt &&
    upgradeProblem({ ...stack, from, to, operator: false, failure: failureOn(to.id) }) === null;
  return stable.find(mayGo) ?? null;
}
