import fc from 'fast-check';
import { apiSlug, dashboardSlug, locationPath, placeOf, safeNext } from './targets.js';

describe('the path after sign-on', () => {
  it('is on the same host whatever was asked for', () => {
    const hostile = fc.oneof(
      fc.string(),
      fc.string({ unit: fc.constantFrom('/', '\\', '.', '@', ':', '\t', '\n', 'x', '%', '2', 'f', '?', '#') }),
      fc.webUrl(),
    );
    fc.assert(
      fc.property(hostile, (value) => {
        for (const next of [value, `/${value}`]) {
          const location = locationPath(safeNext(next));
          const target = new URL(location, 'https://own.test');
          expect(target.origin).toBe('https://own.test');
          expect(location).toMatch(/^\/(?![/\\])[\x21-\x7e]*$/);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('keeps what is fine', () => {
    expect(safeNext('/bots/1?tab=log#top')).toBe('/bots/1?tab=log#top');
    expect(safeNext(null)).toBe('/');
    expect(locationPath('/ü x')).toBe('/%C3%BC%20x');
    expect(locationPath('/a%20b')).toBe('/a%20b');
  });

  it('never leads back into the gate, where it could sign out or go round', () => {
    expect(safeNext('/.aviary/sign-out')).toBe('/');
  });
});

describe('the stack of a host', () => {
  it('is exactly one label before the domain, in any case and with any port', () => {
    expect(dashboardSlug('uabc234.stacks.test', 'stacks.test')).toBe('uabc234');
    expect(dashboardSlug('UABC234.Stacks.Test:8443', 'stacks.test')).toBe('uabc234');
  });

  it.each([
    undefined,
    '',
    'stacks.test',
    'api-uabc234.stacks.test',
    'x.uabc234.stacks.test',
    'uabc234.stacks.test.',
    'uabc234.stacks.test.evil.test',
    'uabc234stacks.test',
    'uabc2345.stacks.test',
    'uabc231.stacks.test',
    'uabc234.stacks.test:x',
    'uabc234.stacks.test/x',
    'uabc234.stacks.test, evil.test',
  ])('%j is none', (host) => {
    expect(dashboardSlug(host, 'stacks.test')).toBeNull();
  });
});

describe('the place of a visit', () => {
  const at = (host: string | undefined, routeSlug?: string) => placeOf(host, routeSlug, 'stacks.test');

  it('is told by the stack’s own host, and on a domain by its route alone', () => {
    expect(at('uabc234.stacks.test:8443')).toEqual({ slug: 'uabc234', host: 'uabc234.stacks.test', domain: null });
    expect(at('Bot.Example.org:8443', 'uabc234')).toEqual({
      slug: 'uabc234',
      host: 'bot.example.org',
      domain: 'bot.example.org',
    });
    expect(at('bot.example.org')).toBeNull();
  });

  it.each([
    ['uother2.stacks.test', 'uabc234'],
    ['stacks.test', 'uabc234'],
    ['bot.example.org', 'nobody'],
    ['bot example.org', 'uabc234'],
    [undefined, 'uabc234'],
  ])('is none for %s by a route of %s', (host, slug) => {
    expect(at(host, slug)).toBeNull();
  });
});

describe('the stack of an API’s host', () => {
  it('is the one label behind api-, in any case and with any port', () => {
    expect(apiSlug('api-uabc234.stacks.test', 'stacks.test')).toBe('uabc234');
    expect(apiSlug('API-uABC234.stacks.test:8443', 'stacks.test')).toBe('uabc234');
  });

  it.each([
    undefined,
    '',
    'uabc234.stacks.test',
    'api-.stacks.test',
    'api-api-uabc234.stacks.test',
    'api-x.uabc234.stacks.test',
    'api-uabc234.evil.test',
    'api-uabc234.stacks.test, evil.test',
  ])('%j is none', (host) => {
    expect(apiSlug(host, 'stacks.test')).toBeNull();
  });
});
