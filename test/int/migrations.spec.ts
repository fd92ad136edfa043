import pg from 'pg';
import { createDataSource, migrate, newId, type Database } from '#libs/db';
import { MIGRATIONS } from '../../libs/db/src/migrations/index.js';
import { fillDatabase } from '../support/filled-database.js';
import { appPassword, emptyDatabase } from '../support/postgres.js';

jest.setTimeout(120_000);

/** In the order they run in. */
const ordered = MIGRATIONS.toSorted((a, b) => Number(a.name.slice(-13)) - Number(b.name.slice(-13)));

type Row = Record<string, unknown>;
type Rows = Map<string, Row[]>;

let empty: Awaited<ReturnType<typeof emptyDatabase>>;
beforeEach(async () => {
  empty = await emptyDatabase();
});
afterEach(() => empty.close());

/** As the version was whose newest migration is the n-th. */
async function asOf<T>(count: number, work: (database: Database) => Promise<T>): Promise<T> {
  const database = createDataSource(empty.ownerUrl, { poolSize: 2, patient: true });
  await database.setOptions({ migrations: ordered.slice(0, count) }).initialize();
  try {
    return await work(database);
  } finally {
    await database.destroy();
  }
}

async function rowsOf(database: Database): Promise<Rows> {
  const tables: { name: string }[] = await database.query(
    `select tablename as name from pg_tables where schemaname = 'public' and tablename <> 'migrations' order by 1`,
  );
  const found: Rows = new Map();
  for (const { name } of tables) {
    const rows: { row: Row }[] = await database.query(`select to_jsonb(t) as row from "${name}" t`);
    found.set(
      name,
      rows.map(({ row }) => row),
    );
  }
  return found;
}

/** Of `before` what is not in `after`, by table, in the columns both have; tables that are gone count for nothing. */
function missing(before: Rows, after: Rows): Record<string, number> {
  const lost: Record<string, number> = {};
  for (const [table, rows] of before) {
    const there = after.get(table);
    if (!there) {
      continue;
    }
    const [older, newer] = [rows[0] ?? {}, there[0] ?? {}];
    const words = (row: Row): string =>
      JSON.stringify(
        Object.entries(row)
          .filter(([column]) => column in older && column in newer)
          .toSorted(([a], [b]) => a.localeCompare(b)),
      );
    const known = new Set(there.map(words));
    const count = rows.filter((row) => !known.has(words(row))).length;
    if (count > 0) {
      lost[table] = count;
    }
  }
  return lost;
}

/** Rows that only the newer version has a word for. */
const TOLD_NO_MORE: Readonly<Record<string, Record<string, number>>> = {
  HeldAndAsleep1763700000006: { operations: 6 },
  WarningsOver1763700000014: { stack_warnings: 3 },
  Reconcile1763700000015: { operations: 1 },
  Backups1763700000019: { operations: 2 },
  Upgrades1763700000020: { operations: 2 },
  BackupsKept1763700000024: { operations: 3 },
};

/** What has to be let go by hand before a migration goes back, since nobody could have it again. */
const HAD_ONCE: Readonly<Record<string, { refusal: string; letGo: readonly string[] }>> = {
  Backups1763700000019: {
    refusal: 'Stacks have repositories: without their passwords nobody could open a backup again',
    letGo: ['delete from repositories'],
  },
  PortalBackups1763700000025: {
    refusal: 'A recovery has not decided on every stack yet',
    letGo: ['update recoveries set ordered_at = recovered_at'],
  },
  Fences1763700000030: {
    refusal: 'This platform was recovered, or was replaced by one that was',
    letGo: ['delete from fences', 'update recoveries set ordinal = 0'],
  },
};

async function letGo(database: Database, name: string): Promise<void> {
  for (const statement of HAD_ONCE[name]?.letGo ?? []) {
    await database.query(statement);
  }
}

it('each migration goes back and forth again on a database with data, which loses what only it had a word for', async () => {
  await migrate(empty.ownerUrl, { platformId: newId(), appPassword: appPassword() });
  const filled = await asOf(ordered.length, fillDatabase);
  // each table with rows, and of operations one of every kind
  expect([...filled.values()].every((rows) => rows > 0)).toBe(true);
  expect(filled.get('operations')).toBeGreaterThanOrEqual(19);
  const lost: Record<string, Record<string, number>> = {};
  const refused: string[] = [];
  await asOf(ordered.length, (database) => database.query('update recoveries set ordered_at = null'));
  for (let count = ordered.length; count > 0; count -= 1) {
    const name = ordered[count - 1]?.name ?? '';
    await asOf(count, async (database) => {
      const once = HAD_ONCE[name];
      if (once) {
        refused.push(name);
        const whole = await rowsOf(database);
        await expect(database.undoLastMigration({ transaction: 'each' })).rejects.toThrow(once.refusal);
        expect(await rowsOf(database)).toEqual(whole);
        await letGo(database, name);
      }
      const before = await rowsOf(database);
      await database.undoLastMigration({ transaction: 'each' });
      const between = await rowsOf(database);
      const gone = missing(before, between);
      if (Object.keys(gone).length > 0) {
        lost[name] = gone;
      }
      expect((await database.runMigrations({ transaction: 'each' })).map((migration) => migration.name)).toEqual([
        name,
      ]);
      expect({ name, lost: missing(between, await rowsOf(database)) }).toEqual({ name, lost: {} });
      await database.undoLastMigration({ transaction: 'each' });
    });
  }
  expect(lost).toEqual(TOLD_NO_MORE);
  expect(refused.toReversed()).toEqual(Object.keys(HAD_ONCE));
  await asOf(0, async (database) => expect([...(await rowsOf(database)).keys()]).toEqual([]));
});

it('what is open of a kind that the version before does not know keeps the way back shut, and nothing is changed', async () => {
  await migrate(empty.ownerUrl, { platformId: newId(), appPassword: appPassword() });
  const at = ordered.findIndex(({ name }) => name.startsWith('BackupsKept')) + 1;
  await asOf(ordered.length, fillDatabase);
  for (let count = ordered.length; count > at; count -= 1) {
    await asOf(count, async (database) => {
      await letGo(database, ordered[count - 1]?.name ?? '');
      await database.undoLastMigration({ transaction: 'each' });
    });
  }
  await asOf(at, async (database) => {
    await database.query(`update operations set state = 'running' where kind = 'prune'`);
    const before = await rowsOf(database);
    await expect(database.undoLastMigration({ transaction: 'each' })).rejects.toThrow('operations_kind');
    expect(await rowsOf(database)).toEqual(before);
  });
});

it('a lock that somebody else holds ends a migration soon and changes nothing; once it is let go it goes through', async () => {
  await migrate(empty.ownerUrl, { platformId: newId(), appPassword: appPassword() });
  await asOf(ordered.length, async (database) => {
    await database.undoLastMigration({ transaction: 'each' });
    const before = await rowsOf(database);
    const other = new pg.Client({ connectionString: empty.ownerUrl });
    await other.connect();
    try {
      // as a dump of the whole database does for as long as it lasts
      const [{ all } = { all: '' }] = await database.query<{ all: string }[]>(
        `select string_agg(format('%I', tablename), ', ') as all from pg_tables where schemaname = 'public'`,
      );
      await other.query(`begin; lock table ${all} in access share mode`);
      const options = { platformId: newId(), appPassword: appPassword() };
      const [{ id } = { id: '' }] = await database.query<{ id: string }[]>('select id from platforms');
      await expect(migrate(empty.ownerUrl, { ...options, platformId: id })).rejects.toMatchObject({
        code: 'UNAVAILABLE',
        message: expect.stringContaining('Another session'),
      });
      expect(await rowsOf(database)).toEqual(before);
      await other.query('commit');
      expect((await migrate(empty.ownerUrl, { ...options, platformId: id })).ran).toEqual([ordered.at(-1)?.name]);
    } finally {
      await other.end();
    }
  });
});
