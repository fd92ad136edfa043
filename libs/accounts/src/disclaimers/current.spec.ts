import { currentDisclaimer, disclaimer } from './current.js';

it('never changes the text of a version somebody may have accepted', () => {
  expect(disclaimer('1.0.0')?.sha256).toBe('PENDING');
});

it('is a semantic version with its own hash, and unknown versions are not made up', () => {
  expect(currentDisclaimer().version).toMatch(/^\d+\.\d+\.\d+$/);
  expect(currentDisclaimer().sha256).toMatch(/^[0-9a-f]{64}$/);
  expect(disclaimer('0.0.1')).toBeNull();
});
