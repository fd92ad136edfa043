import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { PASSWORD_READ } from '#libs/contracts';
import { AuditEntryEntity, BackupEntity, newId, tx } from '#libs/db';
import { appendAudit } from '#libs/audit';
import { AgentPort, RepositoryPasswordService } from '#libs/tenants';
import { backupTool } from '../support/backup-tools.js';
import { aviary, document, environment } from '../support/cli.js';
import { ExportWorld } from '../support/export-world.js';
import { program } from '../support/program.js';

jest.setTimeout(120_000);

const root = resolve(import.meta.dirname, '../..');
const run = promisify(execFile);

let world: ExportWorld;
let env: Record<string, string>;
let stack: Awaited<ReturnType<ExportWorld['stack']>>;
let at: string;

beforeAll(async () => {
  world = await ExportWorld.start();
  env = { ...environment(world.world.world.database), AVIARY_AGENT_SOCKET: world.socket };
  await world.world.world.operator();
  stack = await world.stack();
  at = await mkdtemp(join(world.world.home, 'by-hand-'));
});
afterAll(() => world.close());

const db = () => world.world.world.database.dataSource;
const passwordOf = async (id: string): Promise<string> => (await world.world.placeOf(id)).password;
const password = (...args: string[]) => aviary(env, ['backup', 'password', ...args]);
const entries = () => db().manager.find(AuditEntryEntity, { where: { action: PASSWORD_READ }, order: { id: 'ASC' } });

/** The lines of the recipe behind those words in docs/operate.md that begin with that program, with its capitals filled in. */
async function documented(behind: string, tool: string, given: Readonly<Record<string, string>>): Promise<string[]> {
  const page = await readFile(join(root, 'docs/operate.md'), 'utf8');
  const [, block = ''] = page.slice(page.indexOf(behind)).split('```');
  return block
    .split('\n')
    .filter((line) => line.startsWith(`${tool} `))
    .map((line) => line.replaceAll(/\b(COPY|REPOSITORY|PASSWORD|BACKUP|DUMP)\b/g, (word) => `'${given[word]}'`));
}

const BY_HAND = '**Restoring by hand.**';
const shell = (line: string | undefined, env_: Record<string, string>) =>
  run('sh', ['-c', line ?? 'exit 99'], { env: env_ });
const tools = (): string =>
  [...['restic', 'pg_restore'].map((name) => dirname(backupTool(name as 'restic'))), process.env['PATH']].join(':');

it('plain restic and plain pg_restore bring the rows back into an empty database, by the recipe of docs/operate.md', async () => {
  const kept = join(at, 'password');
  const ran = await password(stack.slug, '--to', kept);
  expect(ran).toMatchObject({ code: 0, stdout: expect.stringContaining(stack.id) as string });
  expect((await stat(kept)).mode & 0o777).toBe(0o600);
  const secret = await passwordOf(stack.id);
  expect(await readFile(kept, 'utf8')).toBe(`${secret}\n`);
  expect(ran.stdout + ran.stderr).not.toContain(secret);

  const dump = join(at, 'postgres.dump');
  const empty = await world.world.databases.empty();
  try {
    const hand = { PATH: tools(), HOME: at, ...empty.env };
    const words = { REPOSITORY: world.world.folderOf(stack.id), PASSWORD: kept, BACKUP: stack.backup, DUMP: dump };
    const [listing, dumping] = await documented(BY_HAND, 'restic', words);
    expect((await shell(listing, hand)).stdout).toContain(`backup=${stack.backup}`);
    await shell(dumping, hand);
    const [loading] = await documented(BY_HAND, 'pg_restore', words);
    await shell(loading, hand);
    const rows = 'select count(*)::int as n, sum(id)::int as ids, sum(price)::text as prices from fills';
    const [there] = await world.world.databases.sql(stack.postgres, rows);
    expect(there).toMatchObject({ n: 1_000 });
    expect(await empty.sql(rows)).toEqual([there]);
  } finally {
    await empty.drop();
  }
});

it('a copy by restic copy opens by the same recipe, under ids that are not the rows’', async () => {
  const kept = join(at, 'password-of-copy');
  expect(await password(stack.slug, '--to', kept)).toMatchObject({ code: 0 });
  const from = { REPOSITORY: world.world.folderOf(stack.id), PASSWORD: kept };
  const dump = join(at, 'copied.dump');
  const copy = { REPOSITORY: join(at, 'copy'), PASSWORD: kept, BACKUP: stack.backup, DUMP: dump };
  const hand = { PATH: tools(), HOME: at };
  for (const line of await documented('`restic copy` keeps', 'restic', { ...from, COPY: copy.REPOSITORY })) {
    await shell(line, hand);
  }
  const [listing, dumping] = await documented(BY_HAND, 'restic', copy);
  await shell(dumping, hand);
  const { stdout } = await run(backupTool('pg_restore'), ['--list', dump]);
  expect(stdout).toContain('TABLE DATA public fills');
  const { stdout: listed } = await shell(`${listing} --json`, hand);
  const ids = (JSON.parse(listed) as { id: string }[]).map(({ id }) => id);
  const { parts } = await db().manager.findOneByOrFail(BackupEntity, { id: stack.backup });
  expect(ids).toHaveLength(parts.length);
  expect(parts.filter(({ snapshotId }) => ids.includes(snapshotId))).toEqual([]);
});

it('the audit says which operator was given it, and neither it nor a log of the agent has the password', async () => {
  const before = (await entries()).length;
  const ran = document(await password(stack.slug, '--to', join(at, 'audited'), '--json'));
  expect(ran).toMatchObject({ ok: true, data: { slug: stack.slug, repository: stack.id, file: join(at, 'audited') } });
  const secret = await passwordOf(stack.id);
  expect(JSON.stringify(ran)).not.toContain(secret);
  const found = await entries();
  expect(found).toHaveLength(before + 1);
  expect(found.at(-1)).toMatchObject({ actorKind: 'operator', via: 'cli', targetId: stack.id });
  expect(JSON.stringify(found) + world.agentLogs.join('')).not.toContain(secret);
});

it('goes to a new file or a terminal alone, and leaves nothing where it is refused', async () => {
  const there = join(at, 'there');
  await writeFile(there, 'mine');
  expect(await password(stack.slug, '--to', there)).toMatchObject({ code: 2 });
  expect(await readFile(there, 'utf8')).toBe('mine');
  // Nobody reads it at once: it would stand in a log, or in what a script keeps.
  const before = (await entries()).length;
  for (const args of [[stack.slug], [stack.slug, '--json'], [stack.slug, '--confirm', stack.slug]]) {
    expect(await password(...args)).toMatchObject({
      code: 2,
      stdout: expect.not.stringContaining(await passwordOf(stack.id)),
    });
  }
  expect((await entries()).length).toBe(before);
  const refused = join(at, 'refused');
  const bare = await world.world.stack();
  expect(document(await password(bare.slug, '--to', refused, '--json'))).toMatchObject({
    ok: false,
    error: { code: 'REPOSITORY_MISSING' },
  });
  expect(await password('uaaaaaa', '--to', refused)).toMatchObject({ code: 3 });
  world.stopAgent();
  expect(await password(stack.slug, '--to', refused)).toMatchObject({ code: 9 });
  await world.agent();
  expect(await readdir(at)).not.toContain('refused');
});

it('is shown on a terminal once the stack was named', async () => {
  const command = [process.execPath, ...program('apps/cli/src/main.ts'), 'backup', 'password', stack.slug];
  const quoted = command.map((word) => `'${word}'`).join(' ');
  const shown = async (named: string) => {
    const child = spawn('script', ['-qec', quoted, '/dev/null'], {
      env: { ...env, PATH: process.env['PATH'] },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const said = text(child.stdout);
    child.stdin.write(`${named}\n`);
    const [code] = (await once(child, 'exit')) as [number | null];
    child.stdin.end();
    return { code, said: await said };
  };
  const secret = await passwordOf(stack.id);
  const other = await shown('uaaaaaa');
  expect([other.code, other.said.includes(secret)]).toEqual([2, false]);
  const asked = await shown(stack.slug);
  expect([asked.code, asked.said.includes(secret)]).toEqual([0, true]);
});

it('is given to nobody else: not in the portal, and by the agent for a fresh entry of the audit alone', async () => {
  const made = await world.world.world.operator();
  const agent = new AgentPort(world.socket, 'local');
  const service = new RepositoryPasswordService({ database: db(), agent });
  const signal = AbortSignal.timeout(30_000);
  await expect(service.read({ ...made, via: 'portal' }, stack.slug, signal)).rejects.toMatchObject({
    code: 'FORBIDDEN',
  });
  const owner = {
    kind: 'subscriber' as const,
    accountId: world.owner.id,
    username: 'o',
    via: 'cli' as const,
    ip: null,
    sessionId: null,
  };
  await expect(service.read(owner, stack.slug, signal)).rejects.toMatchObject({ code: 'FORBIDDEN' });

  const asked = async (audit: string) => text(await agent.post('/repository-password', { audit }, signal));
  const entry = (action: string, actor: Parameters<typeof appendAudit>[1]['actor']) =>
    tx(db(), (inTx) => appendAudit(inTx, { actor, action, target: { kind: 'stack', id: stack.id } }));
  const cli = { ...made, via: 'cli' as const };
  expect(JSON.parse(await asked(await entry(PASSWORD_READ, cli)))).toEqual({ password: await passwordOf(stack.id) });
  for (const audit of [
    newId(),
    await entry('stack.backup', cli),
    await entry(PASSWORD_READ, { ...made, via: 'portal' }),
  ]) {
    await expect(asked(audit)).rejects.toMatchObject({ code: 'FORBIDDEN' });
  }
  await expect(agent.post('/repository-password', { slug: stack.slug }, signal)).rejects.toMatchObject({
    code: 'VALIDATION_FAILED',
  });
});
