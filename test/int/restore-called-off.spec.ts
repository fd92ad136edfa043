import { waitFor } from '#libs/async';
import { OperationEntity, TenantEntity } from '#libs/db';
import type { StackBackups } from '#libs/orchestrator';
import { insertBackup } from '../support/backup-rows.js';
import { readyBackups } from '../support/ready-backups.js';
import { stackWorld, type StackWorld } from '../support/stack-world.js';

// A restore that somebody calls off just as it comes to the stack itself.

// Several test files and an engine may share two cores.
jest.setTimeout(60_000);

let world: StackWorld;
const never = new AbortController().signal;

beforeAll(async () => {
  world = await stackWorld();
});
afterAll(() => world.close());

interface Stack {
  owner: Awaited<ReturnType<StackWorld['account']>>;
  slug: string;
  id: string;
}

const db = () => world.database.dataSource.manager;
const operation = (id: string): Promise<OperationEntity> => db().findOneByOrFail(OperationEntity, { id });
const backup = (stack: Stack): Promise<string> => insertBackup(world.database.dataSource, stack, 'verified');

async function running(): Promise<Stack> {
  const owner = await world.account();
  const { stack, operation: made } = await world.stacks.create(owner, { template: 'standard' });
  await world.runner().run(made.id, stack.id, never);
  expect(await operation(made.id)).toMatchObject({ state: 'done' });
  return { owner, slug: stack.slug, id: stack.id };
}

type Meanwhile = (operationId: string) => Promise<unknown>;
const nothing: Meanwhile = () => Promise.resolve();

/** One whose phases end when these do, the next turn of the lease far away; how often what it filled was given up. */
async function loading({ owner, slug, id }: Stack, load: Meanwhile, swap: Meanwhile = nothing) {
  const kept = await backup({ owner, slug, id });
  const { operation: restore } = await world.backups.restore(owner, slug, { backup: kept, confirm: slug });
  let givenUp = 0;
  const backups: StackBackups = {
    ...readyBackups,
    load: async () => {
      await load(restore.id);
      return 'loaded';
    },
    swap: async () => {
      await swap(restore.id);
      return 'swapped';
    },
    giveUp: () => Promise.resolve(void (givenUp += 1)),
  };
  const route = await world.folder.read(`${slug}.yml`);
  world.engine.log.reset();
  await world.runner({ backups, leaseSeconds: 300 }).run(restore.id, id, never);
  const untouched =
    world.engine.log.calls.every(({ method }) => !['stopContainer', 'removeContainer'].includes(method)) &&
    (await world.folder.read(`${slug}.yml`)) === route;
  return { ended: await operation(restore.id), untouched, givenUp };
}
const OURS = { code: 'OPERATION_CANCELLED', details: { why: 'request' } };

it('cancelled as the loading ends leaves the stack as it was, though no turn of the lease saw it', async () => {
  const stack = await running();
  const ended = await loading(stack, (id) => world.operations.cancel(stack.owner, id));
  expect(ended).toMatchObject({ ended: { state: 'cancelled', error: OURS }, untouched: true, givenUp: 1 });
  expect(await db().findOneByOrFail(TenantEntity, { id: stack.id })).toMatchObject({
    observed: 'running',
    reason: null,
  });
});

it('a cancel that is being written as the loading ends comes before the swap, which waits for it', async () => {
  const stack = await running();
  const { dataSource } = world.database;
  const cancelling = dataSource.createQueryRunner();
  const ending = loading(stack, async () => {
    await cancelling.startTransaction();
    await cancelling.query('select from tenants where id = $1 for update', [stack.id]);
  });
  await waitFor(
    async () => {
      const [waiting] = await dataSource.query<{ n: string }[]>(
        `select count(*) as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
      );
      return Number(waiting?.n) > 0 || undefined;
    },
    { what: 'the restore waiting for the row', deadlineMs: 10_000 },
  );
  await cancelling.query(
    `update operations set cancel_requested_at = now() where tenant_id = $1 and kind = 'restore'`,
    [stack.id],
  );
  await cancelling.commitTransaction();
  await cancelling.release();
  expect(await ending).toMatchObject({ ended: { state: 'cancelled', error: OURS }, untouched: true, givenUp: 1 });
});

it('cancelled once the loading is over is refused, in words of why, and the restore goes on', async () => {
  const stack = await running();
  let refused: unknown;
  const { ended, givenUp } = await loading(stack, nothing, async (id) => {
    refused = await world.operations.cancel(stack.owner, id).catch((error: unknown) => error);
  });
  expect(refused).toMatchObject({
    code: 'WRONG_STATE',
    message: expect.stringContaining('It goes on to its end') as string,
    details: { why: 'not_cancellable', kind: 'restore', state: 'running' },
  });
  expect(ended).toMatchObject({ state: 'done', error: null, cancelRequestedAt: null });
  expect(givenUp).toBe(0);
});

it('one that was called off and whose agent ended behind the loading is ended by the next, the stack as it was', async () => {
  const stack = await running();
  const kept = await backup(stack);
  const confirm = stack.slug;
  const { operation: restore } = await world.backups.restore(stack.owner, stack.slug, { backup: kept, confirm });
  await world.database.dataSource.query(
    `update operation_steps set state = 'done', started_at = now(), finished_at = now()
      where operation_id = $1 and phase in ('safeguard', 'load')`,
    [restore.id],
  );
  await world.database.dataSource.query(
    `update operations set state = 'running', started_at = now(), cancel_requested_at = now() where id = $1`,
    [restore.id],
  );
  await world.runner({ backups: readyBackups }).run(restore.id, stack.id, never);
  expect(await operation(restore.id)).toMatchObject({ state: 'cancelled', error: OURS });
  expect(await db().findOneByOrFail(TenantEntity, { id: stack.id })).toMatchObject({
    observed: 'running',
    reason: null,
  });
});
