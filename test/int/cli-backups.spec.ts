import { waitFor } from '#libs/async';
import type { BackupList, OperationView } from '#libs/contracts';
import { OperationEntity } from '#libs/db';
import { insertBackup } from '../support/backup-rows.js';
import { aviary, document, environment } from '../support/cli.js';
import { stackWorld, type StackWorld } from '../support/stack-world.js';

// Several test files and an engine may share two cores.
jest.setTimeout(60_000);

let world: StackWorld;
let env: Record<string, string>;
let slug: string;
let id: string;

beforeAll(async () => {
  world = await stackWorld();
  env = environment(world.database);
  await world.operator();
  const accepted = await world.stacks.create(await world.account(), { template: 'standard' });
  await world.runner().run(accepted.operation.id, accepted.stack.id, new AbortController().signal);
  ({ slug, id } = accepted.stack);
});
afterAll(() => world.close());

const end = (operationId: string, state: 'done' | 'failed', error: object | null = null): Promise<unknown> =>
  world.database.dataSource.query(
    `update operations set state = $2, started_at = now(), finished_at = now(), error = $3 where id = $1`,
    [operationId, state, error === null ? null : JSON.stringify(error)],
  );

/** The open operation of that kind, as soon as the command has asked for it. */
async function asked(kind: 'backup' | 'restore' | 'undo_restore' | 'prune'): Promise<string> {
  return waitFor(
    async () =>
      (await world.database.dataSource.manager.findOneBy(OperationEntity, { tenantId: id, kind, state: 'queued' }))?.id,
    { what: `a ${kind}`, deadlineMs: 20_000 },
  );
}

it('takes a backup, waits for its end and says how to put it back', async () => {
  const running = aviary(env, ['backup', 'take', slug]);
  const operationId = await asked('backup');
  const at = new Date('2026-11-20T01:14:09Z');
  const backup = await insertBackup(world.database.dataSource, { id }, 'verified', { operationId, at });
  await end(operationId, 'done');
  const ran = await running;
  expect([ran.code, ran.stdout]).toEqual([
    0,
    `✓ ${slug} is backed up, restored and checked: 4.0 MB, data of 2026-11-20T01:14:09.000Z. Put it back with: aviary backup restore ${slug} ${backup}\n`,
  ]);
});

it('ends a backup that failed with its error and 1, a second one at once with 5, one of nobody’s stack with 3', async () => {
  const running = aviary(env, ['backup', 'take', slug, '--json']);
  const operationId = await asked('backup');
  const second = await aviary(env, ['backup', 'take', slug, '--json']);
  expect(document(second)).toMatchObject({ ok: false, exit: 5, error: { code: 'TENANT_BUSY' } });
  await end(operationId, 'failed', { code: 'REPOSITORY_DAMAGED', message: 'No.', errorId: 'e', details: {} });
  expect(document(await running)).toMatchObject({
    ok: false,
    exit: 1,
    schema: 'aviary/operation/1',
    error: { code: 'REPOSITORY_DAMAGED', message: 'No.' },
  });
  expect((await aviary(env, ['backup', 'take', 'uaaaaaa'])).code).toBe(3);
  const detached = document(await aviary(env, ['backup', 'take', slug, '--detach', '--json']));
  expect(detached).toMatchObject({ ok: true, data: { kind: 'backup', state: 'queued' } });
  await end((detached.data as OperationView).id, 'failed', {
    code: 'BACKUP_FAILED',
    message: 'No.',
    errorId: 'e',
    details: {},
  });
});

it('lists backups as a table, as tabs and as JSON, and of every stack where none is named', async () => {
  const stored = await insertBackup(world.database.dataSource, { id }, 'stored', {
    error: { code: 'BACKUP_UNVERIFIED', message: 'public.bots has 2 rows instead of 3' },
  });
  const table = await aviary(env, ['backup', 'list', slug]);
  expect(table.stdout.split('\n')[0]).toMatch(
    /^BACKUP +DATA OF +STATE +SIZE +ADDED +REASON +RELEASE +WHY +SAME UNTIL +CHECKED$/,
  );
  const plain = await aviary(env, ['backup', 'list', slug, '--plain', '--limit', '1']);
  expect(plain.stdout.split('\t')).toEqual([
    stored,
    expect.stringMatching(/^\d{4}-.*Z$/),
    'stored',
    '4.0 MB',
    '0.9 MB',
    'manual',
    expect.stringMatching(/\d/),
    'BACKUP_UNVERIFIED: public.bots has 2 rows instead of 3',
    '',
    '\n',
  ]);
  const json = document(await aviary(env, ['backup', 'list', slug, '--json']));
  expect(json).toMatchObject({ ok: true, schema: 'aviary/backup-list/1', data: { next: null, open: null } });
  expect((json.data as BackupList).items.map(({ state }) => state)).toEqual(['stored', 'verified']);
  const fleet = await aviary(env, ['backup', 'list']);
  expect(fleet.stdout).toMatch(new RegExp(`${slug} +2026-11-20T01:14:09.000Z +yes +stored `));
  // A night that found nothing changed moves what is safe, and not when that was checked.
  const checked = '2026-11-20T01:14:09.000Z';
  const same = '2026-11-21T02:10:00.000Z';
  await world.database.dataSource.query(
    `update backups set same_until = $2 where tenant_id = $1 and state = 'verified'`,
    [id, same],
  );
  const [line] = (await aviary(env, ['backup', 'list', '--plain'])).stdout
    .split('\n')
    .filter((row) => row.startsWith(slug));
  expect([line?.split('\t').at(1), line?.split('\t').at(-1)]).toEqual([same, checked]);
  expect(fleet.stderr).toContain('the newest try failed of 1');
  expect((await aviary(env, ['backup', 'list', 'uaaaaaa'])).code).toBe(3);
});

it('tells what the night will remove, of one stack or of all, and removes it only when the stack is named', async () => {
  await world.database.dataSource.query('delete from backups where tenant_id = $1', [id]);
  const day = (back: number) => ({ at: new Date(Date.now() - back * 86_400_000) });
  const olds = await Promise.all(
    [30, 20].map((back) => insertBackup(world.database.dataSource, { id }, 'verified', day(back))),
  );
  await world.database.dataSource.query('update plans set keep_daily = 1, keep_weekly = 0, keep_monthly = 0');
  await insertBackup(world.database.dataSource, { id }, 'verified', day(1));
  for (const stack of [[], [slug]]) {
    const json = document(await aviary(env, ['backup', 'prune', ...stack, '--dry-run', '--json']));
    expect(json).toMatchObject({ ok: true, schema: 'aviary/backup-expired/1' });
    const { items } = json.data as { items: { id: string; slug: string; addedBytes: number }[] };
    expect(items.map((one) => one.id).toSorted()).toEqual(olds.toSorted());
    expect(items[0]).toMatchObject({ slug, state: 'verified', addedBytes: 900_100 });
  }
  expect((await aviary(env, ['backup', 'prune'])).code).toBe(2);
  const unconfirmed = await aviary(env, ['backup', 'prune', slug, '--no-input']);
  expect(unconfirmed.code).toBe(2);
  expect(unconfirmed.stderr).toContain(`This removes 2 backups of ${slug} for ever`);
  const running = aviary(env, ['backup', 'prune', slug, '--confirm', slug]);
  await end(await asked('prune'), 'done');
  expect((await running).stdout).toContain('2 removed');
});

it('undoes a restore only while something is kept, and when the stack is named', async () => {
  const undo = (...args: string[]) => aviary(env, ['backup', 'undo-restore', slug, ...args]);
  expect(document(await undo('--json'))).toMatchObject({
    exit: 5,
    error: { code: 'WRONG_STATE', details: { why: 'nothing_kept' } },
  });
  const input = JSON.stringify({ backup: '0190a000-0000-7000-8000-000000000001' });
  await world.database.dataSource.query(
    `with restore as (
       insert into operations (id, tenant_id, slug, account_id, engine_id, kind, state, exclusive, requested_by, input, created_at, finished_at, deadline_at, fencing, attempts)
       select gen_random_uuid(), id, slug, account_id, engine_id, 'restore', 'failed', true, 'x', $2, now(), now(), now(), 0, 0 from tenants where id = $1
       returning id)
     insert into operation_steps (operation_id, seq, phase, state, finished_at) select id, 4000, 'swap', 'done', now() from restore`,
    [id, input],
  );
  await world.database.dataSource.query(`update tenants set kept_epochs = '{1}', epoch = 2 where id = $1`, [id]);
  const unconfirmed = await undo('--no-input');
  expect(unconfirmed.code).toBe(2);
  expect(unconfirmed.stderr).toContain('loses everything since');
  const running = undo('--confirm', slug);
  await end(await asked('undo_restore'), 'done');
  expect((await running).stdout).toContain('has the data of before the restore again');
  await world.database.dataSource.query(`update tenants set kept_epochs = '{}' where id = $1`, [id]);
  await world.database.dataSource.query(`delete from operations where kind = 'restore'`);
});

it('makes a copy of a backup, and lets it trade only when it is named', async () => {
  await world.database.dataSource.query('update plans set stacks = 5');
  const backup = await insertBackup(world.database.dataSource, { id }, 'verified');
  expect((await aviary(env, ['backup', 'clone', slug, backup, '--name', ' '])).code).toBe(2);
  const made = document(await aviary(env, ['backup', 'clone', slug, backup, '--detach', '--json']));
  expect(made).toMatchObject({ ok: true, data: { kind: 'clone', state: 'queued' } });
  // The engines of this platform are its one.
  const elsewhere = await aviary(env, ['backup', 'clone', slug, backup, '--engine', 'north']);
  expect(elsewhere).toMatchObject({ code: 2, stderr: expect.stringContaining('There is no engine north.') as string });
  expect((await aviary(env, ['backup', 'clone', slug, backup, '--engine', '../north'])).code).toBe(2);
  const { slug: copy, id: operation } = made.data as OperationView;
  expect(copy).not.toBe(slug);
  await end(operation, 'done');
  const shown = await aviary(env, ['tenant', 'show', copy]);
  expect(shown.stdout).toContain(`copy of    ${slug}, its data of`);
  expect(shown.stdout).toContain('engine     local');
  expect(shown.stdout).toContain(`aviary tenant allow-trading ${copy}`);
  const unconfirmed = await aviary(env, ['tenant', 'allow-trading', copy, '--no-input']);
  expect(unconfirmed.code).toBe(2);
  expect(unconfirmed.stderr).toContain(`is a copy of ${slug}: once it may trade, both do`);
  const allowed = document(
    await aviary(env, ['tenant', 'allow-trading', copy, '--confirm', copy, '--detach', '--json']),
  );
  expect(allowed).toMatchObject({ ok: true, data: { kind: 'restart' } });
  await end((allowed.data as OperationView).id, 'done');
  await world.database.dataSource.query('update tenants set trading_held_since = null where slug = $1', [copy]);
  expect(document(await aviary(env, ['tenant', 'allow-trading', copy, '--json']))).toMatchObject({
    exit: 5,
    error: { code: 'WRONG_STATE', details: { why: 'trades' } },
  });
});

it('restores only what is named, after telling what is lost', async () => {
  const at = new Date('2026-11-20T01:14:09Z');
  const backup = await insertBackup(world.database.dataSource, { id }, 'verified', { at });
  await insertBackup(world.database.dataSource, { id }, 'verified', { fills: 52 });
  const restore = (...args: string[]) => aviary(env, ['backup', 'restore', slug, ...args]);
  const unconfirmed = await restore(backup, '--no-input');
  expect([unconfirmed.code, unconfirmed.stdout]).toEqual([2, '']);
  expect(unconfirmed.stderr).toContain('2026-11-20T01:14:09.000Z');
  expect(unconfirmed.stderr).toContain('everything since then is lost');
  expect(unconfirmed.stderr).toMatch(
    /Among it, as the newest backup of \S+Z counts: 12 fills; what came after that backup /,
  );
  expect(unconfirmed.stderr).toContain('What is there now is backed up first.');
  expect(unconfirmed.stderr).toContain(`--confirm=${slug}`);
  expect((await restore(backup, '--confirm', 'uaaaaaa')).code).toBe(2);
  expect((await restore('mistyped', '--confirm', slug)).code).toBe(3);
  const failed = await insertBackup(world.database.dataSource, { id }, 'failed');
  expect(document(await restore(failed, '--confirm', slug, '--json'))).toMatchObject({
    exit: 5,
    error: { code: 'WRONG_STATE', details: { why: 'not_verified' } },
  });
  const where = { tenantId: id, kind: 'restore' } as const;
  expect(await world.database.dataSource.manager.countBy(OperationEntity, where)).toBe(0);

  const running = restore(backup, '--confirm', slug);
  const operationId = await asked('restore');
  await end(operationId, 'done');
  const ran = await running;
  expect([ran.code, ran.stdout]).toEqual([
    0,
    `✓ ${slug} has its data of 2026-11-20T01:14:09.000Z again; the data before is kept until the next good backup\n`,
  ]);
});
