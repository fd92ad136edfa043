// Run by `up` as a one-off container with what the agent will have: whether its master key is the one the database is
// sealed with. A wrong one is told before the agent that runs is replaced.
import { loadConfig } from '#libs/config';
import { isDomainError } from '#libs/contracts';
import { assertPlatform, createDataSource } from '#libs/db';
import { startKeys } from '#libs/keys';
import { masterKeysOf } from '../key-keeper.js';
import { hostCommand, Refusal, say } from './talk.js';

await hostCommand(async () => {
  const config = loadConfig('keyCheck');
  try {
    const masters = await masterKeysOf(config);
    const database = await createDataSource(config.DATABASE_URL, { poolSize: 1 }).initialize();
    try {
      await assertPlatform(database, config.PLATFORM_ID);
      await startKeys(database, masters, new Date());
    } finally {
      await database.destroy();
    }
    say(`the master key is ${masters.current.id}`);
  } catch (error) {
    throw isDomainError(error) ? new Refusal([error.message], 2) : error;
  }
});
