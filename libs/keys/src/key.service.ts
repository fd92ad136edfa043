import { appendAudit } from '#libs/audit';
import { DomainError, type Actor } from '#libs/contracts';
import { DataKeyEntity, KeyRotationEntity, newId, PortalBackupEntity, tx, type Database, type Tx } from '#libs/db';
import { IsNull } from 'typeorm';
import { PLATFORM } from './data-keys.js';
import { liveHolders, withoutKey } from './holders.js';

export interface RotationView {
  id: string;
  from: string;
  to: string;
  askedBy: string;
  askedAt: string;
  begunAt: string | null;
  finishedAt: string | null;
  /** Data keys in all, and those that are still under the old master key. */
  total: number;
  left: number;
}

export interface KeyStatus {
  /** Id of the master key the platform is sealed with; null before its first agent started. */
  masterKey: string | null;
  dataKeys: { masterKey: string; count: number }[];
  /** Stacks that have a value sealed under a master key itself, as before there were data keys. */
  underMasterKey: string[];
  /** Stacks whose secrets are lost: their data key is gone, or was left under another master key by a rotation. */
  lost: string[];
  agents: { owner: string; engine: string; current: string; next: string | null; seenAt: string }[];
  /** A key that the newest verified backup of the portal is sealed under and this platform is not any more; else null. */
  portalBackup: string | null;
  /** The one under way, else the newest. */
  rotation: RotationView | null;
}

/** What operators see of keys and ask for. It holds no key: agents do what is asked for here. */
export class KeyService {
  constructor(
    private readonly database: Database,
    private readonly now: () => Date,
  ) {}

  async status(actor: Actor): Promise<KeyStatus> {
    requireOperator(actor);
    const db = this.database.manager;
    const [dataKeys, agents, rotation, platform] = await Promise.all([
      db.query<{ masterKey: string; count: number }[]>(
        `select master_key as "masterKey", count(*)::int as count from data_keys group by 1 order by 2 desc, 1`,
      ),
      liveHolders(db),
      db.findOne(KeyRotationEntity, { where: {}, order: { askedAt: 'DESC' } }),
      db.findOneBy(DataKeyEntity, { owner: PLATFORM }),
    ]);
    const open = rotation !== null && rotation.finishedAt === null;
    return {
      masterKey: platform?.masterKey ?? null,
      dataKeys,
      underMasterKey: await slugs(
        db,
        `exists (select from tenant_secrets s where s.tenant_id = t.id and (get_byte(s.sealed, 0) = 1 or get_byte(s.previous, 0) = 1))
           or exists (select from repositories r where r.tenant_id = t.id and get_byte(r.sealed, 0) = 1)`,
      ),
      lost: await slugs(
        db,
        `exists (select from data_keys k where k.tenant_id = t.id and k.master_key <> all($1::text[]))
           or (not exists (select from data_keys k where k.tenant_id = t.id)
               and (exists (select from tenant_secrets s where s.tenant_id = t.id and get_byte(s.sealed, 0) = 2)
                 or exists (select from repositories r where r.tenant_id = t.id and get_byte(r.sealed, 0) = 2)))`,
        [[platform?.masterKey, ...(open ? [rotation.fromKey, rotation.toKey] : [])]],
      ),
      agents: agents.map(({ owner, engineId, currentKey, nextKey, seenAt }) => ({
        owner,
        engine: engineId,
        current: currentKey,
        next: nextKey,
        seenAt: seenAt.toISOString(),
      })),
      portalBackup: await backedUpUnder(
        db,
        platform?.masterKey ?? null,
        dataKeys.map(({ masterKey }) => masterKey),
      ),
      rotation: rotation && (await view(db, rotation)),
    };
  }

  /** The key that agents were given to rotate to, or was rotated to and they still have beside. Throws WRONG_STATE where there is none, or not one. */
  async nextKey(actor: Actor): Promise<string> {
    requireOperator(actor);
    const db = this.database.manager;
    const [agents, platform, open] = await Promise.all([
      liveHolders(db),
      db.findOneBy(DataKeyEntity, { owner: PLATFORM }),
      db.findOneBy(KeyRotationEntity, { finishedAt: IsNull() }),
    ]);
    if (open !== null && (open.begunAt !== null || agents.length === 0)) {
      return open.toKey;
    }
    if (agents.length === 0) {
      throw new DomainError('UNAVAILABLE', {
        message: 'No agent has been heard of for twenty seconds, and only agents have the master key: aviary doctor.',
      });
    }
    const current = platform?.masterKey;
    const nexts = agents.flatMap(({ nextKey }) => (nextKey === null ? [] : [nextKey]));
    // Agents have one that was rotated to already as long as a person leaves it in their settings.
    const others = nexts.filter((id) => id !== current);
    const offered = [...new Set(others.length > 0 ? others : nexts)];
    const [one] = offered;
    if (one === undefined || offered.length > 1) {
      throw new DomainError('WRONG_STATE', {
        message:
          one === undefined
            ? 'No agent has a next master key: set AVIARY_NEXT_MASTER_KEY, AVIARY_NEXT_MASTER_KEY_FILE or AVIARY_NEXT_MASTER_KEY_COMMAND in .env and run scripts/up.'
            : `Agents were given different next master keys (${offered.join(', ')}): give all of them the same.`,
        details: { why: 'no_next_key' },
      });
    }
    return one;
  }

  /** Asks for all data keys to go under that master key; asked for again, it is the one under way or the one done. */
  async rotate(actor: Actor, to: string): Promise<RotationView> {
    const operator = requireOperator(actor);
    return tx(this.database, async (db) => {
      // Held by whoever asks: two cannot both see that nothing is under way.
      const platform = await db.findOne(DataKeyEntity, {
        where: { owner: PLATFORM },
        lock: { mode: 'pessimistic_write' },
      });
      const newest = await db.findOne(KeyRotationEntity, { where: {}, order: { askedAt: 'DESC' } });
      if (newest !== null && newest.finishedAt === null) {
        if (newest.toKey === to) {
          return view(db, newest);
        }
        if (newest.begunAt !== null) {
          throw new DomainError('WRONG_STATE', { message: `The rotation to ${newest.toKey} has not ended.` });
        }
        // Nothing was moved yet, and agents may never get the key it was to: it gives way.
        await db.delete(KeyRotationEntity, { id: newest.id });
        await appendAudit(db, {
          actor,
          action: 'keys.rotate_given_up',
          target: { kind: 'platform', id: newest.toKey },
          before: { master: newest.fromKey },
          after: { master: newest.fromKey },
        });
      }
      if (newest?.toKey === to && platform?.masterKey === to) {
        return view(db, newest);
      }
      if (platform === null || platform.masterKey === to) {
        throw new DomainError('WRONG_STATE', { message: `The master key is ${to} already.` });
      }
      const without = await withoutKey(db, to);
      if (without.length > 0) {
        throw new DomainError('WRONG_STATE', {
          message: `Not every agent has the master key ${to}: ${without.join(', ')}. Give it to them, or wait twenty seconds where they are gone.`,
        });
      }
      const rotation: KeyRotationEntity = {
        id: newId(),
        fromKey: platform.masterKey,
        toKey: to,
        askedBy: operator.username,
        askedAt: this.now(),
        begunAt: null,
        finishedAt: null,
      };
      await db.insert(KeyRotationEntity, rotation);
      await appendAudit(db, {
        actor,
        action: 'keys.rotate',
        target: { kind: 'platform', id: to },
        before: { master: rotation.fromKey },
        after: { master: to },
      });
      return view(db, rotation);
    });
  }

  /** Throws NOT_FOUND for one that gave way to another before it was begun. */
  async rotation(actor: Actor, id: string): Promise<RotationView> {
    requireOperator(actor);
    const rotation = await this.database.manager.findOneBy(KeyRotationEntity, { id });
    if (rotation === null) {
      throw new DomainError('NOT_FOUND', {
        message:
          'This rotation was not begun, and gave way to one to another master key: aviary keys status tells of that one.',
        details: { rotation: id },
      });
    }
    return view(this.database.manager, rotation);
  }
}

async function slugs(db: Tx, where: string, values: unknown[] = []): Promise<string[]> {
  const rows: { slug: string }[] = await db.query(`select t.slug from tenants t where ${where} order by 1`, values);
  return rows.map(({ slug }) => slug);
}

async function view(db: Tx, rotation: KeyRotationEntity): Promise<RotationView> {
  const { id, fromKey, toKey, askedBy, askedAt, begunAt, finishedAt } = rotation;
  return {
    id,
    from: fromKey,
    to: toKey,
    askedBy,
    askedAt: askedAt.toISOString(),
    begunAt: begunAt?.toISOString() ?? null,
    finishedAt: finishedAt?.toISOString() ?? null,
    total: await db.count(DataKeyEntity),
    left: await db.countBy(DataKeyEntity, { masterKey: fromKey }),
  };
}

/**
 * What came back of it would need that key too, which has to be kept until a newer backup is there. A backup taken while
 * a rotation went on needs both of its keys; what a rotation had to leave behind no newer backup would be without.
 */
async function backedUpUnder(db: Tx, present: string | null, there: readonly string[]): Promise<string | null> {
  const [newest] = await db.find(PortalBackupEntity, {
    where: { state: 'verified' },
    order: { takenAt: 'DESC' },
    take: 1,
  });
  const { masterKey, masterKeys } = newest?.manifest ?? {};
  if (typeof masterKey === 'string' && masterKey !== present) {
    return masterKey;
  }
  const others: unknown[] = Array.isArray(masterKeys) ? masterKeys : [];
  return others.find((id): id is string => typeof id === 'string' && !there.includes(id)) ?? null;
}

function requireOperator(actor: Actor): Extract<Actor, { kind: string; username: string }> {
  if (actor.kind !== 'operator') {
    throw new DomainError('FORBIDDEN');
  }
  return actor;
}
