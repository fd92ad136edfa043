// Run as a child by the test of rotations: moves data keys one by one and kills itself (−9) after so many commits.
import { createDataSource } from '#libs/db';
import { KeyWork, readMasterKeys } from '#libs/keys';
import { createLogger } from '#libs/telemetry';

const [url = '', current = '', next = '', diesAfter = '0'] = process.argv.slice(2);
const database = await createDataSource(url, { poolSize: 2 }).initialize();
const masters = await readMasterKeys(
  { MASTER_KEY: current, MASTER_KEY_COMMAND: '', NEXT_MASTER_KEY: next, NEXT_MASTER_KEY_COMMAND: '' },
  '',
);
let commits = 0;
const work = new KeyWork({
  database,
  masters,
  now: () => new Date(),
  logger: createLogger('test', 'silent'),
  batch: 1,
  committed: () => {
    commits += 1;
    if (commits === Number(diesAfter)) {
      process.kill(process.pid, 'SIGKILL');
    }
  },
});
await work.turn(new AbortController().signal);
await database.destroy();
process.stdout.write('done\n');
