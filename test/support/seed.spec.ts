import { seedOfDay } from './seed.js';

it('is another each day, and the same all day', () => {
  const at = (time: string): number => seedOfDay(new Date(time), {});
  expect(at('2026-11-23T00:00:00Z')).toBe(20_261_123);
  expect(at('2026-11-23T23:59:59Z')).toBe(20_261_123);
  expect(at('2026-11-24T00:00:00Z')).toBe(20_261_124);
});

it('is the one that is given, and no text is one', () => {
  const given = (seed: string): number => seedOfDay(new Date(), { AVIARY_TEST_SEED: seed });
  expect(given('7')).toBe(7);
  expect(() => given('seven')).toThrow('AVIARY_TEST_SEED is no whole number: seven');
  expect(() => given('')).toThrow('AVIARY_TEST_SEED is no whole number');
});
