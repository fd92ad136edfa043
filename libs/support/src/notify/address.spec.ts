import fc from 'fast-check';
import { safeRecipient, safeSubject } from './address.js';

it('lets one plain address pass and nothing that could carry a second header or recipient', () => {
  expect(safeRecipient('ana@example.org')).toBe('ana@example.org');
  for (const bad of [
    'ana@example.org\r\nBcc: all@example.org',
    'ana@example.org, bob@example.org',
    'ana@example.org;bob@example.org',
    '"ana" <ana@example.org>',
    'ana@example.org\u0000',
    'ana\u200b@example.org',
    'ana',
    '',
  ]) {
    expect(() => safeRecipient(bad)).toThrow('not one plain');
  }
});

it('makes one line of any subject', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const subject = safeSubject(`Hello ${text}`);
      expect(subject).not.toMatch(/[\p{C}\u2028\u2029]/u);
      expect(subject.length).toBeLessThanOrEqual(200);
    }),
  );
});
