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
