import { KeyHolderEntity, type Tx } from '#libs/db';
import type { MasterKeys } from './master-keys.js';

/** How often an agent says which keys it has, and after how long it is taken for gone. */
export const HOLDER_SECONDS = 5;
const GONE_SECONDS = 4 * HOLDER_SECONDS;
const FORGOTTEN_SECONDS = 3_600;

/** Says by their ids which master keys this process was given. */
export async function sayHolder(
  db: Tx,
  { owner, engineId, masters }: { owner: string; engineId: string; masters: MasterKeys },
): Promise<void> {
  await db.query(
    `with forgotten as (delete from key_holders where owner <> $1 and seen_at < now() - make_interval(secs => $5))
     insert into key_holders (owner, engine_id, current_key, next_key, seen_at) values ($1, $2, $3, $4, now())
     on conflict (owner) do update set seen_at = excluded.seen_at`,
    [owner, engineId, masters.current.id, masters.next?.id ?? null, FORGOTTEN_SECONDS],
  );
}

export async function forgetHolder(db: Tx, owner: string): Promise<void> {
  await db.delete(KeyHolderEntity, { owner });
}

/** Those heard of lately. */
export function liveHolders(db: Tx): Promise<KeyHolderEntity[]> {
  return db
    .createQueryBuilder(KeyHolderEntity, 'h')
    .where('h.seenAt > now() - make_interval(secs => :seconds)', { seconds: GONE_SECONDS })
    .orderBy('h.owner')
    .getMany();
}

/** Who was not given that master key. */
export async function withoutKey(db: Tx, id: string): Promise<string[]> {
  const holders = await liveHolders(db);
  return holders.filter(({ currentKey, nextKey }) => currentKey !== id && nextKey !== id).map(({ owner }) => owner);
}
