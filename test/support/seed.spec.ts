import { seedOfRun } from './seed.js';

it('is the same in each run unless another is given', () => {
  expect(seedOfRun({})).toBe(seedOfRun({}));
  expect(seedOfRun({ AVIARY_TEST_SEED: '7' })).toBe(7);
});

it('is refused where it is no whole number', () => {
  const given = (seed: string): number => seedOfRun({ AVIARY_TEST_SEED: seed });
  expect(() => given('seven')).toThrow('AVIARY_TEST_SEED is no whole number: seven');
  expect(() => given('')).toThrow('AVIARY_TEST_SEED is no whole number');
});
