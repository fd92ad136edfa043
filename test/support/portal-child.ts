// Run as a child by tests that kill it: backs the portal up or recovers it, and kills itself (−9) right before it runs
// the so-manieth tool in the database's container or proves for the so-manieth time that it may go on.
import { chooseBackup, recoverPortal } from '#libs/backup';
import { createDataSource } from '#libs/db';
import { readMasterKeys } from '#libs/keys';
import type { ResticSettings } from '#libs/restic';
import { portalBackups, portalRepositoryIn } from './portal-backups.js';
import { portalServerOf } from './portal-database.js';

interface Order {
  what: 'backup' | 'recover';
  /** Of the portal's own database, as its processes connect. */
  url: string;
  /** Name of the database that is backed up, or brought back. */
  database: string;
  platformId: string;
  masterKey: string;
  folder: string;
  restic: ResticSettings;
  diesAt: number;
}

const order = JSON.parse(process.argv[2] ?? '{}') as Order;
const { platformId, database, folder, restic } = order;
let steps = 0;
const step = (): void => {
  steps += 1;
  if (steps === order.diesAt) {
    process.kill(process.pid, 'SIGKILL');
  }
};
const masters = await readMasterKeys(
  { MASTER_KEY: order.masterKey, MASTER_KEY_COMMAND: '', NEXT_MASTER_KEY: undefined, NEXT_MASTER_KEY_COMMAND: '' },
  '',
);
const server = await portalServerOf({ database, platformId }, { before: step });
const repository = portalRepositoryIn(folder, restic, masters);
const signal = new AbortController().signal;
if (order.what === 'backup') {
  const dataSource = await createDataSource(order.url, { poolSize: 2 }).initialize();
  const backups = portalBackups(
    { database: dataSource, server, repository, masters },
    {
      platformId,
      prove: () => {
        step();
        return Promise.resolve();
      },
    },
  );
  await backups.turn(signal);
  await dataSource.destroy();
} else {
  const opened = await repository.find(signal);
  if (opened === null) {
    throw new Error('there is no repository');
  }
  const { chosen } = await chooseBackup(opened.repository, { id: null, signal });
  const now = new Date();
  await recoverPortal({
    server,
    repository: opened.repository,
    backup: chosen,
    masters,
    now,
    signal,
    say: () => undefined,
  });
}
process.stdout.write('done\n');
