import { DRAFT_KEY, clearDraft, readDraft, saveDraft, type DraftStore, type GridDraft } from './draft.js';

const draft: GridDraft = {
  pair: 'BTC/USDT',
  preset: 'balanced',
  name: '',
  lower: '60 000',
  upper: '72,000.5',
  grids: '12',
  mode: 'arith',
  investment: '1200',
  triggerPrice: '',
  stopLoss: '',
  takeProfit: '',
  onExit: 'sell',
};

function memory(): DraftStore {
  const entries = new Map<string, string>();
  return {
    getItem: (key) => entries.get(key) ?? null,
    setItem: (key, value) => void entries.set(key, value),
    removeItem: (key) => void entries.delete(key),
  };
}

describe('draft of the grid form', () => {
  it('comes back exactly as typed and goes when used', () => {
    const store = memory();
    expect(saveDraft(store, draft, '2026-11-21T14:02:11.000Z')).toBe(true);
    expect(readDraft(store)).toEqual({ draft, savedAt: '2026-11-21T14:02:11.000Z' });
    clearDraft(store);
    expect(readDraft(store)).toBeNull();
  });

  it.each(['', '{', 'null', '{"draft":null}', '{"draft":{"lower":1},"savedAt":"x"}', JSON.stringify({ draft })])(
    'takes %s for no draft',
    (text) => {
      const store = memory();
      store.setItem(DRAFT_KEY, text);
      expect(readDraft(store)).toBeNull();
    },
  );

  it('says so when nothing can be kept', () => {
    const full: DraftStore = {
      ...memory(),
      setItem: () => {
        throw new Error('QuotaExceededError');
      },
    };
    expect(saveDraft(full, draft, 'now')).toBe(false);
  });
});
