import { RELEASE_MOVES, type ReleaseMove, type ReleaseView, type StackView } from '#libs/contracts';

/** All releases, newest first, as the API lists them. */
type Releases = readonly ReleaseView[];

/** The one that new stacks of a template are made of. */
export function madeOf(releases: Releases, template: string): ReleaseView | null {
  return releases.find((one) => one.template === template && one.state === 'stable') ?? null;
}

export interface MoveEffects {
  /** What new stacks are made of after it, and whether that is another one than before. */
  newStacks: { release: ReleaseView | null; changes: boolean };
  /** Stacks on older releases of its template: their owners are offered one that becomes stable. */
  older: number;
}

export function effectsOf(releases: Releases, release: ReleaseView, move: ReleaseMove): MoveEffects {
  const { id, template } = release;
  const { to } = RELEASE_MOVES[move];
  const after = madeOf(
    releases.map((one) => (one.id === id ? { ...one, state: to } : one)),
    template,
  );
  const older = releases.filter((one) => one.template === template && one.createdAt < release.createdAt);
  return {
    newStacks: { release: after, changes: after?.id !== madeOf(releases, template)?.id },
    older: older.reduce((sum, { stacks }) => sum + stacks, 0),
  };
}

/** What an offered release is called on the page of a stack: another build of the same version, by its digest too. */
export function offerName({ release, upgrade }: Pick<StackView, 'release' | 'upgrade'>): string | null {
  if (upgrade === null) {
    return null;
  }
  return upgrade.version === release ? upgrade.release.slice(upgrade.release.indexOf('@') + 1) : upgrade.version;
}
