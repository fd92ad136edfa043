import type { BackupState } from '#libs/contracts';
import { BackupEntity, OperationEntity, TenantEntity } from '#libs/db';
import { listAlarms, settleAlarms } from '#libs/jobs';
import { backupAges, overdueBackups } from '#libs/tenants';
import { insertBackup } from '../support/backup-rows.js';
import { stackWorld, type StackWorld } from '../support/stack-world.js';

jest.setTimeout(60_000);

const HOUR = 3_600_000;
const now = new Date('2026-08-20T12:00:00Z');
const ago = (hours: number): Date => new Date(now.getTime() - hours * HOUR);

let world: StackWorld;
beforeAll(async () => {
  world = await stackWorld();
});
afterAll(() => world.close());

const db = () => world.database.dataSource.manager;

/** A stack that has run for so many hours. */
async function running(hours: number): Promise<{ id: string; slug: string }> {
  const owner = await world.account();
  const { operation, stack } = await world.stacks.create(owner, { template: 'standard' });
  await world.runner().run(operation.id, stack.id, new AbortController().signal);
  await db().update(TenantEntity, { id: stack.id }, { createdAt: ago(hours) });
  await db().update(OperationEntity, { tenantId: stack.id }, { finishedAt: ago(hours) });
  return { id: stack.id, slug: stack.slug };
}

const backup = (stack: { id: string }, state: BackupState, hours: number): Promise<string> =>
  insertBackup(world.database.dataSource, stack, state, { at: ago(hours) });

const found = async () => overdueBackups(await backupAges(world.database.dataSource, now));
const of = async ({ slug }: { slug: string }) => (await found()).find(({ key }) => key === `backup/${slug}`);

it('FM-21 a stack that runs without a fresh backup is told after a night, and louder after two', async () => {
  const fresh = await running(200);
  await backup(fresh, 'verified', 27);
  expect(await of(fresh)).toBeUndefined();

  const old = await running(200);
  await backup(old, 'verified', 29);
  expect(await of(old)).toMatchObject({ severity: 'warning', params: { hours: 29, failure: null } });

  // One that is stored and was not proven does not count, and says why.
  const unproven = await running(200);
  await backup(unproven, 'verified', 60);
  await backup(unproven, 'stored', 5);
  await db().update(
    BackupEntity,
    { tenantId: unproven.id, state: 'stored' },
    { error: { code: 'BACKUP_UNVERIFIED', message: 'public.fills has 999 rows instead of 1000' } },
  );
  const told = await of(unproven);
  expect(told).toMatchObject({ severity: 'critical', code: 'BACKUP_OVERDUE', params: { hours: 60 } });
  expect(told?.message).toContain('The last try: public.fills has 999 rows instead of 1000');

  const never = await running(30);
  expect((await of(never))?.message).toContain(
    `${never.slug} has run for 30 hours without a verified backup; its plan allows 28. It has none.`,
  );
  const young = await running(20);
  expect(await of(young)).toBeUndefined();
});

it('how old the newest may be is the plan’s', async () => {
  const [patient, strict] = [await running(300), await running(300)];
  for (const [{ id }, code, hours] of [
    [patient, 'free', 100],
    [strict, 'premium', 6],
  ] as const) {
    await db().query('update plans set backup_max_age_hours = $2 where code = $1', [code, hours]);
    await db().query(
      `update accounts set plan_id = (select id from plans where code = $2)
        where id = (select account_id from tenants where id = $1)`,
      [id, code],
    );
  }
  await backup(patient, 'verified', 99);
  expect(await of(patient)).toBeUndefined();
  await backup(strict, 'verified', 7);
  expect(await of(strict)).toMatchObject({ severity: 'warning', params: { hours: 7, maxAgeHours: 6 } });
  expect((await of(strict))?.message).toContain('has run for 7 hours without a verified backup; its plan allows 6.');
  await db().query(`update plans set backup_max_age_hours = 98 where code = 'free'`);
  expect(await of(patient)).toMatchObject({ severity: 'warning', params: { hours: 99, maxAgeHours: 98 } });
  // A day more is loud.
  await db().query(`update plans set backup_max_age_hours = 74 where code = 'free'`);
  expect(await of(patient)).toMatchObject({ severity: 'critical' });
  await db().query('update plans set backup_max_age_hours = 28');
});

it('what rests needs none, and one that woke has a night', async () => {
  const stack = await running(200);
  await backup(stack, 'verified', 150);
  expect(await of(stack)).toMatchObject({ severity: 'critical' });
  await db().update(TenantEntity, { id: stack.id }, { desired: 'hibernated', observed: 'stopped' });
  expect(await of(stack)).toBeUndefined();
  await db().update(TenantEntity, { id: stack.id }, { desired: 'running', observed: 'running' });
  await db().update(OperationEntity, { tenantId: stack.id }, { kind: 'wake', finishedAt: ago(3) });
  expect(await of(stack)).toBeUndefined();
});

it('the alarm ends with the next verified backup', async () => {
  const stack = await running(100);
  const alarm = async () =>
    (await listAlarms(world.database.dataSource, now)).find(({ key }) => key === `backup/${stack.slug}`);
  await settleAlarms(world.database.dataSource, 'backup', { findings: await found() }, now);
  expect(await alarm()).toMatchObject({ code: 'BACKUP_OVERDUE', severity: 'critical', endedAt: null });
  await backup(stack, 'verified', 1);
  await settleAlarms(world.database.dataSource, 'backup', { findings: await found() }, now);
  expect((await alarm())?.endedAt).not.toBeNull();
});
