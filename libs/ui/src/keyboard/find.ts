/**
 * Commands whose label has every word that was typed, those that begin with it first; all of them while nothing is
 * typed. Case and accents do not matter.
 */
export function findCommands<T extends { label: string }>(commands: readonly T[], typed: string): T[] {
  const wanted = plain(typed);
  const words = wanted.split(/\s+/).filter((word) => word !== '');
  const found = commands.filter(({ label }) => words.every((word) => plain(label).includes(word)));
  const begins = ({ label }: T): number => (plain(label).startsWith(wanted) ? 0 : 1);
  return found.toSorted((a, b) => begins(a) - begins(b));
}

function plain(text: string): string {
  return text.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase().trim();
}
