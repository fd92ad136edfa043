import type { Database } from '#libs/db';
import { EngineLease } from '#libs/orchestrator';
import { ENGINE_ID, stackWorld, type StackWorld } from '../support/stack-world.js';

const SECONDS = 4;

let world: StackWorld;
let now: number;
const clock = { monotonic: () => now, wall: () => now };
beforeAll(async () => {
  world = await stackWorld();
});
afterAll(() => world.close());
beforeEach(() => {
  now = 1_000_000;
});

/** The database as a process sees it that stands still just after it was answered, while `meanwhile` happens. */
function standingStill(meanwhile: () => Promise<void>): Database {
  const { dataSource } = world.database;
  let stood = false;
  return Object.create(dataSource, {
    query: {
      value: async (...asked: Parameters<Database['query']>) => {
        const rows: unknown = await dataSource.query(...asked);
        if (String(asked[0]).startsWith('update engine_leases') && !stood) {
          stood = true;
          await meanwhile();
        }
        return rows;
      },
    },
  }) as Database;
}

const expire = (): Promise<unknown> =>
  world.database.dataSource.query(`update engine_leases set expires_at = now() - interval '1 second'`);

it('a proof whose answer was waiting while the process stood still is asked for again', async () => {
  await expire();
  const database = standingStill(async () => {
    now += 60_000;
    await expire();
    expect(
      await EngineLease.take(world.database.dataSource, ENGINE_ID, { owner: 'new', seconds: SECONDS }),
    ).not.toBeNull();
  });
  const old = await EngineLease.take(database, ENGINE_ID, { owner: 'old', seconds: SECONDS }, clock);
  await expect(old!.prove()).resolves.toBeUndefined();
  now += SECONDS * 900;
  await expect(old!.prove()).rejects.toMatchObject({ code: 'FENCED' });
});

it('a process that stood still and was not missed goes on', async () => {
  await expire();
  const database = standingStill(() => {
    now += 60_000;
    return Promise.resolve();
  });
  const lease = await EngineLease.take(database, ENGINE_ID, { owner: 'old', seconds: SECONDS }, clock);
  now += SECONDS * 900;
  await expect(lease!.prove()).resolves.toBeUndefined();
});

it('a database that answers each time too late to be believed counts as away', async () => {
  await expire();
  const { dataSource } = world.database;
  const late = Object.create(dataSource, {
    query: {
      value: async (...asked: Parameters<Database['query']>) => {
        const rows: unknown = await dataSource.query(...asked);
        now += SECONDS * 900;
        return rows;
      },
    },
  }) as Database;
  const lease = await EngineLease.take(late, ENGINE_ID, { owner: 'old', seconds: SECONDS }, clock);
  await expect(lease!.prove()).rejects.toMatchObject({ code: 'ETIMEDOUT' });
});
