import { RELEASE_STATES, waitingReleases } from '#libs/contracts';
import { z } from 'zod';
import { portalRows } from './portal-database.js';
import type { Platform } from './settings.js';
import { say } from './talk.js';

const rowSchema = z.tuple([z.string(), z.string(), z.enum(RELEASE_STATES)]);

/** Says which releases nobody has offered or promoted yet: what ships with a new version goes to no customer by itself. */
export async function sayWaitingReleases(platform: Pick<Platform, 'prefix'>): Promise<void> {
  const rows = await portalRows(platform, 'select template, id, state from releases order by created_at desc, id');
  const releases = rows.map((row) => {
    const [template, id, state] = rowSchema.parse(row);
    return { template, id, state };
  });
  for (const { release, move } of waitingReleases(releases)) {
    say(`the release ${release.id} waits as a ${release.state}; next: aviary release ${move} ${release.id}`);
  }
}
