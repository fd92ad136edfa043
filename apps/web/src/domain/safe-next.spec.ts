import { safeNext } from './safe-next.js';

describe('safeNext', () => {
  it.each(['/app', '/sign-on?stack=u4k7mzq&state=abc&next=%2Fbots', '/console/stacks?q=a#b'])('goes to %s', (next) => {
    expect(safeNext(next)).toBe(next);
  });
  it.each([undefined, 7, '', 'app', 'https://evil.example', '//evil.example', '/\\evil.example', '/a\\b', '/a\nb'])(
    'does not go to %j',
    (next) => {
      expect(safeNext(next)).toBe('/app');
    },
  );
});
