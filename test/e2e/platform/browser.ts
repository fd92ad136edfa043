import type { FillList } from '#libs/contracts';
import { browserTrusting, type TestBrowser } from '../../support/browser.js';
import { signUpToFirstFill } from '../../support/journey.js';
import { PASSWORD, type PlatformWorld } from './world.js';

/** A person with a real browser, through the proxy. */
export function person(world: () => PlatformWorld): void {
  afterAll(() => world().clear(), 120_000);

  let chromium: TestBrowser;
  beforeAll(async () => {
    chromium = await browserTrusting(world().platform.place.ca);
  });
  afterAll(() => chromium?.close());

  it('goes from nothing to the first fill by clicking', async () => {
    const pictures = process.env['AVIARY_TEST_PICTURES'];
    const { slug, fills, dashboard } = await signUpToFirstFill({
      browser: chromium.browser,
      place: world().platform.place,
      operator: world().operator,
      name: 'clicker',
      password: PASSWORD,
      ...(pictures === undefined ? {} : { pictures }),
    });
    expect(fills).toBeGreaterThan(1);
    // Two fills of their own: the purchase at the start and a level that was crossed, or two levels.
    const rows = dashboard.getByRole('tabpanel').getByRole('row');
    const shown = await Promise.all([rows.nth(1).innerText(), rows.nth(2).innerText()]);
    expect(shown.every((text) => /(buy|sell|bought|sold)/i.test(text) && /\d/.test(text))).toBe(true);
    expect(shown[0]).not.toBe(shown[1]);
    const { items } = await dashboard.evaluate<FillList, string>(
      async (path) => (await fetch(path)).json() as Promise<FillList>,
      `/api/v1${new URL(dashboard.url()).pathname}/fills`,
    );
    expect(items.length).toBeGreaterThan(1);
    expect(new Set(items.map(({ id }) => id)).size).toBe(items.length);
    expect(new Set(items.map(({ purpose }) => purpose))).toEqual(new Set(['start', 'grid']));
    expect(new URL(dashboard.url()).hostname).toBe(`${slug}.${world().platform.place.tenantDomain}`);
  }, 240_000);
}
