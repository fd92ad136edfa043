import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { waitFor } from '#libs/async';
import { TestRedis, TestStack } from '../support/runtime.js';

jest.setTimeout(60_000);

const redis = new TestRedis();
let stack: TestStack;
beforeAll(async () => {
  await redis.start();
  stack = await TestStack.create({ redis });
  await stack.provision({ tickMs: 50, partialChance: 0, seed: 1 });
});
afterAll(async () => {
  await stack?.close();
  await redis.close();
});

/** What is in each table, whatever the order of its rows. */
async function figures(): Promise<Record<string, string>> {
  const tables = await stack.sql<{ name: string }>(
    `select relname as name from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace order by 1`,
  );
  const found: Record<string, string> = {};
  for (const { name } of tables) {
    const [row] = await stack.sql<{ figure: string }>(
      `select count(*) || ' ' || coalesce(sum(hashtextextended(r::text, 0)), 0) as figure from ${name} r`,
    );
    found[name] = row?.figure ?? '';
  }
  return found;
}

const written = async (since: Record<string, string>): Promise<string[]> => {
  const now = await figures();
  return Object.keys(now).filter((table) => now[table] !== since[table]);
};

it('what a runtime writes while nobody uses it lies in the tables that its template calls passing, and nowhere else', async () => {
  const template = parse(
    await readFile(join(import.meta.dirname, '../../tenant-template/standard/compose.yml'), 'utf8'),
  ) as { 'x-aviary': { backup: { passing: string[] } } };
  const { passing } = template['x-aviary'].backup;
  const first = await stack.startReady();
  await waitFor(async () => ((await stack.sql('select from kept_day')).length > 0 ? true : undefined), {
    what: 'the first minute',
    deadlineMs: 20_000,
  });
  const before = await figures();
  expect(Object.keys(before)).toEqual(expect.arrayContaining(passing));
  // A stop and a start: each writes what it does not while it runs, and the day's and minute's writing is done anew.
  await first.stop();
  await stack.sql('delete from kept_day');
  await stack.startReady();
  // A point of a curve is of a whole minute, and may be what it was.
  const busy = ['candles', 'outbox', 'paper_prices', 'stack'];
  await waitFor(
    async () => {
      const changed = await written(before);
      return busy.every((table) => changed.includes(table)) ? true : undefined;
    },
    { what: 'writing of its own', deadlineMs: 40_000 },
  );
  await waitFor(async () => ((await stack.sql('select from kept_day')).length > 0 ? true : undefined), {
    what: 'the day',
    deadlineMs: 20_000,
  });
  expect((await written(before)).filter((table) => !passing.includes(table))).toEqual([]);
});
