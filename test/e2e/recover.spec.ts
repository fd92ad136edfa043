import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from '#libs/async';
import type { BackupList, OperationView, PortalBackupView, Recovery } from '#libs/contracts';
import { goTools } from '../support/acme-authority.js';
import { booksOf, tradingBot, type Books } from '../support/data-plane.js';
import { docker } from '../support/engine.js';
import { script, TestPlatform } from '../support/platform.js';
import { S3Server } from '../support/s3-server.js';
import { PASSWORD, PlatformWorld, SOON, type RunningStack } from './platform/world.js';

jest.setTimeout(300_000);

let lost: PlatformWorld;
let stack: RunningStack;
let resting: RunningStack;
let books: Books;
/** Where the repositories outlive their host: a real S3 server, and its folder. */
let s3: S3Server;
let kept: string;
let recovered: TestPlatform | null = null;

const hold = (platform: TestPlatform, slug: string): Promise<string> =>
  platform.stackSql(slug, 'select count(*) || chr(32) || sum(n) from kept');

/** The two parts of the server's access key, as a person puts them there before `up` or `recover`. */
async function giveAccess(dataDir: string): Promise<void> {
  await mkdir(join(dataDir, 's3'), { recursive: true, mode: 0o700 });
  await writeFile(join(dataDir, 's3/key-id'), s3.accessKey, { mode: 0o600 });
  await writeFile(join(dataDir, 's3/secret-key'), s3.secretKey, { mode: 0o600 });
}

/** Ends a recovery as a power cut would, once the portal's database is being loaded beside the one to be. */
async function cut(prefix: string): Promise<void> {
  const loading = `select count(*) from pg_database where datname like 'aviary\\_%'`;
  await waitFor(
    async () => {
      const seen = await docker(
        'exec',
        `aviary-${prefix}-postgres`,
        'psql',
        '-U',
        'aviary_owner',
        '-d',
        'postgres',
        '-Atc',
        loading,
      );
      return seen === '0' ? undefined : true;
    },
    { what: 'the loading of the database', deadlineMs: 120_000, maxIntervalMs: 50 },
  );
  const running = (await docker('ps', '--no-trunc', '--format', '{{.ID}} {{.Command}}')).split('\n');
  const [id] = (running.find((line) => line.includes('host/recover.js')) ?? '').split(' ');
  await docker('kill', '-s', 'KILL', id ?? '');
}

beforeAll(async () => {
  kept = await mkdtemp(join(tmpdir(), 'aviary-kept-'));
  s3 = new S3Server({ tools: await goTools(), folder: kept });
  await s3.start();
  lost = await PlatformWorld.open({ AVIARY_BACKUP_URL: s3.url('aviary') }, giveAccess);
  stack = await lost.runningStack();
  resting = await lost.runningStack();
  await tradingBot(lost.platform, { owner: stack.owner, slug: stack.slug });
  for (const { slug } of [stack, resting]) {
    await lost.platform.stackSql(slug, 'create table kept as select n from generate_series(1, 5000) n');
  }
  books = await waitFor(
    async () => {
      const now = await booksOf(lost.platform, stack.slug);
      return now.traded.length > 0 ? now : undefined;
    },
    { what: 'the first trade', deadlineMs: 120_000 },
  );
  for (const { slug } of [stack, resting]) {
    expect((await lost.platform.cli<OperationView>('backup', 'take', slug)).code).toBe(0);
  }
  await resting.owner.order(resting.slug, 'stop');
  const { code, document } = await lost.platform.cli<PortalBackupView>('portal', 'backup');
  expect({ code, data: document.data }).toMatchObject({ code: 0, data: { state: 'verified' } });
}, 400_000);
afterAll(async () => {
  await recovered?.stop();
  await lost?.platform.stop();
  await s3?.stop();
  await rm(kept, { recursive: true, force: true });
}, 300_000);

it('a lost host: its repositories at an S3 server and the master key bring every stack back on another, over a recovery that was cut off', async () => {
  const { root, platformId, prefix, operatorPassword } = lost.platform.facts;
  const key = (await lost.platform.settings()).get('AVIARY_MASTER_KEY') ?? '';
  await lost.platform.run('down', '--purge', '--yes');
  expect(Object.values(await lost.platform.objects()).flat()).toEqual([]);

  const env = `AVIARY_MASTER_KEY=${key}\nAVIARY_BACKUP_URL=${s3.url('aviary')}\n`;
  recovered = await TestPlatform.elsewhere(
    env,
    async (folder, settings) => {
      expect(folder).not.toBe(root);
      await giveAccess(join(folder, 'data'));
      const recover = (...options: string[]) =>
        script(folder, 'aviary', ['recover', `--confirm=${platformId}`, '--json', ...options], settings);
      // What was stored minutes ago may be the work of a host that lives.
      expect(JSON.parse((await recover()).stdout)).toMatchObject({ ok: false, exit: 5 });
      const [first] = await Promise.all([recover('--old-host-is-off'), cut(prefix)]);
      expect(first.code).toBe(137);
      const second = await recover('--old-host-is-off');
      expect({ code: second.code, error: second.stderr }).toMatchObject({ code: 0 });
      expect(JSON.parse(second.stdout)).toMatchObject({
        schema: 'aviary/recover/1',
        ok: true,
        data: { platform: platformId, verified: true, stacks: 2 },
      });
    },
    operatorPassword,
  );
  const back = recovered;
  const states = await waitFor(
    async () => {
      const { code, document } = await back.cli<Recovery>('portal', 'recovery');
      const seen = document.data.stacks.map(({ slug, state }) => `${slug} ${state}`);
      return code === 0 && seen.every((line) => line.endsWith('restored')) ? seen : undefined;
    },
    { what: 'every stack put back', deadlineMs: 240_000, intervalMs: 2_000 },
  );
  expect(states).toHaveLength(2);
  expect(await hold(back, stack.slug)).toBe('5000 12502500');

  // Its owner signs in with the password of before, and the stack's own address serves what it traded.
  const owner = back.client();
  await owner.login('person1', PASSWORD);
  await owner.signOn(stack.slug);
  await waitFor(
    async () => ((await owner.ask(owner.dashboardHost(stack.slug), '/ready')).status === 200 ? true : undefined),
    {
      what: `the dashboard of ${stack.slug}`,
      ...SOON,
    },
  );
  const now = await booksOf(back, stack.slug);
  expect(now.traded).toEqual(expect.arrayContaining(books.traded));
  expect(now.booked.toSorted((a, b) => a.localeCompare(b))).toEqual(now.traded.toSorted((a, b) => a.localeCompare(b)));

  // What rested rests, with its data.
  const other = back.client();
  await other.login('person2', PASSWORD);
  expect(await other.stack(resting.slug)).toMatchObject({ status: 'stopped', openOperation: null });
  expect(await other.order(resting.slug, 'start')).toMatchObject({ state: 'done', error: null });
  expect(await hold(back, resting.slug)).toBe('5000 12502500');
  const { items } = await other.api<BackupList>('GET', `/stacks/${resting.slug}/backups`);
  expect(items[0]).toMatchObject({ state: 'verified' });
});
