/** How long a first key such as `g` waits for its second. */
export const SEQUENCE_MS = 1200;

export interface KeyPress {
  key: string;
  at: number;
  /** Ctrl, Alt or Meta was held: the browser's, not ours. */
  modified: boolean;
  /** The person is typing into a field. */
  typing: boolean;
}

export interface Pending {
  key: string;
  at: number;
}

export interface KeyResult {
  /** The combination that is complete, such as `g s`. */
  matched: string | null;
  pending: Pending | null;
}

/** Folds one key press into what was pressed before. Combinations are one key or two separated by a space. */
export function pressKey(combinations: readonly string[], pending: Pending | null, press: KeyPress): KeyResult {
  if (press.modified || press.typing) {
    return { matched: null, pending: null };
  }
  const first = pending !== null && press.at - pending.at <= SEQUENCE_MS ? pending.key : null;
  const pair = first === null ? null : `${first} ${press.key}`;
  if (pair !== null && combinations.includes(pair)) {
    return { matched: pair, pending: null };
  }
  if (combinations.includes(press.key)) {
    return { matched: press.key, pending: null };
  }
  const begins = combinations.some((combination) => combination.startsWith(`${press.key} `));
  return { matched: null, pending: begins ? { key: press.key, at: press.at } : null };
}
