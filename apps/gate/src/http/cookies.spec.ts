import fc from 'fast-check';
import { readCookie, setCookie } from './cookies.js';

const NAME = '__Host-aviary-session';

describe('reading a cookie', () => {
  it('finds it among others', () => {
    expect(readCookie(`a=1; ${NAME}=x.y.z; b=2`, NAME)).toBe('x.y.z');
    expect(readCookie(`${NAME}=x.y.z`, NAME)).toBe('x.y.z');
  });

  it.each([
    undefined,
    '',
    'a=1',
    `${NAME}`,
    `${NAME}=`,
    `${NAME}=a; ${NAME}=b`,
    `${NAME}=a; ${NAME}=a`,
    `x${NAME}=a`,
    `${NAME}x=a`,
    `${NAME.toLowerCase()}=a`,
    `${NAME}="a"`,
    `${NAME}=a b`,
    `${NAME}=a,b`,
    `${NAME}=${'a'.repeat(5000)}`,
    `${'x=1; '.repeat(5000)}${NAME}=a`,
  ])('gives nothing for case %#', (header) => {
    expect(readCookie(header, NAME)).toBeNull();
  });

  it('never throws and never gives a character a header could not carry', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (before, value) => {
        const found = readCookie(`${before}; ${NAME}=${value}`, NAME);
        expect(found === null || /^[A-Za-z0-9._-]+$/.test(found)).toBe(true);
      }),
    );
  });
});

it('a cookie is for this host alone', () => {
  expect(setCookie(NAME, 'v', 60)).toBe(`${NAME}=v; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Lax`);
});
