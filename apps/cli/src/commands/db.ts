import { DeadlineError, waitFor } from '#libs/async';
import type { Command } from 'commander';
import { handle, type Action, type Environment } from '../frame/command.js';

/** How long a database that does not answer is waited for. */
const START_SECONDS = 60;
const SCHEMA = 'aviary/migration/1';

const migrate: Action = async (context) => {
  const { loadConfig } = await import('#libs/config');
  const { isDatabaseAway, isLockTimeout } = await import('#libs/db');
  const { migratePlatform } = await import('#libs/jobs');
  const config = loadConfig('migrate');
  const outcome = await waitFor(
    async (): Promise<{ ran: string[] } | { wrong: unknown }> => {
      try {
        return await migratePlatform(config.OWNER_DATABASE_URL, {
          platformId: config.PLATFORM_ID,
          appPassword: config.APP_PASSWORD,
        });
      } catch (error) {
        // A database that is only starting is waited for; anything else that is wrong is said at once.
        if (isDatabaseAway(error)) {
          context.output.say('waiting for the database');
          throw error;
        }
        // What holds it ends: nothing was changed, and nobody waits behind us meanwhile.
        if (isLockTimeout(error)) {
          context.output.say('waiting for another session to let go of a table');
          throw error;
        }
        return { wrong: error };
      }
    },
    {
      what: 'the database',
      deadlineMs: Math.min(context.options.timeout, START_SECONDS) * 1_000,
      intervalMs: 500,
      maxIntervalMs: 3_000,
      signal: context.interrupted,
    },
  ).catch((error: unknown) => {
    throw error instanceof DeadlineError && error.cause !== undefined ? error.cause : error;
  });
  if ('wrong' in outcome) {
    throw outcome.wrong;
  }
  const { ran } = outcome;
  context.output.result(
    SCHEMA,
    { ran },
    ran.length === 0 ? 'the database is up to date' : `migrated: ${ran.join(', ')}`,
  );
};

export function dbCommands(program: Command, environment: Environment): void {
  const db = program.command('db').description('the portal’s own database');
  db.command('migrate')
    .description('bring it up to date, as its owner')
    .action(handle(environment, SCHEMA, migrate));
}
