import { currentDisclaimer, disclaimer } from './current.js';

it('never changes the text of a version somebody may have accepted', () => {
  expect(disclaimer('1.0.0')?.sha256).toBe('970fd530e04ecd63e480a313305ccafe04ae6c371b5653aa9551dd469285147b');
});

it('is a semantic version with its own hash, and unknown versions are not made up', () => {
  expect(currentDisclaimer().version).toMatch(/^\d+\.\d+\.\d+$/);
  expect(currentDisclaimer().sha256).toMatch(/^[0-9a-f]{64}$/);
  expect(disclaimer('0.0.1')).toBeNull();
});
