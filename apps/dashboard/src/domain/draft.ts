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
}

/** The version is part of the name: a draft of another shape is not read, and not destroyed either. */
export const DRAFT_KEY = 'aviary.dashboard.grid-draft.1';

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
export function readDraft(store: DraftStore): SavedDraft | null {
  const text = store.getItem(DRAFT_KEY);
  if (text === null) {
    return null;
  }
  try {
    const value = JSON.parse(text) as { draft?: unknown; savedAt?: unknown } | null;
    return isDraft(value?.draft) && typeof value?.savedAt === 'string'
      ? { draft: value.draft, savedAt: value.savedAt }
      : null;
  } catch (error) {
    if (error instanceof SyntaxError) {
      return null;
    }
    throw error;
  }
}

/** False where the browser keeps nothing (private window, full storage): the page then does not claim it was saved. */
export function saveDraft(store: DraftStore, draft: GridDraft, savedAt: string): boolean {
  try {
    store.setItem(DRAFT_KEY, JSON.stringify({ draft, savedAt }));
    return true;
  } catch {
    return false;
  }
}

export function clearDraft(store: DraftStore): void {
  store.removeItem(DRAFT_KEY);
}
