import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const SCRIPT = join(import.meta.dirname, '../../scripts/lib/clear-half-started');
/** As on a machine on which no engine was set up yet. */
const WITHOUT_SETTINGS = 'if [ -d /etc/docker ]; then mount -t tmpfs tmpfs /etc/docker; fi; exec "$0"';

it('ends well where nobody wrote settings of the engine or ever started it: up runs it before the first start', async () => {
  const { stdout, stderr } = await promisify(execFile)('unshare', ['--mount', 'sh', '-c', WITHOUT_SETTINGS, SCRIPT]);
  expect({ stdout, stderr }).toEqual({ stdout: '', stderr: '' });
});
