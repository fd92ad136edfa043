/** What a container is called while another is made in its place; found later, it tells of a making that was cut short. */
const ASIDE = '-stuck';

export function asideOf(name: string): string {
  return `${name}${ASIDE}`;
}

/** Whose place the container of that name was to give up; null for one that was not put aside. */
export function placeOf(aside: string): string | null {
  return aside.endsWith(ASIDE) ? aside.slice(0, -ASIDE.length) : null;
}

interface Standing {
  running: boolean;
  /** Since it was made. */
  everStarted: boolean;
}

/**
 * Which of two goes on after a making that was cut short: the new one once it was started, since it may have been
 * used; before that the old one, which alone is known to be whole.
 */
export function goesOn(old: Standing, made: Standing | undefined): 'old' | 'new' {
  return made !== undefined && (made.running || (made.everStarted && !old.running)) ? 'new' : 'old';
}
