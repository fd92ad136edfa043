import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createDataSource, EngineEntity, FenceEntity, isDatabaseAway, newId, RecoveryEntity } from '#libs/db';
import { DutyWatch, listAlarms } from '#libs/jobs';
import { mailAlarms, OutboxService } from '#libs/support';
import { createLogger } from '#libs/telemetry';
import { EngineAnswer } from '../../apps/agent/src/engine-answer.js';
import { beat } from '../../apps/agent/src/heartbeat.js';
import { AgentWatch } from '../../apps/worker/src/agent-watch.js';
import { CutSocket } from '../support/cut-socket.js';
import { engineFigures } from '../support/engine-rows.js';
import { ENGINE_ID, stackWorld, type StackWorld } from '../support/stack-world.js';

/** What is away: an engine and an agent, as alarms and as mails, and the database that holds both; the seconds are the test's own. */
jest.setTimeout(60_000);

const START = new Date('2026-06-01T10:00:00Z').getTime();
let seconds = 0;
const clock = (): number => seconds * 1_000;
const now = (): Date => new Date(START + clock());

let world: StackWorld;
beforeEach(async () => {
  seconds = 0;
  world = await stackWorld({ now });
  await world.operator();
}, 60_000);
afterEach(() => world.close());

const rows = () => world.database.dataSource.manager;

async function open(): Promise<[string, string, string][]> {
  const alarms = await listAlarms(world.database.dataSource, now());
  return alarms
    .filter(({ endedAt }) => endedAt === null)
    .map(({ key, code, severity }): [string, string, string] => [key, code, severity])
    .toSorted(([a], [b]) => a.localeCompare(b));
}

async function mails(): Promise<string[]> {
  const outbox = new OutboxService({ database: world.database.dataSource, queue: world.queue, now });
  await mailAlarms(world.database.dataSource, outbox, { portalUrl: 'https://aviary.localhost', now: now() });
  const sent: { subject: string }[] = await rows().query('select subject from outbox_mails order by created_at');
  return sent.map(({ subject }) => subject);
}

describe('an engine', () => {
  it('that is away for a minute is a critical alarm and one mail, until it answers; one that is restarted is none', async () => {
    const answer = new EngineAnswer({ engine: world.engine, clock });
    const alarms = world.engineAlarms({ fleetUnwell: null }, answer);
    /** As an agent asks and tells, for so long. Gives how many questions failed. */
    const passes = async (howLong: number): Promise<number> => {
      let failed = 0;
      for (const until = seconds + howLong; seconds < until; seconds += 10) {
        await answer.turn().catch((error: unknown) => {
          expect(error).toMatchObject({ code: 'ENGINE_UNREACHABLE' });
          failed += 1;
        });
        await alarms.turn();
        await mails();
      }
      return failed;
    };
    expect(await passes(30)).toBe(0);
    world.engine.log.down = true;
    expect(await passes(50)).toBe(5);
    world.engine.log.down = false;
    await passes(10);
    world.engine.log.down = true;
    await passes(60);
    expect([await open(), await mails()]).toEqual([[], []]);
    await passes(300);
    const key = `engine/${ENGINE_ID}/away`;
    expect(await open()).toEqual([[key, 'ENGINE_AWAY', 'critical']]);
    expect(await mails()).toEqual([`Alarm (critical): ${key}`]);
    world.engine.log.down = false;
    await passes(10);
    expect(await open()).toEqual([]);
    await passes(660);
    expect(await mails()).toEqual([`Alarm (critical): ${key}`, `Over: ${key}`]);
  });
});

describe('an agent', () => {
  const watch = (database = world.database.dataSource): AgentWatch =>
    new AgentWatch({ database, logger: createLogger('test', 'silent'), now, clock });
  const sign = (id: string): Promise<unknown> => rows().update(EngineEntity, { id }, { seenAt: now() });
  /** As a worker looks each minute, for so long, while the agents of `alive` give their signs. */
  async function passes(watching: AgentWatch, howLong: number, alive: readonly string[]): Promise<void> {
    for (const until = seconds + howLong; seconds < until;) {
      seconds += 60;
      await Promise.all(alive.map(sign));
      await watching.turn();
      await mails();
    }
  }
  const silent = (id: string): [string, string, string] => [`agent/${id}/silent`, 'AGENT_SILENT', 'critical'];

  beforeEach(async () => {
    const { capacity } = await rows().findOneByOrFail(EngineEntity, { id: ENGINE_ID });
    await rows().insert(EngineEntity, { id: 'north', kind: 'docker', capacity, createdAt: now(), seenAt: now() });
  });

  it('that is silent for two minutes is a critical alarm and one mail, until it is heard; each engine’s is its own', async () => {
    const watching = watch();
    await passes(watching, 300, [ENGINE_ID, 'north']);
    // A restart or a hand-over, over which a look finds nothing new.
    await passes(watching, 60, ['north']);
    await passes(watching, 60, [ENGINE_ID, 'north']);
    await passes(watching, 60, ['north']);
    expect([await open(), await mails()]).toEqual([[], []]);
    await passes(watching, 300, ['north']);
    expect(await open()).toEqual([silent(ENGINE_ID)]);
    await passes(watching, 300, ['north']);
    expect(await mails()).toEqual([`Alarm (critical): agent/${ENGINE_ID}/silent`]);
    await passes(watching, 60, [ENGINE_ID, 'north']);
    expect(await open()).toEqual([]);
    await passes(watching, 660, [ENGINE_ID, 'north']);
    expect(await mails()).toEqual([`Alarm (critical): agent/${ENGINE_ID}/silent`, `Over: agent/${ENGINE_ID}/silent`]);
  });

  it('stays an alarm while the worker that raised it is replaced, and also the next one ends it', async () => {
    await passes(watch(), 240, ['north']);
    expect(await open()).toEqual([silent(ENGINE_ID)]);
    const next = watch();
    await passes(next, 60, ['north']);
    expect(await open()).toEqual([silent(ENGINE_ID)]);
    await passes(next, 60, [ENGINE_ID, 'north']);
    expect(await open()).toEqual([]);
  });

  it('that lives and has not looked at its stacks for ten minutes, for five of them by our looks, is a critical alarm and one mail', async () => {
    const watching = watch();
    const told = (figures: EngineEntity['figures']) => rows().update(EngineEntity, { id: ENGINE_ID }, { figures });
    const figures = (lag: number) => engineFigures({ at: now().toISOString(), reconcileLagSeconds: lag });
    /** As the agent tells each minute. */
    async function looks(minutes: number, lag: number): Promise<void> {
      for (let minute = 0; minute < minutes; minute += 1) {
        await told(figures(lag));
        await passes(watching, 60, [ENGINE_ID, 'north']);
      }
    }
    const late: [string, string, string] = [`agent/${ENGINE_ID}/late`, 'RECONCILE_LATE', 'critical'];
    await looks(2, 400);
    // As after a host was off: behind, and catching up.
    await looks(5, 4_000);
    await looks(1, 20);
    expect([await open(), await mails()]).toEqual([[], []]);
    await looks(6, 700);
    expect([await open(), await mails()]).toEqual([[late], [`Alarm (critical): agent/${ENGINE_ID}/late`]]);
    const raised = await listAlarms(world.database.dataSource, now());
    expect(raised[0]?.message).toContain(`The agent of the host ${ENGINE_ID} lives`);
    // Whoever looks next finds it open, and leaves it so until it is over.
    await passes(watch(), 60, [ENGINE_ID, 'north']);
    expect(await open()).toEqual([late]);
    await looks(1, 20);
    expect(await open()).toEqual([]);
    // What tells the figures hangs too, while signs of life go on.
    await passes(watching, 1_200, [ENGINE_ID, 'north']);
    expect(await open()).toEqual([late]);
  });

  it('is silent for a reason where a recovery elsewhere took its host’s place, which has an alarm of its own', async () => {
    const watching = watch();
    await passes(watching, 240, ['north']);
    expect(await open()).toEqual([silent(ENGINE_ID)]);
    const { manager } = world.database.dataSource;
    await manager.insert(FenceEntity, { ordinal: 1, recoveryId: newId(), at: now(), seenAt: now() });
    await passes(watching, 300, []);
    expect(await open()).toEqual([]);
    // As of a backup that was recovered here after all.
    const at = { backupId: newId(), takenAt: now(), recoveredAt: now() };
    await manager.insert(RecoveryEntity, { id: newId(), ...at, orderedAt: now(), ordinal: 2 });
    await passes(watching, 240, ['north']);
    expect(await open()).toEqual([silent(ENGINE_ID)]);
  });

  it('is not silent because the whole host was off, or because the database was away and nobody could be heard', async () => {
    seconds = 7_200;
    const database = await createDataSource(world.database.url, { applicationName: 'test' }).initialize();
    const watching = watch(database);
    await passes(watching, 60, []);
    await passes(watching, 60, [ENGINE_ID, 'north']);
    await passes(watching, 60, []);
    await database.destroy();
    seconds += 3_600;
    await expect(watching.turn()).rejects.toThrow('not Connected');
    await database.initialize();
    await passes(watching, 60, []);
    expect([await open(), await mails()]).toEqual([[], []]);
    await passes(watching, 60, [ENGINE_ID, 'north']);
    expect([await open(), await mails()]).toEqual([[], []]);
    await database.destroy();
  });
});

it('FM-11 a watchdog outside hears that all is well only while the portal’s database tells what work was done', async () => {
  let heard = 0;
  const server = createServer((_request, response) => {
    heard += 1;
    response.end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const watchdog = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const there = new URL(world.database.url);
  const target = { host: there.hostname, port: Number(there.port) };
  let way = await CutSocket.open({ host: '127.0.0.1', port: 0 }, target);
  const { port } = way;
  const url = Object.assign(new URL(there), { host: `127.0.0.1:${port}` }).href;
  const database = await createDataSource(url, { applicationName: 'test' }).initialize();
  const duties = new DutyWatch({ database, logger: createLogger('test', 'silent'), now, clock });
  /** Of each minute: whether the database told anything, and whether the watchdog heard that all is well. */
  const minutes = async (count: number): Promise<[boolean, boolean][]> => {
    const told: [boolean, boolean][] = [];
    for (let minute = 0; minute < count; minute += 1) {
      seconds += 60;
      const answered = await duties.turn().then(
        () => true,
        (error: unknown) => {
          expect(isDatabaseAway(error)).toBe(true);
          return false;
        },
      );
      const before = heard;
      await beat(watchdog, duties);
      told.push([answered, heard > before]);
    }
    return told;
  };
  const lock = world.database.dataSource.createQueryRunner();
  try {
    await beat(watchdog, duties);
    expect(heard).toBe(0);
    expect(await minutes(1)).toEqual([[true, true]]);

    await way.close();
    expect(await minutes(5)).toEqual([
      [false, true],
      [false, true],
      [false, false],
      [false, false],
      [false, false],
    ]);
    way = await CutSocket.open({ host: '127.0.0.1', port }, target);
    expect(await minutes(1)).toEqual([[true, true]]);

    // Not away, and yet nothing is answered.
    await lock.startTransaction();
    await lock.query('lock table schedules in access exclusive mode');
    const hangs = duties.turn();
    seconds += 180;
    const before = heard;
    await beat(watchdog, duties);
    expect(heard).toBe(before);
    await lock.rollbackTransaction();
    await hangs;
    expect(await minutes(1)).toEqual([[true, true]]);
  } finally {
    if (lock.isTransactionActive) {
      await lock.rollbackTransaction();
    }
    await lock.release();
    await database.destroy();
    await way.close();
    server.closeAllConnections();
    server.close();
  }
});
