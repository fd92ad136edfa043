import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { AccountService, Passwords } from '#libs/accounts';
import { SYSTEM } from './accounts.js';
import type { TestDatabase } from './postgres.js';
import { program } from './program.js';

export interface Ran {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** The real program in a process of its own, with nothing in its environment but what it is told. */
export async function aviary(env: Record<string, string>, args: string[], input = ''): Promise<Ran> {
  const child = spawn(process.execPath, [...program('apps/cli/src/main.ts'), ...args], {
    env,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  child.stdin.end(input);
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit') as Promise<[number | null]>,
  ]);
  return { code, stdout, stderr };
}

/** What a command needs to reach the platform of a test. */
export const environment = (of: TestDatabase): Record<string, string> => ({
  AVIARY_ENV: 'test',
  AVIARY_PLATFORM_ID: of.platformId,
  AVIARY_DATABASE_URL: of.url,
});

/** The one document a command printed; its exit code is that of the process. */
export const document = (ran: Ran): Record<string, unknown> & { data: never; error: never } => {
  const lines = ran.stdout.trim().split('\n');
  expect(lines).toHaveLength(1);
  const parsed = JSON.parse(lines[0] ?? '') as { exit: number; data: never; error: never };
  expect(parsed.exit).toBe(ran.code);
  return parsed;
};

/** An operator olga and a subscriber ana. */
export async function twoPeople(db: TestDatabase): Promise<void> {
  const accounts = new AccountService({
    database: db.dataSource,
    passwords: new Passwords(4),
    now: () => new Date(),
  });
  for (const [username, role] of [
    ['olga', 'operator'],
    ['ana', 'subscriber'],
  ] as const) {
    const password = randomBytes(12).toString('base64url');
    await accounts.create(SYSTEM, { email: `${username}@example.org`, username, password, role });
  }
}
