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
async function asked(kind: 'backup' | 'restore'): Promise<string> {
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
  expect(table.stdout.split('\n')[0]).toMatch(/^BACKUP +DATA OF +STATE +SIZE +ADDED +REASON +RELEASE +WHY$/);
  const plain = await aviary(env, ['backup', 'list', slug, '--plain', '--limit', '1']);
  expect(plain.stdout.split('\t')).toEqual([
    stored,
    expect.stringMatching(/^\d{4}-.*Z$/),
    'stored',
    '4.0 MB',
    '0.9 MB',
    'manual',
    expect.stringMatching(/\d/),
    'BACKUP_UNVERIFIED: public.bots has 2 rows instead of 3\n',
  ]);
  const json = document(await aviary(env, ['backup', 'list', slug, '--json']));
  expect(json).toMatchObject({ ok: true, schema: 'aviary/backup-list/1', data: { next: null, open: null } });
  expect((json.data as BackupList).items.map(({ state }) => state)).toEqual(['stored', 'verified']);
  const fleet = await aviary(env, ['backup', 'list']);
  expect(fleet.stdout).toMatch(new RegExp(`${slug} +2026-11-20T01:14:09.000Z +stored `));
  expect(fleet.stderr).toContain('the newest try failed of 1');
  expect((await aviary(env, ['backup', 'list', 'uaaaaaa'])).code).toBe(3);
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
  expect(unconfirmed.stderr).toContain('Among it, as the newest backup counts: 12 fills.');
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
