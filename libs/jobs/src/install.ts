import { PgBoss } from 'pg-boss';
import { APP_ROLE, createDataSource, LOCK_MS, migrate, type MigrateOptions } from '#libs/db';
import { DEAD_LETTERS, QUEUE_SCHEMA } from './queue.js';

/** Of the queue's own tables; whoever installs it beside us is waited for under the same bound, so it is a longer one. */
const QUEUE_LOCK_MS = 3 * LOCK_MS;

/** The library takes no such option, but the driver does, in the address. */
function patientFor(ownerUrl: string): string {
  const url = new URL(ownerUrl);
  url.searchParams.set('lock_timeout', String(QUEUE_LOCK_MS));
  return url.href;
}

/** Makes or upgrades the queue's own tables as the owner and lets the app role use them. */
export async function installQueue(ownerUrl: string): Promise<void> {
  const boss = new PgBoss({
    connectionString: patientFor(ownerUrl),
    application_name: 'aviary-migrate-queue',
    schema: QUEUE_SCHEMA,
    max: 2,
    supervise: false,
    schedule: false,
  });
  const { promise: failed, reject } = Promise.withResolvers<never>();
  boss.on('error', reject);
  try {
    await Promise.race([boss.start().then(() => ensureDeadLetters(boss)), failed]);
  } finally {
    await boss.stop({ graceful: false });
  }
  const dataSource = await createDataSource(ownerUrl, {
    poolSize: 1,
    patient: true,
    lockMs: QUEUE_LOCK_MS,
  }).initialize();
  try {
    for (const statement of [
      `grant usage on schema ${QUEUE_SCHEMA} to ${APP_ROLE}`,
      `grant select, insert, update, delete on all tables in schema ${QUEUE_SCHEMA} to ${APP_ROLE}`,
      `grant usage, select on all sequences in schema ${QUEUE_SCHEMA} to ${APP_ROLE}`,
      `grant execute on all functions in schema ${QUEUE_SCHEMA} to ${APP_ROLE}`,
    ]) {
      await dataSource.query(statement);
    }
  } finally {
    await dataSource.destroy();
  }
}

async function ensureDeadLetters(boss: PgBoss): Promise<void> {
  await boss.createQueue(DEAD_LETTERS, { policy: 'standard', retentionSeconds: 30 * 86_400 });
}

/** Everything a database needs to be used by this version: `migrate` of #libs/db, then the queue. */
export async function migratePlatform(ownerUrl: string, options: MigrateOptions): Promise<{ ran: string[] }> {
  const result = await migrate(ownerUrl, options);
  await installQueue(ownerUrl);
  return result;
}
