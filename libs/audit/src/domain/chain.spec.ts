import fc from 'fast-check';
import { createHash } from 'node:crypto';
import { canonicalEntry, canonicalJson, canonicalSeal, GENESIS, type SealedFields } from './canonical.js';
import { CHAIN_START, checkSeals, type SealRow } from './chain.js';
import { withoutSecrets } from './redact.js';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const entry = (id: number): SealedFields => ({
  id: `e${id}`,
  at: '2026-01-01T00:00:00.000Z',
  actorKind: 'system',
  actorId: null,
  actorName: 'system:test',
  via: null,
  ip: null,
  sessionId: null,
  action: 'thing.change',
  targetKind: 'thing',
  targetId: String(id),
  before: null,
  after: { size: id },
});

function chain(count: number): { entries: Map<string, SealedFields>; seals: SealRow[] } {
  const entries = new Map<string, SealedFields>();
  const seals: SealRow[] = [];
  let previous = GENESIS;
  for (let seq = 1; seq <= count; seq += 1) {
    const one = entry(seq);
    entries.set(one.id, one);
    const entryHash = sha256(canonicalEntry(one));
    const hash = sha256(canonicalSeal({ seq, previous, entryHash }));
    seals.push({ seq, entryId: one.id, entryHash, hash });
    previous = hash;
  }
  return { entries, seals };
}
const faults = ({ entries, seals }: ReturnType<typeof chain>) =>
  checkSeals(CHAIN_START, seals, (id) => entries.get(id), sha256).faults;

describe('audit chain', () => {
  it('fits itself, in one page or in several', () => {
    const made = chain(9);
    expect(faults(made)).toEqual([]);
    const first = checkSeals(CHAIN_START, made.seals.slice(0, 4), (id) => made.entries.get(id), sha256);
    const rest = checkSeals(first.end, made.seals.slice(4), (id) => made.entries.get(id), sha256);
    expect([...first.faults, ...rest.faults]).toEqual([]);
    expect(rest.end.seq).toBe(9);
  });

  it('shows any single field of any entry that was changed', () => {
    const fields = Object.keys(entry(1)) as (keyof SealedFields)[];
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 6 }), fc.constantFrom(...fields), (at, field) => {
        const made = chain(6);
        made.entries.set(`e${at}`, { ...entry(at), [field]: 'changed' });
        expect(faults(made)).toEqual([{ kind: 'entry_edited', seq: at, entryId: `e${at}` }]);
      }),
      { numRuns: 60 },
    );
  });

  it('shows any seal removed or any two exchanged', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4 }), fc.integer({ min: 1, max: 5 }), (from, by) => {
        const removed = chain(6);
        removed.seals.splice(from, 1);
        expect(faults(removed).length).toBeGreaterThan(0);
        const moved = chain(11);
        const [a, b] = [moved.seals[from], moved.seals[from + by]];
        if (a && b) {
          moved.seals[from] = { ...b, seq: a.seq };
          moved.seals[from + by] = { ...a, seq: b.seq };
        }
        expect(faults(moved).length).toBeGreaterThan(0);
      }),
    );
  });
});

it('writes equal values alike, whatever the order of their keys', () => {
  expect(canonicalJson({ b: [1, { d: null, c: 'x' }], a: undefined })).toBe('{"b":[1,{"c":"x","d":null}]}');
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      expect(canonicalJson(JSON.parse(JSON.stringify(value)))).toBe(canonicalJson(value));
    }),
  );
});

it('keeps no value under a name that sounds secret, at any depth', () => {
  expect(
    withoutSecrets({ a: 1, password: 'x', list: [{ refreshToken: 'y', apiKey: 'z', token: null }], passwordHash: 'h' }),
  ).toEqual({
    a: 1,
    password: '[removed]',
    list: [{ refreshToken: '[removed]', apiKey: '[removed]', token: null }],
    passwordHash: '[removed]',
  });
  expect(withoutSecrets(undefined)).toBeNull();
});
