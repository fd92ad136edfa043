import { DomainError, type Actor } from '#libs/contracts';

type Person = Exclude<Actor, { kind: 'system' }>;

/** Only people own and order stacks; a system actor here would be a mistake in our own code. */
export function requireActor(actor: Actor): Person {
  if (actor.kind === 'system') {
    throw new DomainError('FORBIDDEN', { message: `The system actor ${actor.name} cannot do this.` });
  }
  return actor;
}

/** The account whose rows this actor may see; null means everybody's. */
export function ownerScope(actor: Actor): string | null {
  const person = requireActor(actor);
  return person.kind === 'operator' ? null : person.accountId;
}
