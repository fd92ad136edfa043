// Run as a child by test/int/jobs.spec.ts: takes a job, says so, and never finishes it.
import { createQueue } from '#libs/jobs';
import { createLogger } from '#libs/telemetry';

const url = process.argv[2];
if (!url) {
  throw new Error('usage: hanging-worker <database url>');
}
const queue = createQueue({ url, applicationName: 'hanging', logger: createLogger('hanging', 'silent') });
await queue.start();
await queue.work({
  'audit.seal': () => {
    process.stdout.write('took the job\n');
    return new Promise(() => undefined);
  },
});
process.stdout.write('ready\n');
