import { DomainError } from '#libs/contracts';
import { LABEL, type Labels, type Owner } from './port.js';

/** An owner without a tenant is the platform: every object of it is its own, those of its tenants too. */
export function provesOwner(labels: Labels | undefined | null, owner: Owner): boolean {
  if (!owner.platform || labels?.[LABEL.platform] !== owner.platform) {
    return false;
  }
  return owner.tenant === undefined || labels[LABEL.tenant] === owner.tenant;
}

/** The owner that labels name. */
export function ownerOf(labels: Labels): Owner {
  const tenant = labels[LABEL.tenant];
  return { platform: labels[LABEL.platform] ?? '', ...(tenant === undefined ? {} : { tenant }) };
}

export function assertOwned(kind: string, name: string, labels: Labels | undefined | null, owner: Owner): void {
  if (!provesOwner(labels, owner)) {
    throw new DomainError('ENGINE_CONFLICT', {
      message: `The ${kind} ${name} is not proven ours by its labels, so it was left alone.`,
      details: { kind, name },
    });
  }
}

const OWNERSHIP = [LABEL.platform, LABEL.tenant, LABEL.service, LABEL.role, LABEL.specHash];

/**
 * Whether an existing object counts as the one asked for. Networks and volumes outlive generations (a data volume
 * keeps the label of the generation that made it), containers do not.
 */
export function sameObject(
  kind: 'container' | 'network' | 'volume',
  have: Labels | undefined | null,
  want: Labels,
): boolean {
  const compared = kind === 'container' ? [...OWNERSHIP, LABEL.generation] : OWNERSHIP;
  return compared.every((label) => have?.[label] === want[label]);
}

export function assertSame(
  kind: 'container' | 'network' | 'volume',
  name: string,
  have: Labels | undefined | null,
  want: Labels,
): void {
  if (!sameObject(kind, have, want)) {
    throw conflict(kind, name, 'its labels name another owner or another specification');
  }
}

export function conflict(kind: string, name: string, why: string): DomainError {
  return new DomainError('ENGINE_CONFLICT', {
    message: `The engine holds a ${kind} named ${name} that is not the one asked for: ${why}.`,
    details: { kind, name },
  });
}
