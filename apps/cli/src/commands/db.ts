import type { Command } from 'commander';
import { handle, type Action, type Environment } from '../frame/command.js';

const SCHEMA = 'aviary/migration/1';

const migrate: Action = async (context) => {
  const { loadConfig } = await import('#libs/config');
  const { migratePlatform } = await import('#libs/jobs');
  const config = loadConfig('migrate');
  const { ran } = await migratePlatform(config.OWNER_DATABASE_URL, {
    platformId: config.PLATFORM_ID,
    appPassword: config.APP_PASSWORD,
  });
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
