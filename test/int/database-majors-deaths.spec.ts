import { access, mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { IsNull } from 'typeorm';
import { waitFor } from '#libs/async';
import { OperationEntity, OperationStepEntity, TenantEntity } from '#libs/db';
import { SCRATCH, stackNames } from '#libs/tenants';
import { RESTIC, type BackedUpStack } from '../support/backup-world.js';
import { Door, type Moment } from '../support/faults/door.js';
import { MortalAgents } from '../support/faults/mortal-agents.js';
import { Majors, WHOLE } from '../support/majors.js';

// An agent that dies, the lease it leaves and another that takes over: some seconds for each point.
jest.setTimeout(420_000);

const LONGEST_MS = 180_000;
/** Of the lock below; any number that nobody else uses. */
const HELD = 20_181_231;

let majors: Majors;
beforeAll(async () => {
  majors = await Majors.start();
});
afterAll(() => majors.close());
afterEach(() => majors.world.asUsual());

const db = () => majors.world.world.database.dataSource.manager;
const namesOf = ({ slug }: BackedUpStack) => stackNames(majors.world.world.database.platformId, slug);

/** A way to hold an agent in the middle of something; `reached` resolves there. */
interface Hold {
  reached: Promise<unknown>;
  /** What held it is gone, for who comes next. */
  over: () => Promise<void>;
}
type Holding = (stack: BackedUpStack, door: Door) => Promise<Hold>;

/** At a call of the engine for that container. */
const atCall =
  (call: string, service: string, nth: number, moment: Moment): Holding =>
  (stack, door) => {
    const name = namesOf(stack).container(service).replace(stack.slug, 'SLUG');
    const reached = door.arm({ step: `${call} ${name}`, nth, moment });
    return Promise.resolve({ reached, over: () => Promise.resolve(door.disarm()) });
  };

/** While half of the dump is in the new volume: dump and load are at work in their containers, and go on for a while. */
const halfPoured: Holding = async (stack) => {
  const { world } = majors;
  const half = join(await mkdtemp(join(world.home, 'half-')), 'poured');
  let first = true;
  world.databases.instead = (tool, real) => {
    if (!first || tool !== 'pg_dump' || !real.args.includes('--quote-all-identifiers')) {
      return null;
    }
    first = false;
    const script = `"$0" "$@" | { head -c 20000; : >'${half}'; sleep ${LONGEST_MS / 1_000}; }`;
    return { ...real, file: 'sh', args: ['-c', script, real.file, ...real.args] };
  };
  const reached = waitFor(
    async () => {
      await access(half);
      const filled = `select to_regclass('public.fills') is not null as there`;
      const [row] = await world.databases.sql(namesOf(stack).container(SCRATCH), filled);
      return row?.['there'] === true ? true : undefined;
    },
    { what: 'half of the data', deadlineMs: LONGEST_MS },
  );
  return { reached, over: () => Promise.resolve() };
};

/** In the transaction that changes a row so: nothing but the database has a part in it. */
const inTransaction =
  (table: 'tenants' | 'operations', changes: (stack: BackedUpStack) => string): Holding =>
  async (stack) => {
    const owner = new pg.Client({ connectionString: majors.world.world.database.ownerUrl });
    await owner.connect();
    await owner.query(`select pg_advisory_lock(${HELD})`);
    await owner.query(
      `create function hold_change() returns trigger language plpgsql as $$ begin
         if ${changes(stack)} then perform pg_advisory_xact_lock(${HELD}); end if;
         return new; end $$`,
    );
    await owner.query(
      `create trigger hold_change before update on ${table} for each row execute function hold_change()`,
    );
    const reached = waitFor(
      async () => {
        const { rowCount } = await owner.query(
          `select from pg_locks where locktype = 'advisory' and objid = ${HELD} and not granted
              and database = (select oid from pg_database where datname = current_database())`,
        );
        return rowCount === 1 ? true : undefined;
      },
      { what: `the change of ${table}`, deadlineMs: LONGEST_MS },
    );
    return {
      reached,
      over: async () => {
        await owner.query(`select pg_advisory_unlock(${HELD})`);
        await owner.query(`drop trigger hold_change on ${table}`);
        await owner.query('drop function hold_change()');
        await owner.end();
      },
    };
  };

/** That takes release and volumes over. */
const inAdoption = inTransaction('tenants', ({ id }) => `new.release_id <> old.release_id and new.id = '${id}'`);
/** From which on the stack stays there. */
const inSettling = inTransaction(
  'operations',
  ({ id }) => `new.tenant_id = '${id}' and new.input -> 'settled' is not null and old.input -> 'settled' is null`,
);
/** Once it stays there, before its runtime could know. */
const settled: Holding = async (stack, door) => {
  const settling = await inSettling(stack, door);
  let { over } = settling;
  const reached = settling.reached.then(async () => {
    const told = await atCall('fillVolumes', 'courier', 1, 'before')(stack, door);
    await over();
    ({ over } = told);
    await told.reached;
  });
  return { reached, over: () => over() };
};

const ended = async (id: string): Promise<OperationEntity> => {
  let row = await db().findOneByOrFail(OperationEntity, { id });
  const isOver = (): boolean => !['queued', 'running'].includes(row.state);
  await waitFor(
    async () => {
      row = await db().findOneByOrFail(OperationEntity, { id });
      return isOver() ? true : undefined;
    },
    { what: 'the end of the upgrade', deadlineMs: LONGEST_MS, maxIntervalMs: 50 },
  ).catch(async (error: unknown) => {
    const steps = await db().findBy(OperationStepEntity, { operationId: id });
    const open = steps
      .filter(({ state }) => state !== 'done')
      .map((step) => `${step.phase} ${step.action} ${step.state}`);
    throw new Error(`attempt ${row.attempts}, ${open.join(', ')}`, { cause: error });
  });
  return row;
};

const phasesAtWork = async (operationId: string): Promise<string[]> =>
  (await db().findBy(OperationStepEntity, { operationId, action: IsNull(), state: 'running' })).map(
    ({ phase }) => phase,
  );

const volumesOf = ({ slug }: BackedUpStack): string[] =>
  majors.world.world.engine
    .names()
    .volumes.filter((name) => name.includes(slug) && /-(data|cache)-\d+$/.test(name))
    .map((name) => name.slice(name.indexOf(slug) + slug.length + 1));

/** The upgrade that a runtime which reads its files now would wait for. */
function waitsFor(stack: BackedUpStack): unknown {
  const spec = majors.world.world.engine.fileIn(namesOf(stack).secrets('runtime'), 'spec.json') ?? '{}';
  return (JSON.parse(spec) as { tradesAfter?: unknown }).tradesAfter;
}

/** The first of that name proved the backup before. */
const besideStack = atCall('createContainer', SCRATCH, 2, 'after');
const newServerMade = atCall('createContainer', 'postgres', 1, 'after');

it.each([
  ['quiesce', 'before it stops the runtime, on the way up', atCall('stopContainer', 'runtime', 1, 'before')],
  ['quiesce', 'after it stopped the runtime, on the way up', atCall('stopContainer', 'runtime', 1, 'after')],
  ['carry', 'with an empty server beside the stack, on the way up', besideStack],
  ['carry', 'over half of the data, on the way up', halfPoured],
  ['carry', 'over half of the data, on the way down', halfPoured],
  ['adopt', 'in its transaction, on the way up', inAdoption],
  ['adopt', 'in its transaction, on the way down', inAdoption],
  ['converge', 'with the new server made, on the way up', newServerMade],
  ['converge', 'with the new server made, on the way down', newServerMade],
  ['publish', 'in the transaction from which on it stays there, on the way up', inSettling],
  ['publish', 'once it stays there and before its runtime knows, on the way up', settled],
  ['publish', 'once it stays there and before its runtime knows, on the way down', settled],
] as const)(
  'FM-10 an agent killed in %s %s: another goes on, and the data is there once',
  async (phase, where, hold) => {
    const { world } = majors;
    const both = [majors.fifteen, majors.seventeen] as const;
    const [from, to] = where.endsWith('down') ? both.toReversed() : both;
    const stack = await majors.stackOn(from!);
    const door = new Door();
    const agents = await MortalAgents.around({ world, door, stack, restic: RESTIC });
    let over = (): Promise<void> => Promise.resolve();
    try {
      await agents.live();
      const held = await hold(stack, door);
      ({ over } = held);
      const { operation } = await world.world.upgrades.upgrade(await world.world.operator(), stack.slug, {
        release: to!.id,
      });
      const early = await Promise.race([held.reached.then(() => null), ended(operation.id)]);
      expect(early && { state: early.state, error: early.error }).toBeNull();
      expect(await phasesAtWork(operation.id)).toEqual([phase]);
      await agents.kill();
      // Nobody ended it, and nothing was taken back: that is the next one's.
      expect(await phasesAtWork(operation.id)).toEqual([phase]);
      expect(await db().findOneByOrFail(TenantEntity, { id: stack.id })).toMatchObject({
        epoch: phase === 'converge' || phase === 'publish' ? 2 : 1,
        nextEpoch: phase === 'carry' || phase === 'adopt' ? 2 : null,
      });
      if (phase === 'publish') {
        // Nothing that starts its runtime now lets it trade, though it may be that nobody leads it back any more.
        expect(waitsFor(stack)).toBe(operation.id);
      }
      over = () => Promise.resolve();
      await held.over();
      await agents.live();
      expect(await ended(operation.id)).toMatchObject({ state: 'done', error: null });
      expect(await majors.dataOf(stack)).toMatchObject({ ...WHOLE, major: to === majors.fifteen ? 15 : 17 });
      expect(await db().findOneByOrFail(TenantEntity, { id: stack.id })).toMatchObject({
        releaseId: to!.id,
        epoch: 2,
        nextEpoch: null,
        carriedEpochs: [1],
      });
      expect(waitsFor(stack)).toBeNull();
      expect(volumesOf(stack)).toEqual(['cache-1', 'cache-2', 'data-1', 'data-2']);
      expect(world.leftOver(stack)).toEqual([]);
    } finally {
      await agents.close();
      await over();
    }
  },
);
