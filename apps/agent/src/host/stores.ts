import { waitFor } from '#libs/async';
import type { Compose } from './compose.js';
import { runOnce } from './one-off.js';
import { STORES } from './portal-user.js';
import { CommandError, run } from './run-command.js';
import type { Platform } from './settings.js';

/** A first start initialises a database; a slow disk takes its time over that. */
export const DATABASE_MS = 120_000;

/** Before the stores run as users of their own their volumes have to be those users'; as another's they are stopped first. */
export async function ownStores(compose: Compose, { prefix }: Platform): Promise<void> {
  const runs = await Promise.all(
    Object.entries(STORES).map(async ([store, uid]) => {
      const state = await run('docker', [
        'inspect',
        '-f',
        '{{.State.Running}} {{.Config.User}}',
        `aviary-${prefix}-${store}`,
      ]).catch((error: unknown) => {
        if (error instanceof CommandError) {
          return 'there is none';
        }
        throw error;
      });
      return state.trim() === `true ${uid}:${uid}`;
    }),
  );
  if (!runs.every(Boolean)) {
    await compose.call(['stop', 'postgres', 'redis'], { show: true });
    await runOnce(compose, 'own-stores', DATABASE_MS);
  }
}

/** The image of Postgres takes connections before its password is set, so the first answers may be refusals. */
export async function databaseAnswers({ prefix }: Pick<Platform, 'prefix'>): Promise<void> {
  const container = `aviary-${prefix}-postgres`;
  await waitFor(
    async () => {
      const ready = 'pg_isready -h 127.0.0.1 && [ ! -e "$PGDATA/aviary-first-start" ]';
      await run('docker', ['exec', container, 'sh', '-c', ready]);
      return true;
    },
    { what: 'the portal’s database', deadlineMs: DATABASE_MS, intervalMs: 100 },
  );
}
