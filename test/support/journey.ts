import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import type { PortalClient, PortalPlace } from './portal-client.js';

export interface JourneyOptions {
  browser: Browser;
  place: PortalPlace;
  /** Reads the mailed link, as an operator does on the outbox page. */
  operator: PortalClient;
  name: string;
  password: string;
  /** Folder for pictures of every page on the way; none are taken without it. */
  pictures?: string;
}

export interface Journey {
  slug: string;
  /** The dashboard, with the bot's page open. */
  dashboard: Page;
  fills: number;
}

const FIRST_FILL_MS = 120_000;

/** From nothing to the first fill, by clicking: sign up, confirm, sign in, create, open the dashboard, start a grid. */
export async function signUpToFirstFill(options: JourneyOptions): Promise<Journey> {
  const { browser, place, operator, name, password } = options;
  const origin =
    place.httpsPort === 443 ? `https://${place.portalDomain}` : `https://${place.portalDomain}:${place.httpsPort}`;
  const context = await browser.newContext({
    viewport: { width: 1280, height: 900 },
    locale: 'en-GB',
    timezoneId: 'Europe/Berlin',
  });
  const page = await context.newPage();
  const troubles: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error') {
      troubles.push(`console: ${message.text()}`);
    }
  });
  page.on('response', (response) => {
    if (response.status() >= 400) {
      troubles.push(`${response.status()} ${response.request().method()} ${response.url()}`);
    }
  });
  const take = async (on: Page, title: string): Promise<void> => {
    if (options.pictures !== undefined) {
      await shots(on, options.pictures, title);
    }
  };

  await page.goto(`${origin}/signup`);
  await page.getByLabel('E-mail address').fill(`${name}@example.org`);
  await page.getByLabel('User name').fill(name);
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByRole('checkbox').check();
  await take(page, '1-sign-up');
  await page.getByRole('button', { name: 'Create account' }).click();
  await page.getByText(`We sent a link to ${name}@example.org`).waitFor();

  await page.goto(`${origin}/verify?token=${await operator.mailedToken(`${name}@example.org`)}`);
  await page.getByText('E-mail address confirmed').waitFor();
  await page.getByRole('link', { name: 'Sign in' }).click();
  await page.getByLabel('E-mail address or user name').fill(name);
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();

  await page.getByRole('button', { name: 'Create stack' }).first().waitFor();
  await take(page, '2-no-stack-yet');
  await page.getByRole('button', { name: 'Create stack' }).first().click();
  const open = page.getByRole('link', { name: /Open dashboard/ });
  await open.waitFor({ timeout: 60_000 }).catch(async (error: unknown) => {
    const says = await page.locator('body').innerText();
    throw new Error(`No dashboard to open. ${page.url()} says:\n${says}\n${troubles.join('\n')}`, { cause: error });
  });
  await take(page, '3-stack');
  const slug = /(u[a-z2-7]{6})/.exec((await open.getAttribute('href')) ?? '')?.[1] ?? '';

  const [dashboard] = await Promise.all([openedBy(page), open.click()]);
  await dashboard.waitForURL(new RegExp(`^https://${slug}\\.`));
  await dashboard.getByText('Start your first bot').waitFor();
  await take(dashboard, '4-dashboard-empty');
  await dashboard
    .getByRole('link', { name: /Narrow/ })
    .or(dashboard.getByRole('button', { name: /Narrow/ }))
    .first()
    .click();
  await dashboard.getByRole('button', { name: 'Start on paper' }).waitFor();
  await take(dashboard, '5-new-grid');
  await dashboard.getByRole('button', { name: 'Start on paper' }).click();
  await dashboard.waitForURL(/\/bots\/[0-9a-f-]{36}/);
  const fills = await firstFill(dashboard);
  await take(dashboard, '6-bot');
  return { slug, dashboard, fills };
}

/** The link opens in this tab or a new one; either way, the page that shows the dashboard. */
async function openedBy(page: Page): Promise<Page> {
  return Promise.race([
    page.context().waitForEvent('page'),
    page.waitForURL(/^https:\/\/u[a-z2-7]{6}\./).then(() => page),
  ]);
}

async function firstFill(page: Page): Promise<number> {
  await page.getByRole('tab', { name: /Fills/ }).click();
  const rows = page.getByRole('tabpanel').getByRole('row');
  // Row 0 is the head and row 1 the buy at the start: the first level that is crossed is row 2.
  await rows.nth(2).waitFor({ timeout: FIRST_FILL_MS });
  return (await rows.count()) - 1;
}

/** One page as people see it: light and dark on a desk, light on a phone. */
export async function shots(page: Page, folder: string, title: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const size = page.viewportSize() ?? { width: 1280, height: 900 };
  for (const [name, width, height, colorScheme] of [
    ['light', 1280, 900, 'light'],
    ['dark', 1280, 900, 'dark'],
    ['phone', 360, 740, 'light'],
  ] as const) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height });
    await page.screenshot({ path: join(folder, `${title}-${name}.png`), fullPage: name !== 'phone' });
  }
  await page.emulateMedia({ colorScheme: 'light' });
  await page.setViewportSize(size);
}
