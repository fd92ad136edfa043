import { promisify } from 'node:util';
import { randomUUID } from 'node:crypto';
import { waitFor } from '#libs/async';
import { restoreLossSchema, type RestoreLoss } from '#libs/contracts';
import { EngineEntity, TenantEntity } from '#libs/db';
import { AgentPort } from '#libs/tenants';
import { person, type TestPerson } from '../support/api.js';
import { aviary, document, environment } from '../support/cli.js';
import { ExportWorld } from '../support/export-world.js';
import { insertBackup } from '../support/backup-rows.js';
import { startPrivateServer } from '../../apps/agent/src/private-server.js';

/** What a restore loses, counted by the agent's part in the real database of a stack, as api and CLI tell it. */
jest.setTimeout(120_000);

let world: ExportWorld;
let stack: Awaited<ReturnType<ExportWorld['stack']>>;
let operator: TestPerson;
let agent: AgentPort;

beforeAll(async () => {
  world = await ExportWorld.start();
  operator = await person(world.t, 'operator');
  agent = new AgentPort(world.socket, 'local');
  stack = await world.stack();
  await sql('insert into fills select n, n from generate_series(2001, 2012) n');
  await sql('create table orders (id int primary key)');
  await sql('insert into orders values (1)');
});
afterAll(() => world.close());

const sql = (statement: string) => world.world.databases.sql(stack.postgres, statement);
const db = () => world.world.world.database.dataSource;
const soon = (): AbortSignal => AbortSignal.timeout(10_000);
const ask = (who = world.owner, backup = stack.backup) =>
  world.t.http.get(`/api/v1/stacks/${stack.slug}/backups/${backup}/loss`).set(who.auth);
const loss = async (): Promise<RestoreLoss> => restoreLossSchema.parse((await ask().expect(200)).body);
const takenAt = async (): Promise<string> => {
  const { body } = await world.t.http.get(`/api/v1/stacks/${stack.slug}/backups`).set(world.owner.auth).expect(200);
  return (body as { items: { id: string; takenAt: string }[] }).items.find(({ id }) => id === stack.backup)!.takenAt;
};

/** What is told where the present cannot be counted: the newest backup has nothing more than itself. */
const then = async (): Promise<RestoreLoss> => ({ lost: [], countedAt: await takenAt(), now: false });
const present = () => agent.get(`/counts?stack=${stack.id}`, soon());

const LOST = [
  { what: 'fills', count: 12 },
  { what: 'orders', count: 1 },
];

it('counts what is in the database now, for a restore of the newest backup too', async () => {
  const before = Date.now();
  const counted = await loss();
  expect(counted).toMatchObject({ lost: LOST, now: true });
  const at = Date.parse(counted.countedAt ?? '');
  expect([at >= before - 1_000, at <= Date.now() + 1_000]).toEqual([true, true]);
  expect((await ask(operator).expect(200)).body).toMatchObject({ lost: LOST, now: true });
});

it('is told to nobody else, and of no backup that could not be restored', async () => {
  await ask(await person(world.t)).expect(404);
  await world.t.http.get(`/api/v1/stacks/${stack.slug}/backups/${stack.backup}/loss`).expect(401);
  await ask(world.owner, randomUUID()).expect(404);
  await ask(world.owner, 'mistyped').expect(400);
  const stored = await insertBackup(db(), stack, 'stored');
  expect((await ask(world.owner, stored).expect(409)).body).toMatchObject({ code: 'WRONG_STATE' });
});

it('the agent leaves out tables that are not there, and answers for stacks of its engine alone', async () => {
  expect(await world.world.counts().read(stack.id, soon())).toMatchObject({ counts: { fills: 1_012, orders: 1 } });
  for (const [query, code] of [
    [`stack=${randomUUID()}`, 'NOT_FOUND'],
    [`stack=${stack.slug}`, 'VALIDATION_FAILED'],
    [`stack=${stack.id}&stacks=${stack.id}`, 'VALIDATION_FAILED'],
    ['', 'VALIDATION_FAILED'],
  ]) {
    await expect(agent.get(`/counts?${query}`, soon())).rejects.toMatchObject({ code });
  }
  const capacity = { memoryMb: 1, cpus: 1 };
  const now = new Date();
  await db().manager.insert(EngineEntity, { id: 'north', kind: 'docker', capacity, createdAt: now, seenAt: now });
  await db().manager.update(TenantEntity, { id: stack.id }, { engineId: 'north' });
  await expect(present()).rejects.toMatchObject({ code: 'NOT_FOUND' });
  // That host's agent is asked, and there is none.
  expect(await loss()).toEqual(await then());
  await db().manager.update(TenantEntity, { id: stack.id }, { engineId: 'local' });
});

it('says what the newest backup holds more where the stack does not run, its agent is away, or of an earlier version', async () => {
  await world.world.engine.stopContainer(stack.postgres, 1, { deadlineMs: 5_000 });
  await expect(present()).rejects.toMatchObject({ code: 'ENGINE_CONFLICT' });
  expect(await loss()).toEqual(await then());
  await world.world.engine.startContainer(stack.postgres, { deadlineMs: 5_000 });
  expect(await loss()).toMatchObject({ lost: LOST, now: true });
  world.stopAgent();
  expect(await loss()).toEqual(await then());
  const earlier = await startPrivateServer(
    world.socket,
    () => Promise.resolve({ ok: true, checks: {} }),
    () => Promise.resolve(''),
  );
  expect(await loss()).toEqual(await then());
  await promisify(earlier.close.bind(earlier))();
  await world.agent();
});

it('waits neither for a lock nor for a server that says nothing, and leaves no session behind', async () => {
  const held = sql('begin; lock table fills in access exclusive mode; select pg_sleep(600)').catch(String);
  const pids = (where: string) =>
    sql(`select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and ${where}`);
  const [{ pid } = {}] = await waitFor(
    async () => {
      const [lock] = await sql(`select 1 from pg_locks where relation = 'fills'::regclass and granted`);
      return lock && (await pids(`wait_event = 'PgSleep'`));
    },
    { what: 'the lock', deadlineMs: 20_000 },
  );
  try {
    await expect(present()).rejects.toMatchObject({
      code: 'BACKUP_FAILED',
      message: expect.stringContaining('statement timeout') as string,
    });
    expect(await loss()).toEqual(await then());
  } finally {
    await sql(`select pg_cancel_backend(${String(pid)})`);
  }
  expect(await held).toContain('canceling statement due to user request');
  await waitFor(async () => ((await pids('true')).length === 0 ? true : undefined), {
    what: 'the end of all sessions',
    deadlineMs: 20_000,
  });

  world.world.databases.instead = () => ({ file: 'sleep', args: ['600'] });
  try {
    await expect(present()).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    expect(await loss()).toEqual(await then());
  } finally {
    world.world.asUsual();
  }
  expect(await loss()).toMatchObject({ lost: LOST, now: true });
});

it('the command line says it before it asks, and has it in the document of what it ordered', async () => {
  const env = { ...environment(world.world.world.database), AVIARY_AGENT_SOCKET: world.socket };
  const restore = (...args: string[]) => aviary(env, ['backup', 'restore', stack.slug, stack.backup, ...args]);
  const unconfirmed = await restore('--no-input');
  expect([unconfirmed.code, unconfirmed.stdout]).toEqual([2, '']);
  expect(unconfirmed.stderr).toContain('Among it, counted just now: 12 fills, 1 order.');
  world.stopAgent();
  expect((await restore('--no-input')).stderr).toContain(
    `Among it, as the newest backup of ${await takenAt()} counts: no fills, orders or bots; what came after that backup could not be counted.`,
  );
  await world.agent();
  expect(document(await restore('--confirm', stack.slug, '--detach', '--json'))).toMatchObject({
    ok: true,
    data: { kind: 'restore', state: 'queued', loss: { lost: LOST, now: true } },
  });
});
