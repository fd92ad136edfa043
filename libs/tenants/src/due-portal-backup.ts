import { tx, type Database } from '#libs/db';
import { AGAIN_SECONDS, SINCE_HOUR } from './nightly.js';
import { askForPortalBackup } from './portal-backup.service.js';

/** What recovery would lack is brought into a backup this soon, and no sooner: an upgrade of the fleet makes it every minute. */
const CHANGED_SECONDS = 3_600;

/**
 * Asks for the portal's backup where one is due: since the hour of the night there is none, or recovery would lack
 * something: a stack or a backup of one that is newer than the newest, or a key that was rotated since (at once: what
 * was backed up before opens with the old one alone). Gives its id, or null.
 */
export async function orderDuePortalBackup(
  database: Database,
  { now, zone, hour }: { now: Date; zone: string; hour: number },
): Promise<string | null> {
  return tx(database, async (db) => {
    const due = await db.query<unknown[]>(
      `${SINCE_HOUR},
         held as (select coalesce(max(b.taken_at), min(p.created_at)) as at from platforms p
                    left join portal_backups b on b.state = 'verified'),
         tried as (select coalesce(max(b.asked_at), min(p.created_at)) as at, count(b.id) = 0 as never from platforms p
                    left join portal_backups b on true)
       select from since, held, tried
        where not exists (select from portal_backups where state in ('asked', 'taking', 'stored'))
          and (tried.never or tried.at <= $1::timestamptz - make_interval(secs => $4))
          and (held.at < day
            or exists (select from key_rotations where finished_at > held.at)
            or (tried.at <= $1::timestamptz - make_interval(secs => $5)
              and (exists (select from repositories where created_at > held.at)
                or exists (select from backups where state = 'verified' and verified_at > held.at))))`,
      [now, zone, hour, AGAIN_SECONDS, CHANGED_SECONDS],
    );
    if (due.length === 0) {
      return null;
    }
    const actor = { kind: 'system', name: 'schedule' } as const;
    return (await askForPortalBackup(db, { actor, reason: 'schedule', now })).id;
  });
}

/**
 * Asks for one where the newest that counts lies in another place than backups go to now (`AVIARY_BACKUP_URL` as `.env`
 * has it, empty for the default): until the night the new place would hold nothing that a lost host comes back from. Again
 * half an hour after one that failed. True once there is nothing to ask for.
 */
export async function orderForPlace(
  database: Database,
  { now, place }: { now: Date; place: string },
): Promise<boolean> {
  return tx(database, async (db) => {
    const [newest] = await db.query<{ elsewhere: boolean; waits: boolean }[]>(
      `select coalesce(manifest -> 'settings' ->> 'AVIARY_BACKUP_URL', '') <> $1 as elsewhere,
              exists (select from portal_backups
                       where state in ('asked', 'taking', 'stored')
                          or state = 'failed' and asked_at > $2::timestamptz - make_interval(secs => $3)) as waits
         from portal_backups where state = 'verified' order by taken_at desc limit 1`,
      [place, now, AGAIN_SECONDS],
    );
    if (newest?.elsewhere === true && !newest.waits) {
      await askForPortalBackup(db, { actor: { kind: 'system', name: 'new-place' }, reason: 'schedule', now });
    }
    return newest?.elsewhere !== true;
  });
}
