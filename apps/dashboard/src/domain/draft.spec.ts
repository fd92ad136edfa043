import {
  ASIDE_KEY,
  DRAFT_KEY,
  asideFor,
  clearDraft,
  readDraft,
  saveDraft,
  type DraftStore,
  type GridDraft,
} from './draft.js';

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

  describe('when a link fills the form', () => {
    const linked = { ...draft, preset: 'wide', lower: '50000' };

    it('stands aside, unless it is the same', () => {
      const store = memory();
      saveDraft(store, draft, 'then');
      expect(asideFor(store, linked)).toEqual({ draft, savedAt: 'then' });
      expect(asideFor(store, { ...draft })).toBeNull();
      expect(asideFor(store, null)).toBeNull();
    });

    it('stays aside when the next link replaces one that nobody changed', () => {
      const store = memory();
      saveDraft(store, draft, 'then', { key: ASIDE_KEY });
      saveDraft(store, linked, 'now', { fromLink: true });
      const aside = { draft, savedAt: 'then' };
      expect(asideFor(store, { ...linked, preset: 'narrow' })).toEqual(aside);
      expect(asideFor(store, null)).toEqual(aside);
      // typed in since: now it is a draft of the person
      saveDraft(store, linked, 'later');
      expect(asideFor(store, draft)).toEqual({ draft: linked, savedAt: 'later' });
    });
  });

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
