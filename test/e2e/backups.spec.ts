import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { waitFor } from '#libs/async';
import type { BackupList, BackupView, Bot, ExportAsked, OperationView, RestoreLoss, StackView } from '#libs/contracts';
import { backupTool } from '../support/backup-tools.js';
import { tradingBot } from '../support/data-plane.js';
import { docker } from '../support/engine.js';
import { openArchive } from '../support/opened-archive.js';
import { generatedSecrets } from '../support/platform-secrets.js';
import { PASSWORD, PlatformWorld, SOON, type RunningStack } from './platform/world.js';

jest.setTimeout(300_000);

let world: PlatformWorld;
let stack: RunningStack;
let backup: BackupView;

const rowsIn = async (): Promise<number> =>
  Number(await world.platform.stackSql(stack.slug, 'select count(*) from kept'));
const backups = (): Promise<BackupList> => stack.owner.api<BackupList>('GET', `/stacks/${stack.slug}/backups`);
const volumes = async (): Promise<string[]> =>
  (await world.platform.objects()).volumes.filter((name) => name.includes(`${stack.slug}-data`));
/** Nothing of a proof, a loading or a delivery is left on the engine. */
const leftOver = async (): Promise<string[]> => {
  const { containers, volumes: all } = await world.platform.objects();
  return [...containers, ...all].filter((name) => /scratch|courier/.test(name));
};

/** Files below a folder that hold the text. A search that did not get through is an error, not an empty answer. */
async function filesWith(text: string, folder: string): Promise<string[]> {
  try {
    const { stdout } = await promisify(execFile)('grep', ['-rlaF', '-e', text, folder]);
    return stdout.split('\n').filter(Boolean);
  } catch (error) {
    // 1 is grep's word for: all was read, and it is nowhere.
    if ((error as { code?: unknown }).code === 1) {
      return [];
    }
    throw error;
  }
}

const dumps = async (): Promise<boolean> =>
  (await world.platform.stackSql(
    stack.slug,
    `select count(*) from pg_stat_activity where application_name = 'pg_dump'`,
  )) !== '0';

beforeAll(async () => {
  world = await PlatformWorld.open();
  stack = await world.runningStack();
  await world.platform.stackSql(
    stack.slug,
    'create table kept as select n, md5(n::text) from generate_series(1, 5000) n',
  );
  // Enough for a dump to last a moment.
  await world.platform.stackSql(
    stack.slug,
    'create table large as select n, repeat(md5(n::text), 12) as filling from generate_series(1, 300000) n',
  );
}, 400_000);
afterAll(async () => {
  await world?.platform.stop();
}, 200_000);

it('a running stack is backed up by one command, restored beside itself and compared, and nobody notices', async () => {
  const before = await docker('inspect', '-f', '{{.State.StartedAt}}', world.platform.service(stack.slug, 'postgres'));
  const { code, document } = await world.platform.cli<OperationView>('backup', 'take', stack.slug);
  expect({ code, error: document.error }).toEqual({ code: 0, error: null });
  expect(document.data.steps.filter(({ action }) => action === null).map(({ phase, state }) => [phase, state])).toEqual(
    [
      ['dump', 'done'],
      ['store', 'done'],
      ['prove', 'done'],
    ],
  );
  const { items, verifiedUntil } = await backups();
  [backup] = items as [BackupView];
  expect(backup).toMatchObject({ state: 'verified', reason: 'manual', error: null, operationId: document.data.id });
  expect(backup.rows).toBeGreaterThan(5000);
  expect(verifiedUntil).toBe(backup.takenAt);
  expect(await leftOver()).toEqual([]);
  expect(await docker('inspect', '-f', '{{.State.StartedAt}}', world.platform.service(stack.slug, 'postgres'))).toBe(
    before,
  );
  await world.served(stack);
});

it('of what it stored nothing lies in clear on the host, and no password of it is to be seen', async () => {
  const folder = join(world.platform.facts.dataDir, 'backups');
  const secrets = await generatedSecrets(world.platform);
  expect(secrets.map(({ what }) => what)).toEqual(
    expect.arrayContaining([
      `repository/${stack.id}`,
      ...['database-password', 'redis-password', 'stack-key'].map((name) => `tenant/${stack.id}/${name}`),
    ]),
  );
  const searched = [
    // As a dump names it: four letters alone may stand by chance in what is encrypted.
    { what: 'table', text: 'public.kept' },
    { what: 'slug', text: stack.slug },
    { what: 'dump', text: 'PGDMP' },
    { what: 'part', text: 'manifest' },
    ...secrets,
  ];
  // What is searched is there: restic says so itself in its configuration's name.
  expect((await promisify(execFile)('find', [folder, '-name', 'config'])).stdout.trim()).toContain(stack.id);
  for (const { what, text } of searched) {
    expect({ what, found: await filesWith(text, folder) }).toEqual({ what, found: [] });
  }
  // And where they do lie in clear, the same search finds each of them.
  const planted = join(folder, stack.id, 'planted');
  await writeFile(planted, searched.map(({ text }) => text).join('\n'), { mode: 0o600 });
  try {
    for (const { what, text } of searched) {
      expect({ what, found: await filesWith(text, folder) }).toEqual({ what, found: [planted] });
    }
  } finally {
    await rm(planted);
  }
  const { stdout } = await promisify(execFile)('stat', ['-c', '%a %u', folder]);
  expect(stdout.trim()).toBe('700 10011');
});

it('its owner downloads it through the proxy, whole, and age and pg_restore open it', async () => {
  const { export: asked, ticket } = await stack.owner.api<ExportAsked>('POST', `/stacks/${stack.slug}/exports`, {
    backup: backup.id,
    password: PASSWORD,
  });
  const { portalDomain } = world.platform.place;
  const passphrase = randomBytes(16).toString('hex');
  const body = new URLSearchParams({ ticket, passphrase });
  const archive = await stack.owner.ask(portalDomain, '/api/v1/exports', { method: 'POST', body });
  expect(archive).toMatchObject({ status: 200, headers: { 'content-length': String(archive.bytes.length) } });
  const again = await stack.owner.ask(portalDomain, '/api/v1/exports', { method: 'POST', body });
  expect(again.status).toBe(401);
  const at = await mkdtemp(join(tmpdir(), 'aviary-archive-'));
  try {
    await writeFile(join(at, 'archive'), archive.bytes);
    expect(await openArchive(join(at, 'archive'), passphrase, join(at, 'opened'))).toMatchObject({ code: 0 });
    const dump = join(at, 'opened', 'postgres.dump');
    const { stdout } = await promisify(execFile)(backupTool('pg_restore'), [
      '--data-only',
      '--table=kept',
      '-f',
      '-',
      dump,
    ]);
    expect(stdout.split('\n').filter((line) => /^\d+\t[0-9a-f]{32}$/.test(line))).toHaveLength(5000);
  } finally {
    await rm(at, { recursive: true });
  }
  expect((await backups()).export).toMatchObject({ id: asked.id, state: 'sent', bytes: archive.bytes.length });
});

it('FM-22 a restore puts the data of then in place, a safety backup of now first, and the stack serves', async () => {
  await world.platform.stackSql(stack.slug, 'insert into kept select n, null from generate_series(5001, 5100) n');
  expect(await rowsIn()).toBe(5100);
  const { code, document } = await world.platform.cli<OperationView>(
    'backup',
    'restore',
    stack.slug,
    backup.id,
    `--confirm=${stack.slug}`,
  );
  expect({ code, error: document.error }).toEqual({ code: 0, error: null });
  expect(await rowsIn()).toBe(5000);
  await world.served(stack);
  const [safety] = (await backups()).items;
  expect(safety).toMatchObject({ reason: 'safety', state: 'verified' });
  // The runtime writes too.
  expect(safety?.rows).toBeGreaterThanOrEqual(backup.rows! + 100);
  expect(await volumes()).toHaveLength(2);
  expect(await leftOver()).toEqual([]);
  // Neither volume is anybody's orphan, and what is kept goes with the next good backup.
  expect(await world.platform.sql(`select count(*) from orphans where tenant_id = '${stack.id}'`)).toBe('0');
  expect((await world.platform.cli('backup', 'take', stack.slug)).code).toBe(0);
  expect(await volumes()).toHaveLength(1);
  expect(await rowsIn()).toBe(5000);
});

it('FM-15 a stack whose data vanished is not made anew: a restore is offered, and brings it back', async () => {
  const data = (await volumes()).toSorted().at(-1) ?? '';
  await world.withoutAgent(async () => {
    await docker('rm', '-f', world.platform.service(stack.slug, 'postgres'));
    // As on a host whose disk was lost: with its data the password it is opened with.
    await docker('volume', 'rm', data, `${world.platform.service(stack.slug, 'postgres')}-secrets`);
  });
  const lost = await waitFor(
    async () => {
      const seen = await stack.owner.stack(stack.slug);
      return seen.reasonCode === 'DATA_MISSING' ? seen : undefined;
    },
    { what: 'the loss being told', ...SOON },
  );
  expect(lost.reason).toContain('restore a backup');
  expect((await backups()).items[0]?.state).toBe('verified');
  const { operation } = await stack.owner.api<{ operation: OperationView }>('POST', `/stacks/${stack.slug}/restore`, {
    backup: backup.id,
    confirm: stack.slug,
  });
  expect(await stack.owner.operationEnd(operation.id)).toMatchObject({ state: 'done', error: null });
  expect(await rowsIn()).toBe(5000);
  await world.served(stack);
  expect(await stack.owner.stack(stack.slug)).toMatchObject({ reasonCode: null });
});

it.each([
  ['dump', 'backup'],
  ['prove', 'backup'],
  ['load', 'restore'],
] as const)(
  'FM-10 an agent killed while it does %s of a %s: it is done again to its end, and nothing is left',
  async (phase, kind) => {
    const { operation } =
      kind === 'backup'
        ? await stack.owner.api<{ operation: OperationView }>('POST', `/stacks/${stack.slug}/backups`)
        : await stack.owner.api<{ operation: OperationView }>('POST', `/stacks/${stack.slug}/restore`, {
            backup: backup.id,
            confirm: stack.slug,
          });
    await waitFor(
      async () => {
        const { containers } = await world.platform.objects();
        const running = await world.platform.sql(
          `select count(*) from operation_steps where operation_id = '${operation.id}' and phase = '${phase}' and state = 'running'`,
        );
        return running !== '0' &&
          (phase === 'dump' ? await dumps() : containers.some((name) => name.endsWith('-scratch')))
          ? true
          : undefined;
      },
      { what: `the phase ${phase}`, deadlineMs: 120_000, intervalMs: 50, maxIntervalMs: 50 },
    );
    await docker('kill', '-s', 'KILL', world.platform.container('agent'));
    await docker('start', world.platform.container('agent'));
    expect(await stack.owner.operationEnd(operation.id)).toMatchObject({ state: 'done', error: null });
    expect(await rowsIn()).toBe(5000);
    expect(await leftOver()).toEqual([]);
    // One whose reader is gone would wait for ever, its snapshot in the way of the database's own cleaning.
    expect(await dumps()).toBe(false);
    await world.served(stack);
  },
);

it('FM-22 a restore is undone by going back to what it took the place of, which is still there', async () => {
  await world.platform.stackSql(stack.slug, 'insert into kept select n, null from generate_series(6001, 6010) n');
  const restored = await world.platform.cli<OperationView & { loss: RestoreLoss }>(
    'backup',
    'restore',
    stack.slug,
    backup.id,
    `--confirm=${stack.slug}`,
  );
  // Counted in the stack's own server, beside its runtime.
  expect(restored).toMatchObject({ code: 0, document: { data: { loss: { now: true } } } });
  expect(await rowsIn()).toBe(5000);
  expect((await backups()).kept).toMatchObject({ restored: backup.takenAt });
  // From here on what is kept has a password that nobody knows any more.
  expect((await world.platform.cli('tenant', 'rotate-secrets', stack.slug)).code).toBe(0);
  const { code, document } = await world.platform.cli<OperationView>(
    'backup',
    'undo-restore',
    stack.slug,
    `--confirm=${stack.slug}`,
  );
  expect({ code, error: document.error }).toEqual({ code: 0, error: null });
  expect(await rowsIn()).toBe(5010);
  await world.served(stack);
  expect(await leftOver()).toEqual([]);
});

it('the night leaves an idle stack alone that has what its newest backup holds, and not one that changed', async () => {
  expect((await world.platform.cli('backup', 'take', stack.slug)).code).toBe(0);
  // As the clock orders it; at which hour it does is shown where the clock is ours.
  const night = async (): Promise<OperationView> => {
    const id = await world.platform.sql(`
      with made as (
        insert into operations (id, tenant_id, slug, account_id, engine_id, kind, state, exclusive, requested_by, input, created_at, deadline_at, fencing, attempts)
        select gen_random_uuid(), id, slug, account_id, engine_id, 'backup', 'queued', false, 'system:schedule',
               '{"reason": "schedule"}', now(), now() + interval '1 hour', 0, 0 from tenants where id = '${stack.id}' returning id),
      steps as (
        insert into operation_steps (operation_id, seq, phase, state)
        select id, (at - 1) * 1000, phase, 'pending' from made, unnest(array['dump', 'store', 'prove']) with ordinality as t (phase, at))
      select id from made`);
    return stack.owner.operationEnd(id.trim());
  };
  const phases = ({ steps }: OperationView) =>
    steps.filter(({ action }) => action === null).map(({ phase, state }) => `${phase} ${state}`);
  // Its runtime wrote meanwhile: probes, reports, prices, candles, points of a curve.
  await world.served(stack);
  expect(phases(await night())).toEqual(['dump done', 'store skipped', 'prove skipped']);
  const [newest] = (await backups()).items;
  expect(newest?.sameUntil).not.toBeNull();
  await world.platform.stackSql(stack.slug, 'update kept set md5 = null where n = 1');
  expect(phases(await night())).toEqual(['dump done', 'store done', 'prove done']);
  expect((await backups()).items[0]).toMatchObject({ reason: 'schedule', state: 'verified', sameUntil: null });
});

it('what the plan keeps no longer is told, and goes; what stays comes back', async () => {
  await world.platform.sql('update plans set keep_daily = 1, keep_weekly = 0, keep_monthly = 0');
  const before = await backups();
  await world.platform.sql(
    `update backups set taken_at = taken_at - interval '5 days', begun_at = begun_at - interval '5 days' where id <> '${before.items[0]?.id}'`,
  );
  const told = await world.platform.cli<{ items: { id: string }[] }>('backup', 'prune', stack.slug, '--dry-run');
  const gone = told.document.data.items.map(({ id }) => id);
  expect(gone).toContain(backup.id);
  expect((await world.platform.cli('backup', 'prune', stack.slug, `--confirm=${stack.slug}`)).code).toBe(0);
  const left = (await backups()).items;
  expect(left.filter(({ id }) => gone.includes(id))).toEqual([]);
  [backup] = left as [BackupView];
  expect(backup).toMatchObject({ state: 'verified' });
});

it('a clone of a backup runs beside the original with its bots paused, and trades only once that is allowed', async () => {
  await world.platform.sql('update plans set stacks = 2');
  const bot = await tradingBot(world.platform, stack);
  expect((await world.platform.cli('backup', 'take', stack.slug)).code).toBe(0);
  const newest = (await backups()).items[0]!;
  const { operation, stack: made } = await stack.owner.api<{ operation: OperationView; stack: StackView }>(
    'POST',
    `/stacks/${stack.slug}/clone`,
    { backup: newest.id },
  );
  expect(await stack.owner.operationEnd(operation.id)).toMatchObject({ kind: 'clone', state: 'done', error: null });
  const copy = { owner: stack.owner, slug: made.slug, id: made.id };
  expect(await world.platform.stackSql(copy.slug, 'select count(*) from kept')).toBe(String(await rowsIn()));
  expect(await world.platform.stackSql(copy.slug, 'select tenant from stack')).toBe(copy.id);
  expect(await world.platform.stackSql(stack.slug, 'select tenant from stack')).toBe(stack.id);
  await stack.owner.signOn(copy.slug);
  await world.served(copy);
  const botOf = async ({ slug }: { slug: string }): Promise<string> =>
    (await stack.owner.ask<Bot>(stack.owner.dashboardHost(slug), `/api/v1/bots/${bot}`)).body.state;
  const resume = () =>
    stack.owner.ask<{ code?: string }>(stack.owner.dashboardHost(copy.slug), `/api/v1/bots/${bot}/resume`, {
      method: 'POST',
      body: {},
    });
  expect([await botOf(stack), await botOf(copy)]).toEqual(['running', 'paused']);
  const open = () => world.platform.stackSql(copy.slug, `select count(*) from paper_orders where state = 'open'`);
  expect(await open()).toBe('0');
  expect((await resume()).body.code).toBe('TRADING_HELD');
  expect(await stack.owner.stack(copy.slug)).toMatchObject({ clonedFrom: { slug: stack.slug } });

  const allowed = await world.platform.cli('tenant', 'allow-trading', copy.slug, `--confirm=${copy.slug}`);
  expect(allowed.code).toBe(0);
  await world.served(copy);
  expect(await botOf(copy)).toBe('paused');
  expect((await resume()).status).toBe(200);
  await waitFor(async () => ((await open()) === '0' ? undefined : true), { what: 'orders of the copy', ...SOON });
  expect(await leftOver()).toEqual([]);
  expect(await stack.owner.destroy(copy.slug)).toMatchObject({ state: 'done', error: null });
  await world.served(stack);
});

it('destroying the stack takes its backups with it', async () => {
  expect(await stack.owner.destroy(stack.slug)).toMatchObject({ state: 'done', error: null });
  const { stdout } = await promisify(execFile)('ls', [join(world.platform.facts.dataDir, 'backups')]);
  expect(stdout).not.toContain(stack.id);
  expect(await world.platform.traces(stack)).toEqual([]);
});
