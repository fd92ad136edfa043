import { once } from 'node:events';
import { createServer, type Server } from 'node:https';
import { join } from 'node:path';
import { chromium, type Browser, type Page } from 'playwright-core';
import { createAuthority, issueLeaf } from '#libs/crypto';
import { axeFindings } from './axe.js';
import { testApi, type TestApi, type TestPerson } from './api.js';
import { builtPages } from './built-pages.js';
import { forward } from './forward.js';
import { freePort } from './ports.js';

/** Where a folder is named here, pages a test looks at are also kept there as pictures, for a person to look at. */
const PICTURES = process.env['AVIARY_TEST_PICTURES'];

/** Looks every page is seen in. */
export const LOOKS = [
  { name: 'phone-light', viewport: { width: 360, height: 740 }, colorScheme: 'light' },
  { name: 'wide-dark', viewport: { width: 1280, height: 900 }, colorScheme: 'dark' },
] as const;
const PICTURE_LOOKS = [
  ...LOOKS,
  { name: 'wide-light', viewport: { width: 1280, height: 900 }, colorScheme: 'light' },
] as const;

/** What fades in has the contrast of its end only at its end; what turns for ever has none. */
const STANDS_STILL = `new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))).then(() =>
  Promise.allSettled(
    document
      .getAnimations()
      .filter(({ playState, effect }) => playState === 'running' && effect?.getTiming().iterations !== Infinity)
      .map(({ finished }) => finished),
  ).then(() => undefined))`;

/** The built pages, served by the production api over TLS (its cookies are `__Host-`), in a real browser. */
export interface PortalBrowser {
  t: TestApi;
  origin: string;
  /** What pages complained of: exceptions, and breaches of their content security policy. */
  complaints: string[];
  open(options?: Parameters<Browser['newContext']>[0]): Promise<Page>;
  signIn(on: Page, who: Pick<TestPerson, 'email' | 'password'>, path: string): Promise<void>;
  /** No serious finding of axe, and nothing wider than the window. */
  assertSound(on: Page, name?: string): Promise<void>;
  close(): Promise<void>;
}

export async function portalBrowser(env: Record<string, string> = {}): Promise<PortalBrowser> {
  const port = await freePort();
  const origin = `https://aviary.localhost:${port}`;
  const pages = await builtPages('web');
  const t = await testApi({ AVIARY_WEB_DIR: pages.folder, AVIARY_HTTPS_PORT: String(port), ...env });
  const front = await startFront(t, port);
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
  });
  const complaints: string[] = [];
  return {
    t,
    origin,
    complaints,
    async open(options = {}) {
      const context = await browser.newContext({ ignoreHTTPSErrors: true, ...options });
      const opened = await context.newPage();
      opened.on('pageerror', (error) => complaints.push(error.message));
      opened.on('console', (message) => {
        if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) {
          complaints.push(message.text());
        }
      });
      return opened;
    },
    async signIn(on, who, path) {
      await on.goto(`${origin}${path}`);
      await on.getByLabel('E-mail address or user name').fill(who.email);
      await on.getByLabel('Password', { exact: true }).fill(who.password);
      await on.keyboard.press('Enter');
    },
    async assertSound(on, name) {
      await on.evaluate(STANDS_STILL);
      if (PICTURES !== undefined && name !== undefined) {
        await pictures(on, join(PICTURES, name));
      }
      expect(await axeFindings(on)).toEqual([]);
      expect([
        on.url(),
        await on.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth'),
      ]).toEqual([on.url(), 0]);
    },
    async close() {
      await browser.close();
      front.closeAllConnections();
      front.close();
      await t.close();
      pages.remove();
    },
  };
}

async function pictures(on: Page, path: string): Promise<void> {
  const before = on.viewportSize();
  for (const { name, viewport, colorScheme } of PICTURE_LOOKS) {
    await on.setViewportSize(viewport);
    await on.emulateMedia({ colorScheme });
    await on.evaluate('window.scrollTo(0, 0)');
    await on.screenshot({ path: `${path}-${name}.png`, fullPage: true });
  }
  await on.emulateMedia({ colorScheme: null });
  if (before !== null) {
    await on.setViewportSize(before);
  }
}

async function startFront(t: TestApi, port: number): Promise<Server> {
  const now = new Date();
  const leaf = await issueLeaf(await createAuthority(['aviary.localhost'], now), ['aviary.localhost'], now);
  const target = new URL(t.url);
  const server = createServer({ key: leaf.key, cert: leaf.certificate }, (incoming, answer) => {
    forward(target, incoming, answer);
  });
  server.keepAliveTimeout = 120_000;
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server;
}
