import { createDataSource, EngineEntity } from '#libs/db';
import { listAlarms } from '#libs/jobs';
import { mailAlarms, OutboxService } from '#libs/support';
import { createLogger } from '#libs/telemetry';
import { EngineAnswer } from '../../apps/agent/src/engine-answer.js';
import { AgentWatch } from '../../apps/worker/src/agent-watch.js';
import { ENGINE_ID, stackWorld, type StackWorld } from '../support/stack-world.js';

/** An engine that is away and an agent that is silent, as alarms and as mails; the seconds are the test's own. */
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
