import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { waitFor } from '#libs/async';
import type { ExportView } from '#libs/contracts';
import { aviary, document, environment } from '../support/cli.js';
import { ExportWorld, PASSPHRASE } from '../support/export-world.js';
import { hostScript, type HostScript } from '../support/host-script.js';
import { openArchive } from '../support/opened-archive.js';
import { program } from '../support/program.js';

jest.setTimeout(120_000);

const root = resolve(import.meta.dirname, '../..');

let world: ExportWorld;
let env: Record<string, string>;
let stack: Awaited<ReturnType<ExportWorld['stack']>>;
let at: string;
let passphrase: string;

beforeAll(async () => {
  world = await ExportWorld.start();
  env = { ...environment(world.world.world.database), AVIARY_AGENT_SOCKET: world.socket };
  await world.world.world.operator();
  stack = await world.stack();
  at = await mkdtemp(join(world.world.home, 'cli-'));
  passphrase = join(at, 'passphrase');
  await writeFile(passphrase, `${PASSPHRASE}\n`, { mode: 0o600 });
});
afterAll(() => world.close());
afterEach(() => world.world.asUsual());

const exported = (...args: string[]) => aviary(env, ['backup', 'export', ...args]);
const opens = async (file: string, with_: string): Promise<boolean> => {
  const opened = await mkdtemp(join(at, 'opened-'));
  const { code } = await openArchive(file, with_, opened);
  return code === 0 && existsSync(join(opened, 'postgres.dump'));
};

it('writes the newest backup that counts to a file of its own, which the passphrase of a file opens', async () => {
  const file = join(at, 'mine.age');
  const ran = await exported(stack.slug, '--output', file, '--passphrase-file', passphrase);
  expect([ran.code, ran.stdout]).toEqual([
    0,
    expect.stringMatching(
      /^✓ u[a-z2-7]{6} data of \d{4}-.*Z, \d+\.\d MB\. Open it with: age --decrypt FILE \| tar -x\n$/,
    ),
  ]);
  expect(ran.stderr).toContain(`the newest backup that counts: ${stack.backup}`);
  expect(ran.stdout + ran.stderr).not.toContain(PASSPHRASE);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(await opens(file, PASSPHRASE)).toBe(true);
  expect(await world.told(stack)).toMatchObject({ state: 'sent' });
});

it('makes a passphrase unless one is given, and prints it once', async () => {
  const file = join(at, 'made.age');
  const ran = document(await exported(stack.slug, '--backup', stack.backup, '--output', file, '--json'));
  expect(ran).toMatchObject({
    ok: true,
    schema: 'aviary/backup-export/1',
    data: { slug: stack.slug, backup: stack.backup, bytes: (await stat(file)).size },
  });
  const { passphrase: made } = ran.data as { passphrase: string };
  expect(await opens(file, made)).toBe(true);
});

it('writes to standard output what is said of it beside, and reads the passphrase from standard input', async () => {
  const child = spawn(
    process.execPath,
    [
      ...program('apps/cli/src/main.ts'),
      'backup',
      'export',
      stack.slug,
      '--output',
      '-',
      '--passphrase-stdin',
      '--json',
    ],
    { env, stdio: ['pipe', 'pipe', 'pipe'] },
  );
  child.stdin.end(`${PASSPHRASE}\n`);
  const [archive, said] = await Promise.all([buffer(child.stdout), text(child.stderr), once(child, 'exit')]);
  expect(JSON.parse(said)).toMatchObject({ ok: true, data: { bytes: archive.length } });
  expect(said).not.toContain(PASSPHRASE);
  const file = join(at, 'piped.age');
  await writeFile(file, archive);
  expect(await opens(file, PASSPHRASE)).toBe(true);
});

it('refuses what it cannot do with the code of each reason, and writes nothing then', async () => {
  const there = join(at, 'there.age');
  await writeFile(there, 'mine');
  const short = join(at, 'short');
  await writeFile(short, 'short\n');
  const file = join(at, 'refused.age');
  const code = async (...args: string[]) => (await exported(...args)).code;
  expect(await code(stack.slug, '--output', there)).toBe(2);
  expect(await readFile(there, 'utf8')).toBe('mine');
  expect(await code(stack.slug, '--output', file, '--passphrase-file', short)).toBe(2);
  expect(await code(stack.slug, '--output', file, '--passphrase-file', join(at, 'nowhere'))).toBe(2);
  expect(await code(stack.slug, '--output', join(at, 'no', 'folder.age'))).toBe(2);
  expect(await code('uaaaaaa', '--output', file)).toBe(3);
  expect(await code(stack.slug, '--output', file, '--backup', 'x')).toBe(3);
  const bare = await world.world.stack();
  expect(document(await exported(bare.slug, '--output', file, '--json'))).toMatchObject({
    exit: 5,
    error: { code: 'WRONG_STATE' },
  });
  world.stopAgent();
  expect(await code(stack.slug, '--output', file)).toBe(9);
  await world.agent();
  expect(await readdir(at)).not.toContainEqual(expect.stringMatching(/^refused|\.part$/));
});

it('gives it to the command that docs/api.md names, with a file that ends as files do, and no file where it is refused', async () => {
  const page = await readFile(join(root, 'docs/api.md'), 'utf8');
  const line = /`(curl [^`]+)`/.exec(page.slice(page.indexOf('**Downloading a backup.**')))?.[1] ?? '';
  const documented = (folder: string, secret: string, ticket: string) => {
    const command = line.replace('https://PORTAL', world.t.url).replace('FILE', `'${secret}'`);
    const child = spawn('sh', ['-c', command], { cwd: folder, stdio: ['pipe', 'ignore', 'ignore'] });
    child.stdin.end(`${ticket}\n`);
    return once(child, 'exit') as Promise<[number]>;
  };
  const folder = await mkdtemp(join(at, 'curl-'));
  const short = join(at, 'too-short');
  await writeFile(short, 'short\n');
  expect(await documented(folder, short, await world.ticket(stack))).toEqual([22, null]);
  expect(await readdir(folder)).toEqual([]);
  expect(await documented(folder, passphrase, await world.ticket(stack))).toEqual([0, null]);
  expect(await opens(join(folder, 'mine.tar.age'), PASSPHRASE)).toBe(true);
});

it('leaves nothing of an archive that breaks off', async () => {
  const more = await world.stack({ mb: 8 });
  await world.resticInstead(
    `case " $* " in *' dump '*) "$restic" "$@" | head -c 3000000; exit 1 ;; esac; exec "$restic" "$@"`,
  );
  const file = join(at, 'broken.age');
  const ran = document(await exported(more.slug, '--output', file, '--json'));
  expect(ran).toMatchObject({ ok: false, exit: 9, error: { code: 'UNAVAILABLE' } });
  expect(ran.error).toMatchObject({ message: expect.stringContaining('not all of it') as string });
  expect(await readdir(at)).not.toContainEqual(expect.stringMatching(/^broken/));
});

describe('scripts/aviary, which runs it in a container without the host’s files', () => {
  let host: HostScript;

  beforeAll(async () => {
    host = await hostScript(at, env);
  });

  const begun = (args: string[], input?: string) => host.begin(args, input);
  const script = (args: string[], input?: string) => host.run(args, input);

  /** Restic gives nothing until the file is there. */
  const holding = async (go: string): Promise<void> =>
    world.resticInstead(
      `case " $* " in *' dump '*) until [ -e '${go}' ]; do sleep 0.1; done ;; esac; exec "$restic" "$@"`,
    );
  const told = (what: string, is: (of: ExportView) => boolean) =>
    waitFor(
      async () => {
        const of = await world.told(stack);
        return of !== null && is(of) ? of : undefined;
      },
      { what, deadlineMs: 30_000 },
    );
  /** A download of its own that has begun and is held. */
  async function held(file: string, go: string) {
    const before = await world.told(stack);
    await holding(go);
    const run = begun(['backup', 'export', stack.slug, '--output', file, '--passphrase-file', passphrase]);
    const of = await told('a download that is sent', ({ id, state }) => id !== before?.id && state === 'sending');
    return { ...run, id: of.id };
  }

  it('puts the archive into a file of the host and reads the passphrase from one', async () => {
    const ran = await script(['backup', 'export', stack.slug, '--passphrase-file', passphrase]);
    expect(ran.code).toBe(0);
    expect(ran.stderr).toContain(`✓ ${stack.slug} data of`);
    const file = join(at, `${stack.slug}.tar.age`);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await opens(file, PASSPHRASE)).toBe(true);
    const again = await script(['--json', 'backup', 'export', stack.slug]);
    expect(JSON.parse(again.stdout)).toMatchObject({ ok: false, exit: 2 });
    expect(again.code).toBe(2);
  });

  it('prints one document for a script, and keeps nothing of what failed', async () => {
    const file = join(at, 'json.age');
    const ran = await script(['--as', 'nobody', 'backup', 'export', stack.slug, '--output', file, '--json']);
    expect([ran.code, JSON.parse(ran.stdout)]).toEqual([4, expect.objectContaining({ ok: false, exit: 4 })]);
    expect(await readdir(at)).not.toContainEqual(expect.stringMatching(/^json/));
    const done = await script(
      ['backup', 'export', stack.slug, `--output=${file}`, '--json', '--passphrase-stdin'],
      `${PASSPHRASE}\n`,
    );
    expect(JSON.parse(done.stdout)).toMatchObject({ ok: true, data: { bytes: (await stat(file)).size } });
    expect(await opens(file, PASSPHRASE)).toBe(true);
  });

  it('leaves the file of a download that is under way to it', async () => {
    const file = join(at, 'twice.age');
    const go = join(at, 'go-on');
    const first = await held(file, go);
    try {
      const second = await script(['backup', 'export', stack.slug, '--output', file, '--json']);
      expect([second.code, JSON.parse(second.stdout)]).toEqual([
        2,
        expect.objectContaining({
          error: expect.objectContaining({ message: expect.stringContaining('.part exists') }),
        }),
      ]);
    } finally {
      await writeFile(go, '');
    }
    expect((await first.ended).code).toBe(0);
    expect(await opens(file, PASSPHRASE)).toBe(true);
  });

  it.each([
    ['Ctrl-C, which everything at the terminal hears', (pid: number) => process.kill(-pid, 'SIGINT')],
    ['the end of the script alone', (pid: number) => process.kill(pid, 'SIGTERM')],
    ['its death', (pid: number) => process.kill(pid, 'SIGKILL')],
  ])('ends the download with %s', async (how, end) => {
    const folder = await mkdtemp(join(at, 'ended-'));
    const go = join(folder, 'go-on');
    const { pid, id, ended } = await held(join(folder, 'ended.age'), go);
    try {
      end(pid);
      const ran = await ended;
      expect(await told('its end', ({ state }) => state !== 'sending')).toMatchObject({ id, state: 'failed' });
      if (how !== 'its death') {
        expect(ran.code).not.toBe(0);
        expect(await readdir(folder)).toEqual([]);
      }
    } finally {
      await writeFile(go, '');
    }
  });

  it('stops one that is under way, and says where none is', async () => {
    const folder = await mkdtemp(join(at, 'stopped-'));
    const go = join(folder, 'go-on');
    const { id, ended } = await held(join(folder, 'stopped.age'), go);
    try {
      const stopped = document(await script(['backup', 'stop-export', stack.slug, '--json']));
      expect(stopped).toMatchObject({ ok: true, data: { id, state: 'failed' } });
    } finally {
      await writeFile(go, '');
    }
    await ended;
    expect(await world.told(stack)).toMatchObject({ id, state: 'failed', error: { code: 'OPERATION_CANCELLED' } });
    const none = await script(['backup', 'stop-export', stack.slug]);
    expect([none.code, none.stdout]).toEqual([0, `no backup of ${stack.slug} is downloaded; nothing was done\n`]);
  });

  it('prints a document also of a file whose name needs care', async () => {
    const file = join(at, 'a "name"\\ of\n two lines.age');
    await writeFile(file, '');
    const ran = await script(['backup', 'export', stack.slug, '--output', file, '--json']);
    expect(JSON.parse(ran.stdout)).toMatchObject({
      exit: 2,
      error: { message: `${file} exists already; nothing was done.` },
    });
  });

  it('puts the password of a repository into a file of the host, and no other', async () => {
    const file = join(at, 'repository-password');
    const ran = await script(['backup', 'password', stack.slug, '--to', file, '--json']);
    expect([ran.code, JSON.parse(ran.stdout)]).toEqual([
      0,
      expect.objectContaining({ ok: true, schema: 'aviary/backup-password/1' }),
    ]);
    const { password } = await world.world.placeOf(stack.id);
    expect([await readFile(file, 'utf8'), (await stat(file)).mode & 0o777]).toEqual([`${password}\n`, 0o600]);
    expect(ran.stdout + ran.stderr).not.toContain(password);
    const again = await script(['backup', 'password', stack.slug, `--to=${file}`, '--json']);
    expect([again.code, JSON.parse(again.stdout)]).toEqual([
      2,
      expect.objectContaining({ schema: 'aviary/backup-password/1', ok: false, exit: 2 }),
    ]);
    const none = join(at, 'of-nobody');
    expect(await script(['backup', 'password', 'uaaaaaa', '--to', none])).toMatchObject({ code: 3 });
    expect(await readdir(at)).not.toContain('of-nobody');
    expect(await script(['backup', 'password', stack.slug])).toMatchObject({ code: 2, stdout: '' });
  });

  it('asks the program about everything else', async () => {
    const ran = await script(['backup', 'list', stack.slug, '--json']);
    expect(JSON.parse(ran.stdout)).toMatchObject({ schema: 'aviary/backup-list/1', ok: true });
    expect((await script(['backup', 'export', '--help'])).stdout).toContain('--passphrase-file');
  });
});
