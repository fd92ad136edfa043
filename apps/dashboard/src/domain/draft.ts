/** What a person has typed into the new-grid form: text as typed, nothing parsed, nothing secret. */
export interface GridDraft {
  pair: string;
  preset: string | null;
  name: string;
  lower: string;
  upper: string;
  grids: string;
  mode: 'arith' | 'geo';
  investment: string;
  triggerPrice: string;
  stopLoss: string;
  takeProfit: string;
  onExit: 'keep' | 'sell';
}

export interface SavedDraft {
  draft: GridDraft;
  savedAt: string;
  /** A link filled it in and nobody changed it since: it can be made again, and gives way to any other. */
  fromLink?: true;
}

/** The version is part of the name: a draft of another shape is not read, and not destroyed either. */
export const DRAFT_KEY = 'aviary.dashboard.grid-draft.1';
/** The draft that had to make room for what a link filled in. */
export const ASIDE_KEY = 'aviary.dashboard.grid-draft-aside.1';

export interface DraftStore {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

const TEXT_FIELDS = [
  'pair',
  'name',
  'lower',
  'upper',
  'grids',
  'investment',
  'triggerPrice',
  'stopLoss',
  'takeProfit',
] as const;

function isDraft(value: unknown): value is GridDraft {
  if (typeof value !== 'object' || value === null) {
    return false;
  }
  const fields = value as Record<string, unknown>;
  return (
    TEXT_FIELDS.every((name) => typeof fields[name] === 'string') &&
    (fields['preset'] === null || typeof fields['preset'] === 'string') &&
    (fields['mode'] === 'arith' || fields['mode'] === 'geo') &&
    (fields['onExit'] === 'keep' || fields['onExit'] === 'sell')
  );
}

/** A draft that cannot be read is no draft: the form begins with its preset. */
export function readDraft(store: DraftStore, key = DRAFT_KEY): SavedDraft | null {
  const text = store.getItem(key);
  if (text === null) {
    return null;
  }
  try {
    const value = JSON.parse(text) as { draft?: unknown; savedAt?: unknown; fromLink?: unknown } | null;
    return isDraft(value?.draft) && typeof value?.savedAt === 'string'
      ? { draft: value.draft, savedAt: value.savedAt, ...(value.fromLink === true ? { fromLink: true } : {}) }
      : null;
  } catch (error) {
    if (error instanceof SyntaxError) {
      return null;
    }
    throw error;
  }
}

/** False where the browser keeps nothing (private window, full storage): the page then does not claim it was saved. */
export function saveDraft(
  store: DraftStore,
  draft: GridDraft,
  savedAt: string,
  { key = DRAFT_KEY, fromLink = false } = {},
): boolean {
  const saved: SavedDraft = { draft, savedAt, ...(fromLink ? { fromLink } : {}) };
  try {
    store.setItem(key, JSON.stringify(saved));
    return true;
  } catch {
    return false;
  }
}

export function clearDraft(store: DraftStore, key = DRAFT_KEY): void {
  store.removeItem(key);
}

function same(a: GridDraft, b: GridDraft): boolean {
  return (Object.keys(a) as (keyof GridDraft)[]).every((field) => a[field] === b[field]);
}

/**
 * The draft that is to be kept aside once `linked` fills the form (null: no link does): the one a person typed, else
 * the one that is aside already.
 */
export function asideFor(store: DraftStore, linked: GridDraft | null): SavedDraft | null {
  const saved = readDraft(store);
  const displaced = linked !== null && saved !== null && !saved.fromLink && !same(saved.draft, linked);
  return displaced ? saved : readDraft(store, ASIDE_KEY);
}
