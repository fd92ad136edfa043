import { createHash, createHmac, randomUUID } from 'node:crypto';
import pg from 'pg';
import { APP_ROLE, createDataSource, type Database } from '#libs/db';
import { migratePlatform } from '#libs/jobs';

const TEMPLATE = 'aviary_template';
const OWNER = 'aviary_owner';

export interface TestDatabase {
  name: string;
  /** As the processes connect: role aviary_app. */
  url: string;
  /** As migrations connect: role aviary_owner. */
  ownerUrl: string;
  /** Connected as aviary_app. */
  dataSource: Database;
  platformId: string;
  /** Ends every connection to it, as a restart of the server would. */
  disconnectAll(): Promise<void>;
  close(): Promise<void>;
}

function serverUrl(): URL {
  const value = process.env['AVIARY_TEST_POSTGRES'];
  if (!value) {
    throw new Error('No test Postgres: run this file in the jest project "int"');
  }
  return new URL(value);
}

function urlOf(role: string, password: string, database: string): string {
  const url = serverUrl();
  url.username = role;
  url.password = password;
  url.pathname = `/${database}`;
  return url.href;
}

/** The same in every jest worker of a run, new in each run: derived from the server's generated password. */
const secretOf = (role: string): string => createHmac('sha256', serverUrl().password).update(role).digest('hex');

const platformOfRun = (): string => {
  const hex = createHash('sha256').update(serverUrl().password).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
};

async function withServer<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: serverUrl().href });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** Made by whichever jest worker comes first; the others wait for its lock. Renamed last, so it is never half done. */
async function ensureTemplate(client: pg.Client): Promise<void> {
  await client.query(`select pg_advisory_lock(hashtext('${TEMPLATE}'))`);
  try {
    const found = await client.query('select from pg_database where datname = $1', [TEMPLATE]);
    if (found.rowCount) {
      return;
    }
    await client.query(`drop database if exists ${TEMPLATE}_making`);
    const role = await client.query('select from pg_roles where rolname = $1', [OWNER]);
    if (!role.rowCount) {
      await client.query(`create role ${OWNER} login createrole createdb password '${secretOf(OWNER)}'`);
    }
    await client.query(`create database ${TEMPLATE}_making owner ${OWNER}`);
    await migratePlatform(urlOf(OWNER, secretOf(OWNER), `${TEMPLATE}_making`), {
      platformId: platformOfRun(),
      appPassword: secretOf(APP_ROLE),
    });
    await client.query(`alter database ${TEMPLATE}_making rename to ${TEMPLATE}`);
  } finally {
    await client.query(`select pg_advisory_unlock(hashtext('${TEMPLATE}'))`);
  }
}

/** One that is there already, such as a recovered one. */
export async function knownDatabase(name: string): Promise<TestDatabase> {
  const url = urlOf(APP_ROLE, secretOf(APP_ROLE), name);
  const dataSource = await createDataSource(url, { applicationName: 'test' }).initialize();
  return {
    name,
    url,
    ownerUrl: urlOf(OWNER, secretOf(OWNER), name),
    dataSource,
    platformId: platformOfRun(),
    async disconnectAll() {
      await withServer((client) =>
        client.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1', [name]),
      );
    },
    async close() {
      await dataSource.destroy();
      await withServer((client) => client.query(`drop database if exists ${name} with (force)`));
    },
  };
}

/** Names of databases that begin so. */
export async function databasesLike(beginning: string): Promise<string[]> {
  const { rows } = await withServer((client) =>
    client.query<{ name: string }>(
      'select datname as name from pg_database where starts_with(datname, $1) order by 1',
      [beginning],
    ),
  );
  return rows.map(({ name }) => name);
}

/** A fresh, migrated database of one's own (~30 ms): call it in `beforeAll`, `close()` in `afterAll`. */
export async function testDatabase(): Promise<TestDatabase> {
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  await withServer(async (client) => {
    await ensureTemplate(client);
    await client.query(`create database ${name} template ${TEMPLATE} owner ${OWNER}`);
  });
  return knownDatabase(name);
}

/** An empty database without any migration, for tests of migrating itself. */
export async function emptyDatabase(): Promise<{ name: string; ownerUrl: string; close(): Promise<void> }> {
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  await withServer(async (client) => {
    await ensureTemplate(client);
    await client.query(`create database ${name} owner ${OWNER}`);
  });
  return {
    name,
    ownerUrl: urlOf(OWNER, secretOf(OWNER), name),
    async close() {
      await withServer((client) => client.query(`drop database if exists ${name} with (force)`));
    },
  };
}

/** As whom the tools in the portal's database container work, and where. */
export function ownerLogin(): { host: string; port: string; user: string; password: string } {
  const { hostname: host, port } = serverUrl();
  return { host, port, user: OWNER, password: secretOf(OWNER) };
}

/** The same database as another role's password sees it: for tests that change `aviary_app`'s password back. */
export const appPassword = (): string => secretOf(APP_ROLE);
