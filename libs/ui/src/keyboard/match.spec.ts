import { pressKey, SEQUENCE_MS, type Pending } from './match.js';

const ALL = ['?', '/', 'g s', 'g o'];

function type(keys: [string, number][], extra = {}): (string | null)[] {
  let pending: Pending | null = null;
  return keys.map(([key, at]) => {
    const result = pressKey(ALL, pending, { key, at, modified: false, typing: false, ...extra });
    pending = result.pending;
    return result.matched;
  });
}

describe('pressKey', () => {
  it('knows single keys and pairs', () => {
    expect(type([['?', 0]])).toEqual(['?']);
    expect(
      type([
        ['g', 0],
        ['s', 300],
      ]),
    ).toEqual([null, 'g s']);
  });
  it('forgets a first key that waited too long, or was followed by another', () => {
    expect(
      type([
        ['g', 0],
        ['s', SEQUENCE_MS + 1],
      ]),
    ).toEqual([null, null]);
    expect(
      type([
        ['g', 0],
        ['x', 100],
        ['s', 200],
      ]),
    ).toEqual([null, null, null]);
  });
  it('leaves typing and browser shortcuts alone', () => {
    expect(type([['?', 0]], { typing: true })).toEqual([null]);
    expect(type([['/', 0]], { modified: true })).toEqual([null]);
  });
});
