import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, type Browser } from 'playwright-core';

/** Without these Chromium asks its vendor's hosts at every start, which a closed network answers slowly. */
const QUIET = [
  '--no-sandbox',
  '--disable-dev-shm-usage',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** The script a page begins with, as it comes to those who take Brotli and to those who do not. */
export async function firstScript(
  origin: string,
  headers: Record<string, string> = {},
): Promise<Record<'small' | 'plain' | 'refused', { coding: string | null; vary: string | null; text: string }>> {
  const page = await (await fetch(origin, { headers: { ...headers, accept: 'text/html' } })).text();
  const path = /src="(\/assets\/[^"]+\.js)"/.exec(page)?.[1];
  if (path === undefined) {
    throw new Error('the page names no script');
  }
  const get = async (coding: string) => {
    const answer = await fetch(origin + path, { headers: { ...headers, 'accept-encoding': coding } });
    const { headers: sent } = answer;
    return { coding: sent.get('content-encoding'), vary: sent.get('vary'), text: await answer.text() };
  };
  return { small: await get('gzip, br'), plain: await get('identity'), refused: await get('gzip, br;q=0') };
}

export interface TestBrowser {
  browser: Browser;
  close(): Promise<void>;
}

/** Chromium as a person has it after following what `scripts/up` prints: it trusts this authority and nothing is ignored. */
export async function browserTrusting(ca: string): Promise<TestBrowser> {
  const home = mkdtempSync(join(tmpdir(), 'aviary-browser-'));
  const database = join(home, '.pki/nssdb');
  mkdirSync(database, { recursive: true });
  writeFileSync(join(home, 'ca.crt'), ca);
  execFileSync('certutil', ['-d', `sql:${database}`, '-N', '--empty-password']);
  execFileSync('certutil', ['-d', `sql:${database}`, '-A', '-t', 'C,,', '-n', 'aviary', '-i', join(home, 'ca.crt')]);
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: QUIET,
    env: { ...process.env, HOME: home },
  });
  return {
    browser,
    async close() {
      await browser.close();
      rmSync(home, { recursive: true, force: true });
    },
  };
}
