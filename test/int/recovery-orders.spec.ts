import { IsNull } from 'typeorm';
import { DomainError, type OperationKind } from '#libs/contracts';
import {
  AlarmEntity,
  BackupEntity,
  newId,
  OperationEntity,
  OutboxMailEntity,
  RecoveryEntity,
  ReleaseEntity,
  TenantEntity,
  tx,
  type Database,
} from '#libs/db';
import { LABEL } from '#libs/engine';
import { createLogger } from '#libs/telemetry';
import { RecoveryService, stackNames, startOperation } from '#libs/tenants';
import { orderRestores } from '../../apps/agent/src/recovery.js';
import { aviary, document, environment } from '../support/cli.js';
import { ENGINE_ID, stackWorld, type StackWorld } from '../support/stack-world.js';

jest.setTimeout(60_000);

const never = new AbortController().signal;
const NOT_SEEN = { fleetUnwell: null };

let world: StackWorld;
let dataSource: Database;
let operator: Awaited<ReturnType<StackWorld['operator']>>;
let stacks: { id: string; slug: string }[];
/** What the repository of each stack has. */
let snapshots: (tenantId: string) => Promise<{ id: string }[]>;

const all = (): Promise<{ id: string }[]> => Promise.resolve([{ id: 'whole' }]);

const orders = (): Promise<unknown> =>
  orderRestores({
    dataSource,
    repositories: { snapshots: (tenantId) => snapshots(tenantId) as never },
    engine: world.engine,
    queue: world.queue,
    platformId: world.database.platformId,
    engineId: ENGINE_ID,
    logger: createLogger('test', 'silent'),
    stopping: never,
    now: () => new Date(),
  });

/** State of each stack, in the order they were made. */
async function states(): Promise<string[]> {
  const { stacks: told } = await new RecoveryService(dataSource).newest(operator);
  return stacks.map(({ slug }) => told.find((one) => one.slug === slug)?.state ?? 'unknown');
}

const restores = (): Promise<number> => dataSource.manager.countBy(OperationEntity, { kind: 'restore' });

const shown = async (): Promise<number | null> => {
  const ran = await aviary(environment(world.database), ['portal', 'recovery', '--json']);
  expect(document(ran)).toMatchObject({ schema: 'aviary/recovery/1', exit: ran.code });
  return ran.code;
};

const ask = (tenantId: string, kind: OperationKind, input?: Record<string, unknown>): Promise<unknown> =>
  tx(dataSource, async (db) => {
    const tenant = await db.findOneByOrFail(TenantEntity, { id: tenantId });
    const actor = { kind: 'system', name: 'test' } as const;
    return startOperation(db, world.queue, { tenant, kind, actor, now: new Date(), ...(input && { input }) });
  });

/** Ends what is open, as a runner does. */
const end = (state: 'done' | 'failed'): Promise<unknown> =>
  dataSource.query(
    `update operations set state = $1, finished_at = now(),
       error = case when $1 = 'failed' then '{"code": "ENGINE_REFUSED", "message": "no room"}'::jsonb end
      where state in ('queued', 'running')`,
    [state],
  );

async function backedUp(tenantId: string, at: Date): Promise<string> {
  const id = newId();
  const { releaseId } = await dataSource.manager.findOneByOrFail(TenantEntity, { id: tenantId });
  await dataSource.manager.insert(BackupEntity, {
    id,
    tenantId,
    operationId: newId(),
    state: 'verified',
    reason: 'manual',
    releaseId,
    begunAt: at,
    takenAt: at,
    sameUntil: null,
    dumpedAt: at,
    storedAt: at,
    verifiedAt: at,
    parts: [{ name: 'postgres.dump', snapshotId: 'whole', bytes: 1, addedBytes: 1, sha256: '' }],
    manifest: null,
    error: null,
  });
  return id;
}

/** A platform that was just recovered: three stacks that are to run, each with a backup, and nothing of them here. */
beforeEach(async () => {
  world = await stackWorld();
  ({ dataSource } = world.database);
  operator = await world.operator();
  const owner = await world.account();
  stacks = [];
  for (let count = 0; count < 3; count += 1) {
    const { stack } = await world.stacks.create(count === 0 ? owner : await world.account(), { template: 'standard' });
    stacks.push({ id: stack.id, slug: stack.slug });
    await backedUp(stack.id, new Date());
  }
  await end('done');
  await dataSource.query(`update tenants set provisioning_generation = 0, checked_at = null`);
  const now = new Date();
  await dataSource.manager.insert(RecoveryEntity, {
    id: newId(),
    backupId: newId(),
    takenAt: now,
    recoveredAt: now,
    orderedAt: null,
  });
  snapshots = all;
});
afterEach(() => world.close());

it.each([
  ['says that it failed', () => new DomainError('REPOSITORY_FAILED', { message: 'answered 503' }), '503'],
  ['says nothing in time', () => new DOMException('The operation was aborted due to timeout', 'TimeoutError'), 'time'],
  ['is not there', () => null, 'AVIARY_BACKUP_URL'],
])(
  'of a stack whose repository %s nothing is decided; its owner is told nothing, and it is tried again',
  async (_, failure, said) => {
    const [first] = stacks;
    snapshots = (tenantId) => {
      const error = failure();
      return tenantId !== first!.id ? all() : error === null ? Promise.resolve([]) : Promise.reject(error);
    };
    await orders();
    expect(await states()).toEqual(['waiting', 'restoring', 'restoring']);
    const { stacks: told } = await new RecoveryService(dataSource).newest(operator);
    expect(told.find(({ slug }) => slug === first!.slug)?.why).toContain(said);

    expect(await world.checker.turn(never)).toEqual([]);
    await world.reconciler().look(first!.id, never);
    expect(await dataSource.manager.findOneByOrFail(TenantEntity, { id: first!.id })).toMatchObject({ reason: null });
    expect(await dataSource.manager.count(OutboxMailEntity)).toBe(0);
    const alarms = world.engineAlarms(NOT_SEEN);
    await alarms.turn();
    const alarm = { code: 'RECOVERY_INCOMPLETE', severity: 'warning', endedAt: IsNull() } as const;
    expect(await dataSource.manager.countBy(AlarmEntity, alarm)).toBe(1);

    snapshots = all;
    await orders();
    expect(await states()).toEqual(['restoring', 'restoring', 'restoring']);
    expect(await restores()).toBe(3);
    await alarms.turn();
    expect(await dataSource.manager.countBy(AlarmEntity, alarm)).toBe(0);
  },
);

it('its exit code is 7 while any is under way, 8 where nothing is put back of one that had backups, and 0 at its end', async () => {
  expect(await shown()).toBe(7);
  snapshots = (tenantId) => (tenantId === stacks[0]!.id ? Promise.resolve([{ id: 'another' }]) : all());
  await orders();
  expect(await states()).toEqual(['nothing', 'restoring', 'restoring']);
  expect(await shown()).toBe(8);
  await end('done');
  expect(await shown()).toBe(8);
  await dataSource.query('delete from tenants where id = $1', [stacks[0]!.id]);
  expect(await states()).toEqual(['destroyed', 'restored', 'restored']);
  expect(await shown()).toBe(0);
});

it('a stack that its owner stops keeps no other from its restore, and gets its own once that is over', async () => {
  const [first] = stacks;
  await ask(first!.id, 'stop');
  await orders();
  expect(await states()).toEqual(['waiting', 'restoring', 'restoring']);
  await end('done');
  // Nothing of it is there yet, and what would be made in its place would be empty.
  for (const kind of ['start', 'restart', 'repair', 'backup', 'prune'] as const) {
    await expect(ask(first!.id, kind)).rejects.toMatchObject({
      code: 'TENANT_BUSY',
      message: expect.stringContaining('was recovered') as string,
    });
  }
  await orders();
  expect(await states()).toEqual(['restoring', 'restored', 'restored']);
});

it('one that was put back by hand counts as restored, whatever became of the restore that was ordered', async () => {
  const [first, second] = stacks;
  snapshots = (tenantId) => (tenantId === second!.id ? Promise.resolve([]) : all());
  await orders();
  await end('failed');
  expect(await states()).toEqual(['failed', 'waiting', 'failed']);
  const byHand = new Date();
  for (const { id } of stacks) {
    await ask(id, 'restore', { backup: await backedUp(id, byHand) });
  }
  expect(await states()).toEqual(['restoring', 'restoring', 'restoring']);
  await end('done');
  expect(await states()).toEqual(['restored', 'restored', 'restored']);
  await orders();
  expect(await restores()).toBe(5);
  await ask(first!.id, 'restore', { backup: await backedUp(first!.id, byHand) });
  await end('failed');
  const { stacks: told, orderedAt } = await new RecoveryService(dataSource).newest(operator);
  expect(orderedAt).not.toBeNull();
  expect(told.map(({ state, takenAt, why }) => ({ state, takenAt, why }))).toEqual(
    Array.from({ length: 3 }, () => ({ state: 'restored', takenAt: byHand.toISOString(), why: null })),
  );
});

it('one that was restored since the portal’s backup is neither led back to what it was before nor filled anew', async () => {
  const [first] = stacks;
  const names = stackNames(world.database.platformId, first!.slug);
  const { definition } = await dataSource.manager.findOneByOrFail(ReleaseEntity, { template: 'standard' });
  for (const volume of Object.keys((definition as unknown as { volumes: object }).volumes)) {
    for (const epoch of [1, 2]) {
      const labels = { [LABEL.platform]: world.database.platformId, [LABEL.tenant]: first!.id, [LABEL.role]: volume };
      await world.engine.createVolume({ name: names.volume(volume, epoch), labels }, { deadlineMs: 5_000 });
    }
  }
  await orders();
  expect(await states()).toEqual(['waiting', 'restoring', 'restoring']);
  await world.reconciler().look(first!.id, never);
  expect(await dataSource.manager.countBy(OperationEntity, { tenantId: first!.id, state: 'queued' })).toBe(0);
  await expect(ask(first!.id, 'restart')).rejects.toMatchObject({ code: 'TENANT_BUSY' });
  await world.engineAlarms(NOT_SEEN).turn();
  const alarm = await dataSource.manager.findOneByOrFail(AlarmEntity, { code: 'RECOVERY_INCOMPLETE' });
  expect(alarm.message).toContain('restored since');
});

it('one whose repository is lost for good is given up by destroying it, and the recovery comes to its end', async () => {
  const [first] = stacks;
  snapshots = (tenantId) => (tenantId === first!.id ? Promise.resolve([]) : all());
  await orders();
  const { stacks: told } = await new RecoveryService(dataSource).newest(operator);
  expect(told.find(({ slug }) => slug === first!.slug)?.why).toContain(`aviary tenant destroy ${first!.slug}`);
  const alarms = world.engineAlarms(NOT_SEEN);
  await alarms.turn();
  const open = { code: 'RECOVERY_INCOMPLETE', endedAt: IsNull() } as const;
  expect(await dataSource.manager.countBy(AlarmEntity, open)).toBe(1);
  const command = ['tenant', 'destroy', first!.slug, `--confirm=${first!.slug}`, '--detach', '--json'];
  const asked = await aviary(environment(world.database), command);
  expect(asked).toMatchObject({ code: 0 });
  const ordered = await dataSource.manager.findOneByOrFail(OperationEntity, { tenantId: first!.id, kind: 'destroy' });
  await world.runner().run(ordered.id, first!.id, never);
  expect(await dataSource.manager.findOneByOrFail(OperationEntity, { id: ordered.id })).toMatchObject({
    state: 'done',
    error: null,
  });
  await end('done');
  await orders();
  expect(await states()).toEqual(['destroyed', 'restored', 'restored']);
  expect(await shown()).toBe(0);
  await alarms.turn();
  expect(await dataSource.manager.countBy(AlarmEntity, open)).toBe(0);
});

it('goes by the newest recovery, also where the machine it was made on has a clock behind the last one’s', async () => {
  await dataSource.query(
    `update recoveries set ordinal = 1, recovered_at = now() + interval '1 hour', ordered_at = now()`,
  );
  const now = new Date();
  await dataSource.manager.insert(RecoveryEntity, {
    id: newId(),
    backupId: newId(),
    takenAt: now,
    recoveredAt: now,
    orderedAt: null,
    ordinal: 2,
  });
  await orders();
  expect(await states()).toEqual(['restoring', 'restoring', 'restoring']);
  expect(await restores()).toBe(3);
});
