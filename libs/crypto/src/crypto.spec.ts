import fc from 'fast-check';
import { randomBytes } from 'node:crypto';
import {
  deriveKey,
  hashToken,
  newSigningKey,
  open,
  publicKeyFromText,
  publicKeyText,
  randomBase32,
  randomToken,
  sameSecret,
  seal,
  signToken,
  signingKeyFromSeed,
  verifyToken,
} from './index.js';

describe('sealing', () => {
  const key = randomBytes(32);

  it('opens what it sealed, for any content', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 4_000 }), fc.string(), (bytes, context) => {
        expect(open(key, context, seal(key, context, Buffer.from(bytes))).equals(Buffer.from(bytes))).toBe(true);
      }),
      { numRuns: 50 },
    );
  });

  it('refuses another key, another place and any flipped bit', () => {
    const sealed = seal(key, 'tenant/a', 'hunter two');
    expect(() => open(randomBytes(32), 'tenant/a', sealed)).toThrow('does not open');
    expect(() => open(key, 'tenant/b', sealed)).toThrow('does not open');
    for (let at = 0; at < sealed.length; at += 1) {
      const bent = Buffer.from(sealed);
      bent[at] = (bent[at] ?? 0) ^ 1;
      expect(() => open(key, 'tenant/a', bent)).toThrow();
    }
    expect(() => open(key, 'tenant/a', sealed.subarray(0, 28))).toThrow('unknown layout');
  });

  it('never produces the same record twice', () => {
    expect(seal(key, 'c', 'x').equals(seal(key, 'c', 'x'))).toBe(false);
  });
});

describe('signed tokens', () => {
  const key = newSigningKey();
  const publicKey = publicKeyFromText(publicKeyText(key));
  const expected = { issuer: 'aviary-gate', audience: 'tenant-a' };
  const options = { ...expected, ttlSeconds: 60 };

  it('verify with the right key, issuer and audience only', async () => {
    const token = await signToken(key, { sub: 'ana' }, options);
    expect(await verifyToken(publicKey, token, expected)).toMatchObject({ sub: 'ana' });
    expect(await verifyToken(publicKeyFromText(publicKeyText(newSigningKey())), token, expected)).toBeNull();
    expect(await verifyToken(publicKey, token, { ...expected, audience: 'tenant-b' })).toBeNull();
    expect(await verifyToken(publicKey, token, { ...expected, issuer: 'aviary-portal' })).toBeNull();
    expect(await verifyToken(publicKey, `${token}x`, expected)).toBeNull();
  });

  it('expire', async () => {
    const token = await signToken(key, {}, { ...options, now: new Date('2026-01-01T00:00:00Z') });
    expect(await verifyToken(publicKey, token, { ...expected, now: new Date('2026-01-01T00:00:59Z') })).not.toBeNull();
    expect(await verifyToken(publicKey, token, { ...expected, now: new Date('2026-01-01T00:01:01Z') })).toBeNull();
  });

  it('come from a seed that gives the same key each time', () => {
    const seed = randomBytes(32);
    expect(publicKeyText(signingKeyFromSeed(seed))).toBe(publicKeyText(signingKeyFromSeed(seed)));
  });
});

it('makes tokens and names of the promised shape', () => {
  expect(randomToken()).toMatch(/^[A-Za-z0-9_-]{43}$/);
  expect(hashToken('a')).toMatch(/^[A-Za-z0-9_-]{43}$/);
  expect(randomBase32(6)).toMatch(/^[a-z2-7]{6}$/);
  expect(sameSecret('abc', 'abc')).toBe(true);
  expect(sameSecret('abc', 'abcd')).toBe(false);
  const secret = randomBytes(32);
  expect(deriveKey(secret, 'a').equals(deriveKey(secret, 'b'))).toBe(false);
});
