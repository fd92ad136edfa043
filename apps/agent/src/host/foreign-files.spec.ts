import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';

const ENTRYPOINT = resolve('images/postgres/docker-entrypoint.sh');
/** The entrypoint goes on as another user where it is root. */
const NOBODY = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'aviary-entrypoint-'));
  await chmod(home, 0o755);
  await mkdir(join(home, 'bin'));
  await mkdir(join(home, 'data'));
  await writeFile(join(home, 'bin/postgres'), '#!/bin/sh\necho a server starts\n', { mode: 0o755 });
  await writeFile(join(home, 'data/PG_VERSION'), '15\n');
});
afterAll(() => rm(home, { recursive: true, force: true }));

async function start(major: string): Promise<{ code: unknown; output: string; said: string }> {
  const env = { PATH: `${join(home, 'bin')}:/usr/bin:/bin`, PGDATA: join(home, 'data'), PG_MAJOR: major };
  const child = spawn('sh', [ENTRYPOINT, 'postgres'], { env, cwd: home, ...NOBODY });
  const closed = once(child, 'close');
  const [output, said] = await Promise.all([text(child.stdout), text(child.stderr)]);
  return { code: ((await closed) as unknown[])[0], output, said };
}

it('FM-18 the image’s server never starts on another major version’s files, and says so in one sentence', async () => {
  const refused = await start('17');
  expect(refused).toMatchObject({ code: 1, output: '' });
  expect(refused.said).toMatch(
    /^postgres: .*data holds files of PostgreSQL 15, which PostgreSQL 17 cannot open: .*\n$/,
  );
  expect(await start('15')).toEqual({ code: 0, output: 'a server starts\n', said: '' });
});
