import type { Accepted, BackupState } from '#libs/contracts';
import { AuditEntryEntity, BackupEntity, OperationEntity, TenantEntity } from '#libs/db';
import { insertBackup } from '../support/backup-rows.js';
import { stackWorld, type StackWorld } from '../support/stack-world.js';

// Several test files and an engine may share two cores.
jest.setTimeout(60_000);

let world: StackWorld;
const never = new AbortController().signal;

beforeAll(async () => {
  world = await stackWorld();
});
afterAll(() => world.close());

type Owner = Awaited<ReturnType<StackWorld['account']>>;
interface Stack {
  owner: Owner;
  slug: string;
  id: string;
}

const db = () => world.database.dataSource.manager;

async function run({ operation, stack }: Accepted): Promise<void> {
  await world.runner().run(operation.id, stack.id, never);
  expect(await db().findOneByOrFail(OperationEntity, { id: operation.id })).toMatchObject({ state: 'done' });
}

async function running(): Promise<Stack> {
  const owner = await world.account();
  const accepted = await world.stacks.create(owner, { template: 'standard' });
  await run(accepted);
  return { owner, slug: accepted.stack.slug, id: accepted.stack.id };
}

const backup = (stack: Stack, state: BackupState, options: Parameters<typeof insertBackup>[3] = {}): Promise<string> =>
  insertBackup(world.database.dataSource, stack, state, options);

/** One under way, which has come that far. */
async function underWay(stack: Stack, state: BackupState): Promise<{ operationId: string; backupId: string }> {
  const { operation } = await world.backups.take(stack.owner, stack.slug);
  await world.database.dataSource.query(
    `update operations set state = 'running', started_at = now(), lease_owner = 'agent', lease_expires_at = now() + interval '1 minute'
      where id = $1`,
    [operation.id],
  );
  return { operationId: operation.id, backupId: await backup(stack, state, { operationId: operation.id }) };
}

const operation = (id: string): Promise<OperationEntity> => db().findOneByOrFail(OperationEntity, { id });

describe('taking a backup', () => {
  it('goes on beside the stack, which stays as it is, and is written into the audit', async () => {
    const stack = await running();
    const taken = await world.backups.take(stack.owner, stack.slug);
    expect(taken).toMatchObject({ backup: null, operation: { kind: 'backup', state: 'queued' } });
    expect(taken.operation.steps.map(({ phase, state }) => [phase, state])).toEqual([
      ['dump', 'pending'],
      ['store', 'pending'],
      ['prove', 'pending'],
    ]);
    expect(await operation(taken.operation.id)).toMatchObject({ exclusive: false, input: { reason: 'manual' } });
    expect(await world.stacks.get(stack.owner, stack.slug)).toMatchObject({
      status: 'running',
      desired: 'running',
      openOperation: null,
      backup: null,
    });
    expect(await world.backups.list(stack.owner, stack.slug)).toMatchObject({
      items: [],
      next: null,
      verifiedUntil: null,
      verifiedAt: null,
      sameUntil: null,
      open: { id: taken.operation.id },
      problem: null,
      safeguards: true,
    });
    expect(await db().findOneByOrFail(AuditEntryEntity, { action: 'stack.backup', targetId: stack.id })).toMatchObject({
      actorName: stack.owner.username,
      after: { slug: stack.slug, operation: taken.operation.id },
    });
  });

  it('is refused while another one or anything exclusive is under way', async () => {
    const stack = await running();
    const both = await Promise.allSettled([
      world.backups.take(stack.owner, stack.slug),
      world.backups.take(stack.owner, stack.slug),
    ]);
    expect(both.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    expect(both.find(({ status }) => status === 'rejected')).toMatchObject({
      reason: { code: 'TENANT_BUSY', details: { kind: 'backup' } },
    });
    const stop = await world.stacks.request(stack.owner, stack.slug, 'stop');
    await expect(world.backups.take(stack.owner, stack.slug)).rejects.toMatchObject({
      code: 'TENANT_BUSY',
      details: { kind: 'stop', operationId: stop.operation.id },
    });
  });

  it('is refused, in words of what to do, where there is nothing to read', async () => {
    const stack = await running();
    await run(await world.stacks.request(stack.owner, stack.slug, 'stop'));
    await expect(world.backups.take(stack.owner, stack.slug)).rejects.toMatchObject({
      code: 'WRONG_STATE',
      message: expect.stringContaining('Start it first') as string,
      details: { why: 'not_running' },
    });
    await db().update(TenantEntity, { id: stack.id }, { observed: 'failed', reason: 'x', reasonCode: 'DATA_MISSING' });
    await expect(world.backups.take(stack.owner, stack.slug)).rejects.toMatchObject({
      code: 'WRONG_STATE',
      details: { why: 'data_missing' },
    });
    expect(await world.backups.list(stack.owner, stack.slug)).toMatchObject({
      problem: 'data_missing',
      safeguards: false,
    });
    expect(await db().countBy(OperationEntity, { tenantId: stack.id, kind: 'backup' })).toBe(0);
  });

  it.each([
    ['taking', 'failed'],
    ['dumped', 'failed'],
    ['stored', 'stored'],
  ] as const)('never holds anything up: one that is %s gives way at once and is then %s', async (state, after) => {
    const orders: [string, (stack: Stack) => Promise<Accepted>][] = [
      ...(['stop', 'restart', 'destroy'] as const).map((kind): [string, (stack: Stack) => Promise<Accepted>] => [
        kind,
        ({ owner, slug }) => world.stacks.request(owner, slug, kind),
      ]),
      ['resize', ({ owner, slug }) => world.resize.resize(owner, slug, 'pro')],
      ['rotate_secrets', ({ owner, slug }) => world.resize.rotateSecrets(owner, slug)],
      ['suspend', async ({ slug }) => world.holds.suspend(await world.operator(), slug, 'A look is needed.')],
    ];
    const stack = await running();
    for (const [kind, order] of orders) {
      const { operationId, backupId } = await underWay(stack, state);
      const before = await operation(operationId);
      const accepted = await order(stack);
      expect(accepted.operation).toMatchObject({ kind, state: 'queued' });
      // Its worker may not write or touch the engine any more.
      expect(await operation(operationId)).toMatchObject({
        state: 'cancelled',
        fencing: before.fencing + 1,
        leaseOwner: null,
        error: { code: 'OPERATION_CANCELLED' },
      });
      expect(await db().findOneByOrFail(BackupEntity, { id: backupId })).toMatchObject({
        state: after,
        error: after === 'failed' ? { code: 'OPERATION_CANCELLED', message: expect.any(String) as string } : null,
      });
      await world.database.dataSource.query(`update operations set state = 'done', finished_at = now() where id = $1`, [
        accepted.operation.id,
      ]);
      await db().update(TenantEntity, { id: stack.id }, { desired: 'running', observed: 'running' });
    }
  });
});

describe('the list of backups', () => {
  it('shows how far each came, newest first, page by page, and until when data is certain to come back', async () => {
    const stack = await running();
    const at = new Date(Date.now() - 3_600_000);
    const verified = await backup(stack, 'verified', { at });
    const stored = await backup(stack, 'stored');
    const failed = await backup(stack, 'failed', { error: { code: 'BACKUP_FAILED', message: 'No.' } });
    const list = await world.backups.list(stack.owner, stack.slug);
    expect(list.items.map(({ id, state }) => [id, state])).toEqual([
      [failed, 'failed'],
      [stored, 'stored'],
      [verified, 'verified'],
    ]);
    expect(list.items[0]).toMatchObject({ takenAt: null, error: { code: 'BACKUP_FAILED', message: 'No.' } });
    expect(list.items[2]).toMatchObject({
      slug: stack.slug,
      takenAt: at.toISOString(),
      bytes: 4_000_200,
      addedBytes: 900_100,
      tables: 2,
      rows: 42,
      counts: { fills: 40, bots: 2 },
      release: expect.stringMatching(/\d/) as string,
    });
    expect(list).toMatchObject({ verifiedUntil: at.toISOString(), verifiedAt: at.toISOString(), sameUntil: null });
    const first = await world.backups.list(stack.owner, stack.slug, { limit: 2 });
    expect(first).toMatchObject({ items: [{ id: failed }, { id: stored }], next: stored });
    expect(await world.backups.list(stack.owner, stack.slug, { limit: 2, cursor: stored })).toMatchObject({
      items: [{ id: verified }],
      next: null,
    });
    const standing = async () => (await world.stacks.get(stack.owner, stack.slug)).backup;
    expect(await standing()).toEqual({
      takenAt: at.toISOString(),
      verifiedAt: at.toISOString(),
      sameUntil: null,
      failed: true,
    });
    // What gave way to something else is no news of how the next will do.
    await backup(stack, 'failed', { error: { code: 'OPERATION_CANCELLED', message: 'A stop was asked for instead.' } });
    expect(await standing()).toMatchObject({ failed: true });
    await backup(stack, 'verified', { at });
    await backup(stack, 'failed', { error: { code: 'OPERATION_CANCELLED', message: 'A stop was asked for instead.' } });
    expect(await standing()).toMatchObject({ failed: false });
  });

  it('says when the newest that counts was restored and checked, apart from until when nothing changed since', async () => {
    const stack = await running();
    const at = new Date(Date.now() - 3 * 86_400_000);
    const sameUntil = new Date(Date.now() - 60_000);
    const id = await backup(stack, 'verified', { at });
    await db().query('update backups set same_until = $2 where id = $1', [id, sameUntil]);
    const checked = { verifiedAt: at.toISOString(), sameUntil: sameUntil.toISOString() };
    const until = sameUntil.toISOString();
    expect((await world.stacks.get(stack.owner, stack.slug)).backup).toEqual({
      ...checked,
      takenAt: until,
      failed: false,
    });
    const list = await world.backups.list(stack.owner, stack.slug);
    expect(list).toMatchObject({ ...checked, verifiedUntil: until });
    const fleet = await world.backups.fleet(await world.operator());
    expect(fleet.items.find(({ slug }) => slug === stack.slug)).toMatchObject({ ...checked, verifiedUntil: until });
  });

  it('is its owner’s alone, and operators’', async () => {
    const stack = await running();
    const id = await backup(stack, 'verified');
    const stranger = await running();
    const operator = await world.operator();
    for (const asked of [
      () => world.backups.list(stranger.owner, stack.slug),
      () => world.backups.get(stranger.owner, stack.slug, id),
      () => world.backups.take(stranger.owner, stack.slug),
      () => world.backups.restore(stranger.owner, stack.slug, { backup: id, confirm: stack.slug }),
      // Of another stack, also for whoever may see both.
      () => world.backups.restore(stranger.owner, stranger.slug, { backup: id, confirm: stranger.slug }),
      () => world.backups.restore(operator, stranger.slug, { backup: id, confirm: stranger.slug }),
      () => world.backups.get(operator, stranger.slug, id),
    ]) {
      await expect(asked()).rejects.toMatchObject({ code: 'NOT_FOUND' });
    }
    expect(await db().countBy(OperationEntity, { kind: 'restore', state: 'queued' })).toBe(0);
    expect((await world.backups.list(operator, stack.slug)).items).toMatchObject([{ id }]);
    await expect(world.backups.fleet(stack.owner)).rejects.toMatchObject({ code: 'FORBIDDEN' });
  });
});

describe('restoring', () => {
  it('backs up what it replaces, names the backup in the audit and leaves what is wanted as it was', async () => {
    const stack = await running();
    const at = new Date(Date.now() - 60_000);
    const id = await backup(stack, 'verified', { at });
    const { operationId } = await underWay(stack, 'dumped');
    const accepted = await world.backups.restore(stack.owner, stack.slug, { backup: id, confirm: stack.slug });
    expect(await operation(operationId)).toMatchObject({ state: 'cancelled' });
    expect(accepted).toMatchObject({
      stack: { desired: 'running', status: 'queued' },
      operation: { kind: 'restore', state: 'queued' },
    });
    expect(accepted.operation.steps.map(({ phase, state }) => [phase, state])).toEqual(
      ['safeguard', 'load', 'unpublish', 'drain', 'swap', 'converge', 'health', 'publish'].map((phase) => [
        phase,
        'pending',
      ]),
    );
    expect(await operation(accepted.operation.id)).toMatchObject({ exclusive: true, input: { backup: id } });
    expect(await db().findOneByOrFail(AuditEntryEntity, { action: 'stack.restore', targetId: stack.id })).toMatchObject(
      { after: { backup: id, takenAt: at.toISOString(), slug: stack.slug } },
    );
    await expect(
      world.backups.restore(stack.owner, stack.slug, { backup: id, confirm: stack.slug }),
    ).rejects.toMatchObject({ code: 'TENANT_BUSY', details: { kind: 'restore' } });
    expect((await world.backups.list(stack.owner, stack.slug)).open).toMatchObject({ kind: 'restore' });
  });

  it.each(['taking', 'dumped', 'stored', 'failed'] as const)('is refused of one that is %s', async (state) => {
    const stack = await running();
    const id = await backup(stack, state);
    await expect(
      world.backups.restore(stack.owner, stack.slug, { backup: id, confirm: stack.slug }),
    ).rejects.toMatchObject({ code: 'WRONG_STATE', details: { why: 'not_verified', state } });
  });

  it('is refused unless the stack is named', async () => {
    const stack = await running();
    const id = await backup(stack, 'verified');
    await expect(
      world.backups.restore(stack.owner, stack.slug, { backup: id, confirm: 'uaaaaaa' }),
    ).rejects.toMatchObject({ code: 'VALIDATION_FAILED', details: { fields: { confirm: expect.any(Array) as [] } } });
    expect(await db().countBy(OperationEntity, { tenantId: stack.id, kind: 'restore' })).toBe(0);
  });

  it.each(['stopped', 'suspended', 'robbed of its data'] as const)(
    'is allowed of a stack that is %s, without a backup before',
    async (how) => {
      const stack = await running();
      const id = await backup(stack, 'verified');
      if (how === 'stopped') {
        await run(await world.stacks.request(stack.owner, stack.slug, 'stop'));
      } else if (how === 'suspended') {
        await run(await world.holds.suspend(await world.operator(), stack.slug, 'A look is needed.'));
      } else {
        await db().update(
          TenantEntity,
          { id: stack.id },
          { observed: 'failed', reason: 'x', reasonCode: 'DATA_MISSING' },
        );
      }
      const { desired } = await world.stacks.get(stack.owner, stack.slug);
      const { operation: restore } = await world.backups.restore(stack.owner, stack.slug, {
        backup: id,
        confirm: stack.slug,
      });
      expect(restore.steps[0]).toMatchObject({ phase: 'safeguard', state: 'skipped' });
      expect(restore.steps[1]).toMatchObject({ phase: 'load', state: 'pending' });
      expect((await world.stacks.get(stack.owner, stack.slug)).desired).toBe(desired);
    },
  );

  it('can be cancelled until the stack itself is touched, and not after', async () => {
    const stack = await running();
    const id = await backup(stack, 'verified');
    const { operation: restore } = await world.backups.restore(stack.owner, stack.slug, {
      backup: id,
      confirm: stack.slug,
    });
    const enter = async (phase: string): Promise<void> => {
      const { dataSource } = world.database;
      await dataSource.query(`update operations set state = 'running', started_at = now() where id = $1`, [restore.id]);
      await dataSource.query(
        `update operation_steps set state = case when phase = $2 then 'running' else 'done' end where operation_id = $1`,
        [restore.id, phase],
      );
    };
    await enter('swap');
    await expect(world.operations.cancel(stack.owner, restore.id)).rejects.toMatchObject({
      code: 'WRONG_STATE',
      details: { why: 'not_cancellable' },
    });
    await enter('load');
    await world.operations.cancel(stack.owner, restore.id);
    expect((await operation(restore.id)).cancelRequestedAt).not.toBeNull();
  });
});

it('shows operators every stack, those without a backup first, then the oldest', async () => {
  const operator = await world.operator();
  const [none, old, young, broken] = [await running(), await running(), await running(), await running()];
  const hours = (count: number): Date => new Date(Date.now() - count * 3_600_000);
  await backup(old, 'verified', { at: hours(40) });
  await backup(old, 'verified', { at: hours(30) });
  await backup(young, 'verified', { at: hours(1) });
  await backup(broken, 'verified', { at: hours(50) });
  await backup(broken, 'failed', { error: { code: 'REPOSITORY_DAMAGED', message: 'A pack is gone.' } });
  const whole = await world.backups.fleet(operator);
  const mine = new Map([none, old, young, broken].map(({ slug }, index) => [slug, index]));
  const seen = whole.items.filter(({ slug }) => mine.has(slug));
  expect(seen.map(({ slug }) => slug)).toEqual([none.slug, broken.slug, old.slug, young.slug]);
  expect(seen[0]).toMatchObject({ verifiedUntil: null, ageSeconds: null, newest: null });
  expect(seen[1]).toMatchObject({ newest: { state: 'failed', error: { code: 'REPOSITORY_DAMAGED' } } });
  expect(seen[2]?.ageSeconds).toBeGreaterThanOrEqual(30 * 3_600);
  expect(seen[2]?.ageSeconds).toBeLessThan(30 * 3_600 + 60);
  expect(seen[2]?.maxAgeSeconds).toBe(28 * 3_600);
  // What counts as fresh is the plans' to say.
  await world.database.dataSource.query('update plans set backup_max_age_hours = 31');
  const { counts, items } = await world.backups.fleet(operator);
  expect(counts.fresh).toBe(whole.counts.fresh + 1);
  expect(items.find(({ slug }) => slug === old.slug)?.maxAgeSeconds).toBe(31 * 3_600);
  await world.database.dataSource.query('update plans set backup_max_age_hours = 28');
  const paged: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await world.backups.fleet(operator, { limit: 3, ...(cursor === undefined ? {} : { cursor }) });
    paged.push(...page.items.map(({ slug }) => slug));
    cursor = page.next ?? undefined;
  } while (cursor !== undefined);
  expect(paged).toEqual(whole.items.map(({ slug }) => slug));
  expect(whole.counts).toMatchObject({ stacks: whole.items.length });
  const { fresh, never: without, failed } = whole.counts;
  await backup(none, 'verified', { at: hours(2) });
  expect((await world.backups.fleet(operator)).counts).toMatchObject({
    fresh: fresh + 1,
    never: without - 1,
    failed,
  });
});
