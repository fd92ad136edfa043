import pg from 'pg';
import { waitFor } from '#libs/async';
import { OperationEntity, TenantEntity } from '#libs/db';
import type { Engine } from '#libs/engine';
import { EXPIRE_AFTER_MS, expireOperations, startRepair } from '#libs/tenants';
import { BackupWorld, type BackedUpStack } from '../support/backup-world.js';
import { healthyProbes } from '../support/stack-world.js';

// A restore that nobody ends half-way: the stack goes on with the data it had by then, whoever is still at work.

jest.setTimeout(120_000);

/** Of the lock below; any number that nobody else uses. */
const HELD = 20_181_232;

let world: BackupWorld;
beforeAll(async () => {
  world = await BackupWorld.start();
});
afterAll(() => world.close());
afterEach(() => world.asUsual());

const db = () => world.world.database.dataSource.manager;
const rowOf = (id: string): Promise<TenantEntity> => db().findOneByOrFail(TenantEntity, { id });
const operationOf = (id: string): Promise<OperationEntity> => db().findOneByOrFail(OperationEntity, { id });

/** A stack with 50 rows more than its backup has, whose restore is asked for. */
async function asked() {
  const stack = await world.stack();
  const { backup } = await world.backUp(stack);
  await world.databases.sql(stack.postgres, 'insert into fills select n, 1 from generate_series(2001, 2050) n');
  return { stack, id: await world.ask(stack, 'restore', { backup: backup!.id }) };
}

/** What the worker does each minute, once that one is so late. */
async function expire(id: string): Promise<void> {
  const { deadlineAt } = await operationOf(id);
  const { dataSource } = world.world.database;
  const late = new Date(deadlineAt.getTime() + EXPIRE_AFTER_MS + 1_000);
  expect(await expireOperations({ dataSource, queue: world.world.queue }, late)).toMatchObject([{ id }]);
}

/** As a look at a stack that is not as wanted does it. */
async function repaired(stack: BackedUpStack): Promise<void> {
  const { dataSource } = world.world.database;
  const repair = await startRepair({ dataSource, queue: world.world.queue }, stack.id, new Date());
  expect(await world.run(repair!, stack.id)).toMatchObject({ kind: 'repair', state: 'done', error: null });
  expect(await rowOf(stack.id)).toMatchObject({ observed: 'running', reason: null });
  expect(world.leftOver(stack)).toEqual([]);
}

/** The engine as it is, but that a service's stop waits for `until`. */
function stoppingAfter(service: string, until: (reached: () => void) => Promise<void>, reached: () => void): Engine {
  return new Proxy(world.engine, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== 'function') {
        return member;
      }
      return async (...args: unknown[]): Promise<unknown> => {
        if (name === 'stopContainer' && (args[0] as string).endsWith(`-${service}`)) {
          await until(reached);
        }
        return (member as (...given: unknown[]) => unknown).apply(target, args);
      };
    },
  });
}

it('FM-22 ended behind its swap, it goes on with the data that was put back, and what was there is kept', async () => {
  const { stack, id } = await asked();
  const stop = new AbortController();
  const ready = (): Promise<never> => {
    stop.abort(new Error('the agent is stopping'));
    return Promise.reject(new Error('the agent is stopping'));
  };
  const runner = world.runner({ probes: { ...healthyProbes, ready } });
  await expect(runner.run(id, stack.id, stop.signal)).rejects.toThrow('the agent is stopping');
  await expire(id);
  expect(await operationOf(id)).toMatchObject({ state: 'failed', error: { details: { why: 'nobody_ended' } } });
  await repaired(stack);
  expect(await world.countOf(stack)).toBe(1_000);
  expect(await rowOf(stack.id)).toMatchObject({ epoch: 2, keptEpochs: [1] });
});

it('FM-22 ended before its swap by a sweep that its agent does not see yet, nothing is swapped behind its end', async () => {
  const { stack, id } = await asked();
  const owner = new pg.Client({ connectionString: world.world.database.ownerUrl });
  await owner.connect();
  const { promise: held, resolve: inDrain } = Promise.withResolvers<void>();
  const { promise: goesOn, resolve: letGo } = Promise.withResolvers<void>();
  const engine = stoppingAfter('runtime', (reached) => (reached(), goesOn), inDrain);
  const working = world.runner({ engine, leaseSeconds: 300 }).run(id, stack.id, new AbortController().signal);
  const waiting = (what: string, condition: string) =>
    waitFor(
      async () => {
        const { rowCount } = await owner.query(
          `select from pg_locks where database = (select oid from pg_database where datname = current_database()) and ${condition}`,
        );
        return rowCount === 1 ? true : undefined;
      },
      { what, deadlineMs: 30_000 },
    );
  let swept: Promise<void> | undefined;
  try {
    await held;
    // Held in its transaction, where it has the stack's row and nobody sees yet what it wrote.
    await owner.query(
      `create function hold_end() returns trigger language plpgsql as $$ begin
         if new.id = '${id}' and new.state = 'failed' then perform pg_advisory_xact_lock(${HELD}); end if;
         return new; end $$`,
    );
    await owner.query('create trigger hold_end before update on operations for each row execute function hold_end()');
    await owner.query(`select pg_advisory_lock(${HELD})`);
    swept = expire(id);
    await waiting('the sweep', `locktype = 'advisory' and objid = ${HELD} and not granted`);
    letGo();
    // Who is next for a row holds it so until its turn has come.
    await waiting('the swap', `locktype = 'tuple' and relation = 'tenants'::regclass`);
    await owner.query('select pg_advisory_unlock_all()');
    await swept;
    await working;
  } finally {
    letGo();
    await owner.query('select pg_advisory_unlock_all()');
    await Promise.allSettled([swept, working]);
    await owner.query('drop trigger if exists hold_end on operations');
    await owner.query('drop function if exists hold_end()');
    await owner.end();
  }
  expect(await operationOf(id)).toMatchObject({ state: 'failed', error: { details: { why: 'nobody_ended' } } });
  expect(await rowOf(stack.id)).toMatchObject({ epoch: 1, nextEpoch: 2, keptEpochs: [] });
  await repaired(stack);
  expect(await world.countOf(stack)).toBe(1_050);
  // What was filled for it goes with the next good backup.
  expect((await world.backUp(stack)).backup).toMatchObject({ state: 'verified' });
  expect(await rowOf(stack.id)).toMatchObject({ epoch: 1, nextEpoch: null, keptEpochs: [] });
});
