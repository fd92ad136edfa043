import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, chown, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { waitFor } from '#libs/async';
import { olderPostgres } from './backup-tools.js';
import { freePort } from './ports.js';

const run = promisify(execFile);
/** A server refuses to run as root; `nobody` of Debian. */
const NOBODY = 65_534;
const START_MS = 60_000;
const QUICK = ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off', 'shared_buffers=16MB'];

export interface OlderServer {
  major: number;
  /** As its own superuser. */
  url: URL;
  close(): Promise<void>;
}

/** A real server of PostgreSQL 15 of one's own, on loopback: call it in `beforeAll`, `close()` in `afterAll`. */
export async function olderServer(): Promise<OlderServer> {
  const home = await mkdtemp(join(tmpdir(), 'aviary-pg15-'));
  const [data, passwordFile] = [join(home, 'data'), join(home, 'password')];
  const password = randomBytes(16).toString('hex');
  await chmod(home, 0o755);
  await mkdir(data, { mode: 0o700 });
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
  const as = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  if ('uid' in as) {
    await chown(data, NOBODY, NOBODY);
    await chown(passwordFile, NOBODY, NOBODY);
  }
  const options = ['--auth=scram-sha-256', `--pwfile=${passwordFile}`, '--encoding=UTF8', '--locale=C', '--no-sync'];
  await run(olderPostgres('initdb'), ['-D', data, '-U', 'postgres', ...options], { cwd: home, ...as });
  const port = await freePort();
  const settings = ['listen_addresses=127.0.0.1', 'unix_socket_directories=', ...QUICK].flatMap((one) => ['-c', one]);
  const server = spawn(olderPostgres('postgres'), ['-D', data, '-p', String(port), ...settings], {
    cwd: home,
    stdio: 'ignore',
    ...as,
  });
  const ended = once(server, 'exit');
  const url = new URL(`postgres://postgres:${password}@127.0.0.1:${port}/postgres`);
  await waitFor(
    async () => {
      const client = new pg.Client({ connectionString: url.href });
      try {
        await client.connect();
        return true;
      } catch {
        return undefined; // It starts.
      } finally {
        await client.end().catch(() => undefined);
      }
    },
    { what: 'a server of PostgreSQL 15', deadlineMs: START_MS },
  );
  return {
    major: 15,
    url,
    async close() {
      server.kill('SIGINT');
      await ended;
      await rm(home, { recursive: true, force: true });
    },
  };
}
