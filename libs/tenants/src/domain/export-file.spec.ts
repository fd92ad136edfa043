import { exportFile } from './export-file.js';

it('names the stack and of when its data is, without what file systems dislike', () => {
  expect(exportFile('u4k7mzq', new Date('2026-11-22T01:14:09.123Z'))).toBe('u4k7mzq-20261122T011409Z.tar.age');
});
