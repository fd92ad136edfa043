import { randomBytes } from 'node:crypto';
import { PASSPHRASE_BYTES, passphraseSchema, spelledPassphrase } from './exports.js';

it('spells as many random bytes as 25 digits in groups, none of which is mistaken for another', () => {
  expect(spelledPassphrase(new Uint8Array(PASSPHRASE_BYTES))).toBe('aaaaa-aaaaa-aaaaa-aaaaa-aaaaa');
  expect(spelledPassphrase(Uint8Array.from({ length: PASSPHRASE_BYTES }, (_unused, at) => 255 - at))).toBe(
    '98765-432zy-xwvut-srqpn-mkjih',
  );
  const made = Array.from({ length: 200 }, () => spelledPassphrase(randomBytes(PASSPHRASE_BYTES)));
  expect(new Set(made).size).toBe(200);
  for (const passphrase of made) {
    expect(passphrase).toMatch(/^[a-km-np-z2-9]{5}(-[a-km-np-z2-9]{5}){4}$/);
    expect(passphraseSchema.parse(passphrase)).toBe(passphrase);
  }
});

it.each([
  ['too short', 'eleven char'],
  ['two lines', 'a long passphrase\nof two lines'],
  ['a tab', 'a long\tpassphrase'],
])('refuses a passphrase of %s', (_what, passphrase) => {
  expect(passphraseSchema.safeParse(passphrase).success).toBe(false);
});

it('takes one as it is typed, spaces at its ends too, since age reads them as they are', () => {
  expect(passphraseSchema.parse(' über sieben Brücken ')).toBe(' über sieben Brücken ');
});
