import type { ReleaseState } from '#libs/contracts';
import type { Template } from './template.js';

/** Every move of a release; a withdrawn one may be offered again once it is mended. */
const MOVES: Record<ReleaseState, readonly ReleaseState[]> = {
  draft: ['candidate', 'withdrawn'],
  candidate: ['stable', 'withdrawn'],
  stable: ['withdrawn'],
  withdrawn: ['candidate'],
};

export function mayBecome(from: ReleaseState, to: ReleaseState): boolean {
  return MOVES[from].includes(to);
}

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
