import type { Compose } from './compose.js';
import { portalRows } from './portal-database.js';
import { CommandError, run } from './run-command.js';
import type { Platform } from './settings.js';
import { Refusal, say } from './talk.js';

/** Services of docker-compose.portal.yml that run to an end (`profiles: [once]`). */
type OneOff = 'migrate' | 'check-keys' | 'own-stores';

/** A change of a large table's rows takes long, and to give it up and begin again takes longer. */
const MIGRATE_MS = 6 * 3_600_000;
const END_MS = 60_000;

const nameOf = ({ environment }: Compose, service: OneOff): string =>
  `aviary-${environment['AVIARY_PREFIX'] ?? ''}-${service}`;

/**
 * Runs one to its end, alone: what a command that was cut off left of it is ended first, and so is this one where the
 * command that waits for it fails. Throws CommandError with what it said.
 */
export async function runOnce(compose: Compose, service: OneOff, deadlineMs: number): Promise<void> {
  await endOnce(compose, service);
  try {
    const name = nameOf(compose, service);
    await compose.call(['run', '--rm', '--no-deps', '-T', '--name', name, service], { deadlineMs });
  } catch (error) {
    // Ended with the client that asked for it or not: nothing may go on behind what comes next.
    await endOnce(compose, service).catch((also: unknown) =>
      say(`the container of ${service} could not be removed: ${also instanceof Error ? also.message : String(also)}`),
    );
    throw error;
  }
}

/** Ends it where it runs and removes its container; does nothing where there is none. */
async function endOnce(compose: Compose, service: OneOff): Promise<void> {
  try {
    await run('docker', ['rm', '--force', nameOf(compose, service)], { deadlineMs: END_MS });
  } catch (error) {
    if (!(error instanceof CommandError) || !/No such container|already in progress/i.test(error.output)) {
      throw error;
    }
  }
}

/** Brings the schema up to date. Throws Refusal with what was in the way; what was not done whole is taken back then. */
export async function migrateDatabase(
  compose: Compose,
  platform: Platform,
  deadlineMs: number = MIGRATE_MS,
): Promise<void> {
  await endMigration(compose, platform);
  try {
    await runOnce(compose, 'migrate', deadlineMs);
  } catch (error) {
    if (!(error instanceof CommandError)) {
      throw error;
    }
    await endMigration(compose, platform);
    const why = error.tooLong
      ? `that was not done within ${deadlineMs / 60_000} min, so it was ended, and what it had not finished was taken back.`
      : saidBy(error);
    throw new Refusal([`The database could not be brought up to date: ${why}`]);
  }
}

/** What the command line said is wrong; where it said nothing, the end of what there is. */
function saidBy(error: CommandError): string {
  const wrong = error.output.split('\n').filter((line) => line.startsWith('✗ '));
  return wrong.length > 0 ? wrong.map((line) => line.slice(2)).join(' ') : error.message;
}

/**
 * Ends a migration that is under way, as one that went on behind a command that was cut off. The server itself notices
 * only between two statements that nobody waits for them any more, and until then all wait behind its locks.
 */
export async function endMigration(compose: Compose, platform: Pick<Platform, 'prefix'>): Promise<void> {
  await endOnce(compose, 'migrate');
  await portalRows(
    platform,
    `select pg_terminate_backend(pid, 10000) from pg_stat_activity where application_name like 'aviary-migrate%'`,
  );
}
