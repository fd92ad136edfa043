import { createDataSource, newId, PortalBackupEntity } from '#libs/db';
import { listAlarms, settleAlarms } from '#libs/jobs';
import { expiredBackups, orderDuePortalBackup, orderForPlace, portalBackupFindings } from '#libs/tenants';
import { insertBackup } from '../support/backup-rows.js';
import { stackWorld, type StackWorld } from '../support/stack-world.js';

jest.setTimeout(60_000);

let world: StackWorld;
beforeEach(async () => {
  world = await stackWorld();
});
afterEach(() => world.close());

const db = () => world.database.dataSource.manager;
const rules = { overdueHours: 28 };

describe('a backup of the portal is due', () => {
  const at = (iso: string): Date => new Date(iso);
  const due = (now: Date) => orderDuePortalBackup(world.database.dataSource, { now, zone: 'Europe/Berlin', hour: 4 });
  const insert = (change: Partial<PortalBackupEntity>) =>
    db().insert(PortalBackupEntity, {
      id: newId(),
      state: 'verified',
      reason: 'schedule',
      askedBy: 'system:schedule',
      askedAt: at('2026-11-20T03:01:00Z'),
      takenAt: at('2026-11-20T03:02:00Z'),
      verifiedAt: at('2026-11-20T03:03:00Z'),
      parts: [],
      ...change,
    } as object);
  // The app role may not change that row.
  beforeEach(async () => {
    const owner = await createDataSource(world.database.ownerUrl, { poolSize: 1 }).initialize();
    await owner.query(`update platforms set created_at = '2026-11-19T12:00:00Z'`);
    await owner.destroy();
  });

  it('each night from the hour on in the zone, once, and again half an hour after one that failed', async () => {
    expect(await due(at('2026-11-20T02:59:00Z'))).toBeNull();
    const first = await due(at('2026-11-20T03:01:00Z'));
    expect(first).not.toBeNull();
    expect(await due(at('2026-11-20T05:00:00Z'))).toBeNull();
    await db().update(PortalBackupEntity, { id: first! }, { state: 'failed' });
    expect(await due(at('2026-11-20T03:20:00Z'))).toBeNull();
    const second = await due(at('2026-11-20T03:32:00Z'));
    expect(second).not.toBeNull();
    await db().update(
      PortalBackupEntity,
      { id: second! },
      { state: 'verified', takenAt: at('2026-11-20T03:33:00Z'), verifiedAt: at('2026-11-20T03:34:00Z') },
    );
    expect(await due(at('2026-11-21T02:59:00Z'))).toBeNull();
    expect(await due(at('2026-11-21T03:00:00Z'))).not.toBeNull();
  });

  it('at once where the newest lies in another place, and again half an hour after one that failed there', async () => {
    const look = (now: string, place: string) => orderForPlace(world.database.dataSource, { now: at(now), place });
    const asked = () => db().findOneBy(PortalBackupEntity, { state: 'asked' });
    const manifest = (place: string) => ({ settings: place === '' ? {} : { AVIARY_BACKUP_URL: place } });
    // There is none that could lie elsewhere.
    expect(await look('2026-11-20T03:00:00Z', '/mnt/other')).toBe(true);
    await insert({ manifest: manifest('') });
    expect(await look('2026-11-20T09:00:00Z', '')).toBe(true);
    expect(await asked()).toBeNull();
    expect(await look('2026-11-20T09:00:00Z', '/mnt/other')).toBe(false);
    const first = await asked();
    expect(first).toMatchObject({ askedBy: 'system:new-place', reason: 'schedule' });
    const { id } = first!;
    expect(await look('2026-11-20T10:00:00Z', '/mnt/other')).toBe(false);
    await db().update(PortalBackupEntity, { id }, { state: 'failed' });
    expect(await look('2026-11-20T09:20:00Z', '/mnt/other')).toBe(false);
    expect(await asked()).toBeNull();
    expect(await look('2026-11-20T09:31:00Z', '/mnt/other')).toBe(false);
    const second = await asked();
    expect([second?.id === id, await db().countBy(PortalBackupEntity, {})]).toEqual([false, 3]);
    await db().update(
      PortalBackupEntity,
      { id: second!.id },
      { state: 'verified', takenAt: at('2026-11-20T09:32:00Z'), manifest: manifest('/mnt/other') },
    );
    expect(await look('2026-11-20T12:00:00Z', '/mnt/other')).toBe(true);
    expect(await asked()).toBeNull();
  });

  it('an hour after the last where recovery would lack a backup of a stack', async () => {
    await insert({});
    const { stack } = await world.stacks.create(await world.account(), { template: 'standard' });
    expect(await due(at('2026-11-20T09:00:00Z'))).toBeNull();
    await insertBackup(world.database.dataSource, stack, 'stored', { at: at('2026-11-20T08:00:00Z') });
    expect(await due(at('2026-11-20T09:00:00Z'))).toBeNull();
    await insertBackup(world.database.dataSource, stack, 'verified', { at: at('2026-11-20T03:30:00Z') });
    expect(await due(at('2026-11-20T03:50:00Z'))).toBeNull();
    expect(await due(at('2026-11-20T04:02:00Z'))).not.toBeNull();
  });

  it('FM-20 no backup of a stack goes that the newest backup of the portal knows as its last', async () => {
    const { stack } = await world.stacks.create(await world.account('free'), { template: 'standard' });
    await db().query(`update plans set keep_daily = 1, keep_weekly = 0, keep_monthly = 0`);
    const dataSource = world.database.dataSource;
    const [first, second, third] = [
      await insertBackup(dataSource, stack, 'verified', { at: at('2026-11-18T02:10:00Z') }),
      await insertBackup(dataSource, stack, 'verified', { at: at('2026-11-19T02:10:00Z') }),
      await insertBackup(dataSource, stack, 'verified', { at: at('2026-11-20T02:10:00Z') }),
    ];
    const gone = async () => {
      const about = { tenantIds: [stack.id], zone: 'UTC', now: at('2026-11-20T03:30:00Z') };
      return (await expiredBackups(db(), about)).map(({ id }) => id).toSorted();
    };
    expect(await gone()).toEqual([first, second].toSorted());
    await insert({ takenAt: at('2026-11-19T04:00:00Z') });
    expect(await gone()).toEqual([first]);
    await insert({ takenAt: at('2026-11-20T02:30:00Z') });
    expect(await gone()).toEqual([first, second].toSorted());
    expect(await gone()).not.toContain(third);
  });

  it('FM-21 operators are told after the hours of the setting, and louder a day later', async () => {
    const settle = async (now: Date): Promise<void> => {
      const findings = await portalBackupFindings(world.database.dataSource, rules, now);
      await settleAlarms(world.database.dataSource, 'portal-backup', { findings }, now);
    };
    const told = async (now: Date) =>
      (await listAlarms(world.database.dataSource, now)).map(({ code, severity, endedAt }) => [
        code,
        severity,
        endedAt === null,
      ]);
    await insert({});
    await settle(at('2026-11-21T07:00:00Z'));
    expect(await told(at('2026-11-21T07:00:00Z'))).toEqual([]);
    await insert({
      state: 'failed',
      askedAt: at('2026-11-21T07:01:00Z'),
      takenAt: null,
      verifiedAt: null,
      error: { code: 'REPOSITORY_FAILED', message: 'no route to host' },
    });
    await settle(at('2026-11-21T07:03:00Z'));
    expect(await told(at('2026-11-21T07:03:00Z'))).toEqual([['PORTAL_BACKUP_OVERDUE', 'warning', true]]);
    const [finding] = await portalBackupFindings(world.database.dataSource, rules, at('2026-11-22T08:00:00Z'));
    expect(finding).toMatchObject({ severity: 'critical', params: { hours: 52, failure: 'no route to host' } });
    expect(finding?.message).toContain('aviary portal backup');
    await insert({ askedAt: at('2026-11-22T07:00:00Z'), takenAt: at('2026-11-22T08:01:00Z') });
    await settle(at('2026-11-22T08:02:00Z'));
    expect((await told(at('2026-11-22T08:02:00Z')))[0]?.[2]).toBe(false);
  });
});
