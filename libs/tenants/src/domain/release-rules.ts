import type { ReleaseState, UpgradeProblem } from '#libs/contracts';
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
  const gone = Object.keys(from.volumes).filter((volume) => !(volume in to.volumes));
  return gone.length === 0 ? null : `It has no volume ${sorted(gone)}, which holds data of this stack.`;
}

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
  from: ReleaseFacts;
  to: ReleaseFacts;
  /** They choose stacks that go to a candidate. */
  operator: boolean;
  failure: FailedBefore | null;
}

/** Why that stack cannot go to that release, whatever it does at the moment; null where it can. */
export function upgradeProblem({
  slug,
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
  if (failure !== null) {
    return {
      why: 'failed_before',
      message: `The same upgrade of ${slug} failed on ${failure.at.toISOString()}: ${failure.message} It is not tried again until an operator marks the release as fixed.`,
    };
  }
  return null;
}

interface OfferQuestion<R extends ReleaseFacts> {
  slug: string;
  from: ReleaseFacts;
  /** Stable ones, newest first. */
  stable: readonly R[];
  failureOn: (to: string) => FailedBefore | null;
}

/** The newest release its owner is offered: newer than the stack's own, and one it can go to. */
export function offeredRelease<R extends ReleaseFacts>({ slug, from, stable, failureOn }: OfferQuestion<R>): R | null {
  const mayGo = (to: R): boolean =>
    to.createdAt > from.createdAt &&
    upgradeProblem({ slug, from, to, operator: false, failure: failureOn(to.id) }) === null;
  return stable.find(mayGo) ?? null;
}
