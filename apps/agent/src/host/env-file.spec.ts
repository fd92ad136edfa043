import { appendMissing, parseEnvFile } from './env-file.js';

it('reads names, quotes and values with equals signs, and skips the rest', () => {
  const text = '# note\nA=1\n B = \'x y\'\nexport C="k=="\nnot a line\nD=\n';
  expect([...parseEnvFile(text)]).toEqual([
    ['A', '1'],
    ['B', 'x y'],
    ['C', 'k=='],
    ['D', ''],
  ]);
});

it('adds what is missing and keeps every character that was there', () => {
  const text = '# mine\nA=1';
  const after = appendMissing(text, [
    { name: 'A', value: '2' },
    { name: 'B', value: 'x', comment: 'why' },
  ]);
  expect(after).toBe('# mine\nA=1\n# why\nB=x\n');
  expect(appendMissing(after, [{ name: 'B', value: 'y' }])).toBe(after);
});
