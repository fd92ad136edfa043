// The migrations and the entities must say the same: migrates an empty database, asks TypeORM what it would still
// change (nothing), runs every `down`, finds the database empty again, and every `up` once more.
import './ts-loader.mjs';
import { randomBytes, randomUUID } from 'node:crypto';
import startPostgres from '../../test/support/postgres-global.mjs';
import stopPostgres from '../../test/support/postgres-global-stop.mjs';

const { createDataSource, migrate } = await import('../../libs/db/src/index.ts');

const say = (line) => process.stdout.write(`${line}\n`);

/** `create table …;` lines that would still be needed, as TypeORM's schema builder sees it. */
async function difference(dataSource) {
  const log = await dataSource.driver.createSchemaBuilder().log();
  return log.upQueries.map((query) => `${query.query};`);
}

async function check(ownerUrl) {
  const problems = [];
  const options = { platformId: randomUUID(), appPassword: randomBytes(16).toString('hex') };
  await migrate(ownerUrl, options);
  const dataSource = await createDataSource(ownerUrl, { poolSize: 2 }).initialize();
  try {
    const first = await difference(dataSource);
    if (first.length > 0) {
      problems.push('After the migrations the entities still want:', ...first);
    }
    const count = dataSource.migrations.length;
    for (let at = 0; at < count; at += 1) {
      await dataSource.undoLastMigration({ transaction: 'each' });
    }
    const left = await dataSource.query(
      `select tablename as name from pg_tables where schemaname = 'public' and tablename <> 'migrations'`,
    );
    if (left.length > 0) {
      problems.push(`After every down these tables are left: ${left.map(({ name }) => name).join(', ')}`);
    }
    await dataSource.runMigrations({ transaction: 'each' });
    const second = await difference(dataSource);
    if (second.length > 0 && first.length === 0) {
      problems.push('After down and up again the entities want:', ...second);
    }
    return { problems, count };
  } finally {
    await dataSource.destroy();
  }
}

await startPostgres();
let result;
try {
  result = await check(process.env.AVIARY_TEST_POSTGRES);
} finally {
  await stopPostgres();
}
if (result.problems.length > 0) {
  result.problems.forEach(say);
  process.exitCode = 1;
} else {
  say(`${result.count} migrations: no schema difference, down and up again work`);
}
