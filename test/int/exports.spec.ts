import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Decrypter } from 'age-encryption';
import { waitFor } from '#libs/async';
import type { ErrorBody } from '#libs/contracts';
import { ExportEntity } from '#libs/db';
import { person } from '../support/api.js';
import { insertBackup } from '../support/backup-rows.js';
import { backupTool } from '../support/backup-tools.js';
import { ExportWorld, PASSPHRASE } from '../support/export-world.js';
import { openArchive } from '../support/opened-archive.js';

jest.setTimeout(300_000);

/** Longer than anybody here waits for what is read. */
const STALLED_MS = 15_000;

let world: ExportWorld;
/** With more in it than buffers on the way hold. */
let large: Awaited<ReturnType<ExportWorld['stack']>>;

beforeAll(async () => {
  world = await ExportWorld.start({ stalledMs: STALLED_MS });
  large = await world.stack({ mb: 64 });
});
afterAll(() => world.close());
afterEach(() => world.world.asUsual());

const run = promisify(execFile);
const db = () => world.t.db.dataSource.manager;
const folder = (): Promise<string> => mkdtemp(join(world.world.home, 'opened-'));

/** Until the platform tells that it is over. */
const over = (stack: { slug: string }) =>
  waitFor(
    async () => {
      const told = await world.told(stack);
      return told?.state === 'sent' || told?.state === 'failed' ? told : undefined;
    },
    { what: 'the end of a download', deadlineMs: 40_000 },
  );

/** How much more there is. */
async function drained(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<number> {
  let bytes = 0;
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    bytes += next.value.length;
  }
  return bytes;
}

/** As far as it comes. */
async function taken(answer: Response): Promise<{ bytes: Buffer; broken: boolean }> {
  const chunks: Uint8Array[] = [];
  try {
    for await (const chunk of answer.body ?? []) {
      chunks.push(chunk as Uint8Array);
    }
    return { bytes: Buffer.concat(chunks), broken: false };
  } catch {
    return { bytes: Buffer.concat(chunks), broken: true };
  }
}

it('gives a backup as an archive that age, tar and pg_restore open, and says what it is and that it was sent', async () => {
  const stack = await world.stack();
  const asked = await world.ask(stack).expect(201);
  expect(asked.body).toMatchObject({ export: { backup: stack.backup, state: 'asked', bytes: null } });
  const answer = await world.get((asked.body as { ticket: string }).ticket);
  expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/octet-stream']);
  const name = /^attachment; filename="(u[a-z2-7]{6}-\d{8}T\d{6}Z\.tar\.age)"$/.exec(
    answer.headers.get('content-disposition') ?? '',
  )?.[1];
  const bytes = Buffer.from(await answer.arrayBuffer());
  expect(answer.headers.get('content-length')).toBe(String(bytes.length));
  const at = await folder();
  const file = join(at, name ?? '');
  await writeFile(file, bytes);

  const wrong = await openArchive(file, 'some other passphrase', join(at, 'wrong'));
  expect([wrong.code, wrong.said]).toEqual([1, expect.stringContaining('incorrect passphrase')]);
  const opened = join(at, 'opened');
  expect(await openArchive(file, PASSPHRASE, opened)).toMatchObject({ code: 0 });
  expect((await readdir(opened)).toSorted()).toEqual(['README.txt', 'SHA256SUMS', 'manifest.json', 'postgres.dump']);
  await run('sha256sum', ['--check', 'SHA256SUMS'], { cwd: opened });
  const { stdout: contents } = await run(backupTool('pg_restore'), ['--list', join(opened, 'postgres.dump')]);
  expect(contents).toContain('TABLE DATA public fills');
  const manifest = await readFile(join(opened, 'manifest.json'), 'utf8');
  expect(JSON.parse(manifest)).toMatchObject({ slug: stack.slug, databases: [{ part: 'postgres.dump' }], volumes: [] });
  expect(manifest).not.toMatch(/seal|secret/);
  expect(await readFile(join(opened, 'README.txt'), 'utf8')).toContain('pg_restore --list postgres.dump');

  expect(await over(stack)).toMatchObject({ state: 'sent', bytes: bytes.length, file: name, error: null });
  const [audited] = await db().query<{ after: object; actor_name: string }[]>(
    `select actor_name, after from audit_entries where action = 'stack.export' order by id desc limit 1`,
  );
  expect(audited).toMatchObject({
    actor_name: world.owner.username,
    after: { slug: stack.slug, backup: stack.backup },
  });
});

it('opens to the library of age’s author too, which is another’s reading of the format', async () => {
  const stack = await world.stack();
  const bytes = Buffer.from(await (await world.get(await world.ticket(stack))).arrayBuffer());
  const decrypter = new Decrypter();
  decrypter.addPassphrase(PASSPHRASE);
  const tar = Buffer.from(await decrypter.decrypt(bytes));
  expect(tar.length % 512).toBe(0);
  expect(tar.subarray(-1024).every((byte) => byte === 0)).toBe(true);
});

describe('a download that does not come whole', () => {
  it.each([
    ['breaks off', `case " $* " in *' dump '*) "$restic" "$@" | head -c 3000000; exit 1 ;; esac; exec "$restic" "$@"`],
    [
      'comes back as something else',
      `case " $* " in *' dump '*) "$restic" "$@" | sed 's/a/b/g'; exit 0 ;; esac; exec "$restic" "$@"`,
    ],
    [
      'comes back short, and its reader says all is well',
      `case " $* " in *' dump '*) "$restic" "$@" | head -c 3000000; exit 0 ;; esac; exec "$restic" "$@"`,
    ],
  ])('is cut where the repository %s: nobody takes it for a backup', async (_how, script) => {
    const stack = await world.stack({ mb: 8 });
    await world.resticInstead(script);
    const answer = await world.get(await world.ticket(stack));
    expect(answer.status).toBe(200);
    const { bytes, broken } = await taken(answer);
    expect(broken).toBe(true);
    expect(bytes.length).toBeLessThan(Number(answer.headers.get('content-length')));
    expect(await over(stack)).toMatchObject({ state: 'failed', error: { code: 'UNAVAILABLE' } });
    expect(world.agentLogs.at(-1)).toContain('broke off');
    // What came may be kept by whoever saves it all the same, and then does not open.
    const at = await folder();
    const file = join(at, 'part.age');
    await writeFile(file, bytes);
    expect((await openArchive(file, PASSPHRASE, join(at, 'opened'))).code).toBe(1);
    world.world.asUsual();
    const again = await world.get(await world.ticket(stack));
    expect((await taken(again)).broken).toBe(false);
  });

  it('is refused with the reason where the repository does not open at all', async () => {
    const stack = await world.stack();
    await world.resticInstead(`echo '{"message":"Fatal: unable to open repository"}' >&2; exit 1`);
    const answer = await world.get(await world.ticket(stack));
    expect([answer.status, await answer.json()]).toEqual([
      502,
      expect.objectContaining({
        code: 'REPOSITORY_FAILED',
        message: expect.stringContaining('unable to open') as string,
      }),
    ]);
    expect(await over(stack)).toMatchObject({ state: 'failed', error: { code: 'REPOSITORY_FAILED' } });
  });

  it('tells a page that sent a form by the list, and leaves it where it is', async () => {
    const stack = await world.stack();
    await world.resticInstead('exit 1');
    const form = { ticket: await world.ticket(stack), passphrase: PASSPHRASE };
    await world.t.http.post('/api/v1/exports').set('sec-fetch-mode', 'navigate').type('form').send(form).expect(204);
    expect(await over(stack)).toMatchObject({ state: 'failed', error: { code: 'REPOSITORY_FAILED' } });
  });
});

describe('a reader', () => {
  it('that is slow is waited for, and as little is read as it takes', async () => {
    const stack = large;
    const count = join(world.world.home, 'restic-pid');
    await world.resticInstead(`case " $* " in *' dump '*) echo $$ > '${count}' ;; esac; exec "$restic" "$@"`);
    const answer = await world.get(await world.ticket(stack));
    const reader = answer.body!.getReader();
    await reader.read();
    const pid = (await readFile(count, 'utf8')).trim();
    const written = async (): Promise<number> =>
      Number(/wchar: (\d+)/.exec(await readFile(`/proc/${pid}/io`, 'utf8'))?.[1]);
    let last = -1;
    const stood = await waitFor(
      async () => {
        const now = await written();
        const same = now === last;
        last = now;
        return same ? now : undefined;
      },
      { what: 'restic waiting for its reader', deadlineMs: 20_000, intervalMs: 1_000, maxIntervalMs: 1_000 },
    );
    expect(stood).toBeLessThan(32_000_000);
    expect(await drained(reader)).toBeGreaterThan(60_000_000);
    expect(await over(stack)).toMatchObject({ state: 'sent' });
  });

  it('that leaves ends the reading, and may begin anew at once', async () => {
    const stack = large;
    const left = new AbortController();
    const answer = await world.get(await world.ticket(stack), PASSPHRASE, { signal: left.signal });
    await answer.body!.getReader().read();
    left.abort();
    expect(await over(stack)).toMatchObject({ state: 'failed', error: { code: 'OPERATION_CANCELLED' } });
    expect((await taken(await world.get(await world.ticket(stack)))).broken).toBe(false);
  });

  it('that takes nothing for too long is cut off', async () => {
    const stack = large;
    const answer = await world.get(await world.ticket(stack));
    const reader = answer.body!.getReader();
    await reader.read();
    expect(await over(stack)).toMatchObject({ state: 'failed', error: { code: 'DEADLINE_EXCEEDED' } });
    await expect(drained(reader)).rejects.toThrow();
  });
});

describe('only its owner', () => {
  it('gets it: strangers see nothing, operators are refused, and the password is asked for', async () => {
    const stack = await world.stack();
    const stranger = await person(world.t);
    const operator = await person(world.t, 'operator');
    expect((await world.ask(stack, { who: stranger }).expect(404)).body).toMatchObject({ code: 'NOT_FOUND' });
    expect((await world.ask(stack, { who: operator }).expect(403)).body).toMatchObject({ code: 'FORBIDDEN' });
    for (let attempt = 0; attempt < 5; attempt += 1) {
      const { body } = await world.ask(stack, { password: 'not it' }).expect(401);
      expect(body).toMatchObject({ code: 'INVALID_CREDENTIALS' });
    }
    expect((await world.ask(stack).expect(429)).body).toMatchObject({ code: 'ACCOUNT_LOCKED' });
    expect(await db().countBy(ExportEntity, { tenantId: stack.id })).toBe(0);
    await db().query('delete from sign_in_guards');
    await world.ask(stack).expect(201);
  });

  it('and only what counts, one at a time, once, and soon', async () => {
    const stack = large;
    const other = await insertBackup(world.t.db.dataSource, stack, 'stored');
    expect((await world.ask({ ...stack, backup: other }).expect(409)).body).toMatchObject({ code: 'WRONG_STATE' });
    const replaced = await world.ticket(stack);
    const ticket = await world.ticket(stack);
    const refused = async (used: string, passphrase = PASSPHRASE): Promise<[number, string]> => {
      const answer = await world.get(used, passphrase);
      return [answer.status, ((await answer.json()) as ErrorBody).code];
    };
    expect(await refused(replaced)).toEqual([401, 'TOKEN_INVALID']);
    expect(await refused(ticket, 'short')).toEqual([400, 'VALIDATION_FAILED']);
    const left = new AbortController();
    const answer = await world.get(ticket, PASSPHRASE, { signal: left.signal });
    await answer.body!.getReader().read();
    expect(await refused(ticket)).toEqual([401, 'TOKEN_INVALID']);
    expect((await world.ask(stack).expect(409)).body).toMatchObject({
      code: 'TENANT_BUSY',
      details: { kind: 'export' },
    });
    await expect(world.world.ask(stack, 'prune')).rejects.toMatchObject({
      code: 'TENANT_BUSY',
      details: { kind: 'export' },
    });
    const destroyed = await world.t.http
      .delete(`/api/v1/stacks/${stack.slug}`)
      .set(world.owner.auth)
      .send({ confirm: stack.slug })
      .expect(409);
    expect(destroyed.body).toMatchObject({ code: 'TENANT_BUSY', details: { kind: 'export' } });
    left.abort();
    await over(stack);
    const late = await world.ticket(stack);
    await db().query(`update exports set alive_until = now() - interval '1 second' where state = 'asked'`);
    expect(await refused(late)).toEqual([401, 'TOKEN_INVALID']);
    await world.world.run(await world.world.ask(stack, 'prune'), stack.id);
    const prune = await world.world.ask(stack, 'prune');
    expect((await world.ask(stack).expect(409)).body).toMatchObject({ code: 'TENANT_BUSY' });
    await world.world.run(prune, stack.id);
    await world.ask(stack).expect(201);
  });

  it('one whose sender was killed stands in nobody’s way for longer than a minute', async () => {
    const stack = await world.stack();
    await world.ticket(stack);
    await db().query(`update exports set state = 'sending' where tenant_id = $1`, [stack.id]);
    await world.ask(stack).expect(409);
    await db().query(`update exports set alive_until = now() where tenant_id = $1`, [stack.id]);
    expect(await world.told(stack)).toMatchObject({ state: 'failed', error: { code: 'UNAVAILABLE' } });
    await world.ask(stack).expect(201);
  });
});

it('the passphrase is in no log, no argument, no environment, no row and no file', async () => {
  const stack = await world.stack();
  const seen = join(world.world.home, 'seen');
  await world.resticInstead(
    `tr '\\0' '\\n' </proc/$PPID/cmdline >>'${seen}'; { echo "$@"; env; } >>'${seen}'; exec "$restic" "$@"`,
  );
  const passphrase = 'nobody ever sees these words';
  const ticket = await world.ticket(stack);
  await taken(await world.get(ticket, passphrase));
  const refused = await world.get(ticket, passphrase);
  const broken = await world.get('x', passphrase);
  const said = [...world.t.logs, ...world.agentLogs, await refused.text(), await broken.text()].join('\n');
  expect(await readFile(seen, 'utf8')).toContain('dump');
  const rows = await db().query<object[]>(
    'select to_jsonb(e) from exports e union all select to_jsonb(a) from audit_entries a',
  );
  for (const secret of [passphrase, encodeURIComponent(passphrase), passphrase.replaceAll(' ', '+'), ticket]) {
    expect(said).not.toContain(secret);
    expect(JSON.stringify(rows)).not.toContain(secret);
    expect(await readFile(seen, 'utf8')).not.toContain(secret);
    const found = await run('grep', ['-rlF', secret, world.world.home]).then(
      ({ stdout }) => stdout,
      (error: { stdout: string }) => error.stdout,
    );
    expect(found).toBe('');
  }
});
