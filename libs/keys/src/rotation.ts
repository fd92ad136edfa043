import { appendAudit } from '#libs/audit';
import { DomainError } from '#libs/contracts';
import { DataKeyEntity, KeyRotationEntity, PortalBackupEntity, tx, type Tx } from '#libs/db';
import { IsNull, Not } from 'typeorm';
import { PLATFORM } from './data-keys.js';
import { withoutKey } from './holders.js';
import type { KeyWorkDeps, PortalRepositoryKeys } from './deps.js';
import { masterKeyOf } from './master-keys.js';
import { Resealer } from './reseal.js';

/** Small, so that a stack that is made meanwhile waits for a few milliseconds at most. */
const BATCH = 50;

type Ways = Pick<KeyRotationEntity, 'fromKey' | 'toKey'>;

/**
 * Brings every secret under its stack's data key and every data key under the master key that is to be. Any number of
 * processes may do it at once and each may end anywhere: every batch is one transaction that moves what is still under
 * the old key, and what is under the new one is left.
 */
export class KeyWork {
  /** Whose key did not open: looked at again by the next life of this process. */
  private readonly damaged = new Set<string>();
  private readonly resealer: Resealer;

  constructor(private readonly deps: KeyWorkDeps) {
    this.resealer = new Resealer(deps);
  }

  /** All that is to be done now. Throws WRONG_STATE while another agent has not got the next key. */
  async turn(signal: AbortSignal): Promise<void> {
    const { database, masters } = this.deps;
    const rotation = await database.manager.findOneBy(KeyRotationEntity, { finishedAt: IsNull() });
    await this.resealer.all(signal, rotation !== null);
    if (rotation === null) {
      await this.stragglers(signal);
      return;
    }
    const { fromKey, toKey } = rotation;
    const [from, to] = [masterKeyOf(masters, fromKey), masterKeyOf(masters, toKey)];
    if (from === null || to === null) {
      throw new DomainError('WRONG_STATE', {
        message: `The master key ${from === null ? fromKey : toKey} was not given to this agent, so data keys stay where they are.`,
      });
    }
    // First: where the place of backups is away nothing is moved, and the old key goes on to be the one that counts.
    const repository = await this.repository();
    await repository?.admit(toKey, signal);
    if (!(await this.begin(rotation))) {
      return;
    }
    while (!signal.aborted && (await this.rewrap(rotation)) > 0) {
      this.deps.committed?.();
    }
    if (!signal.aborted) {
      await repository?.retireOthers(toKey, signal);
      await this.finish(rotation);
    }
  }

  /** Of the portal's own backups, where any was ever begun. */
  private async repository(): Promise<PortalRepositoryKeys | null> {
    const { database, repository } = this.deps;
    const begun = await database.manager.existsBy(PortalBackupEntity, { begunAt: Not(IsNull()) });
    return begun ? (repository ?? null) : null;
  }

  /** A data key that a person brought back from a copy of before the last rotation, while both keys are given. */
  private async stragglers(signal: AbortSignal): Promise<void> {
    const { database, masters } = this.deps;
    const platform = await database.manager.findOneBy(DataKeyEntity, { owner: PLATFORM });
    for (const key of [masters.current, masters.next]) {
      if (platform !== null && key !== null && key.id !== platform.masterKey) {
        while (!signal.aborted && (await this.bringBack(key.id)) > 0) {
          this.deps.committed?.();
        }
      }
    }
  }

  /**
   * A batch of what is under that key goes under the platform's. Which that is, and that no rotation is asked for, holds
   * until the batch is written: by a look from before one began, what it moved would be taken back.
   */
  private async bringBack(fromKey: string): Promise<number> {
    return tx(this.deps.database, async (db) => {
      const platform = await db.findOne(DataKeyEntity, {
        where: { owner: PLATFORM },
        lock: { mode: 'pessimistic_read' },
      });
      const open = await db.existsBy(KeyRotationEntity, { finishedAt: IsNull() });
      return platform === null || platform.masterKey === fromKey || open
        ? 0
        : this.rewrapIn(db, { fromKey, toKey: platform.masterKey });
    });
  }

  /**
   * The platform's own data key goes first: from then on whoever makes a data key wraps it under the new one. Gives
   * false where the rotation was given up meanwhile.
   */
  private async begin({ id, fromKey, toKey }: KeyRotationEntity): Promise<boolean> {
    const begun = await tx(this.deps.database, async (db): Promise<'now' | 'before' | 'never'> => {
      const platform = await db.findOneOrFail(DataKeyEntity, {
        where: { owner: PLATFORM },
        lock: { mode: 'pessimistic_write' },
      });
      if (!(await db.existsBy(KeyRotationEntity, { id }))) {
        return 'never';
      }
      if (platform.masterKey === toKey) {
        return 'before';
      }
      const without = await withoutKey(db, toKey);
      if (without.length > 0) {
        throw new DomainError('WRONG_STATE', {
          message: `The master key ${toKey} was not given to every agent: ${without.join(', ')}.`,
        });
      }
      if (platform.masterKey !== fromKey || !(await this.move(db, platform, toKey))) {
        throw new DomainError('KEY_LOST', { message: 'The platform’s data key is not under the key rotated from.' });
      }
      await db.update(KeyRotationEntity, { id }, { begunAt: this.deps.now() });
      this.deps.logger.info({ from: fromKey, to: toKey }, 'the master key is being rotated');
      return 'now';
    });
    if (begun === 'now') {
      this.deps.committed?.();
    }
    return begun !== 'never';
  }

  private rewrap(rotation: Ways): Promise<number> {
    return tx(this.deps.database, (db) => this.rewrapIn(db, rotation));
  }

  private async rewrapIn(db: Tx, { fromKey, toKey }: Ways): Promise<number> {
    const rows = await db
      .createQueryBuilder(DataKeyEntity, 'k')
      .where('k.masterKey = :fromKey', { fromKey })
      .andWhere('not (k.owner = any(:damaged))', { damaged: [...this.damaged] })
      .orderBy('k.owner')
      .limit(this.deps.batch ?? BATCH)
      .setLock('pessimistic_write')
      .getMany();
    for (const row of rows) {
      if (!(await this.move(db, row, toKey))) {
        this.damaged.add(row.owner);
        this.deps.logger.error({ tenant: row.owner }, 'a data key is damaged: the secrets of this stack are lost');
      }
    }
    return rows.length;
  }

  private async move(db: Tx, { owner, masterKey, wrapped }: DataKeyEntity, toKey: string): Promise<boolean> {
    const { masters, now } = this.deps;
    const [from, to] = [masterKeyOf(masters, masterKey), masterKeyOf(masters, toKey)];
    let dataKey: Buffer | undefined;
    try {
      dataKey = from?.unwrap(owner, wrapped);
    } catch (error) {
      this.deps.logger.error({ err: error, owner }, 'a data key could not be unwrapped');
    }
    if (!dataKey || !to) {
      return false;
    }
    const moved = { masterKey: to.id, wrapped: to.wrap(owner, dataKey), wrappedAt: now() };
    await db.update(DataKeyEntity, { owner, masterKey }, moved);
    return true;
  }

  private async finish({ id, fromKey, toKey }: KeyRotationEntity): Promise<void> {
    const { database, now, logger } = this.deps;
    await tx(database, async (db) => {
      const left = await db.findBy(DataKeyEntity, { masterKey: fromKey });
      const lost = left.map(({ owner }) => owner);
      if (lost.some((owner) => !this.damaged.has(owner))) {
        // Another process had it locked, or it was made before the beginning was seen: the next turn takes it.
        return;
      }
      const { affected } = await db.update(KeyRotationEntity, { id, finishedAt: IsNull() }, { finishedAt: now() });
      if (affected === 1) {
        await appendAudit(db, {
          actor: { kind: 'system', name: 'keys' },
          action: 'keys.rotated',
          target: { kind: 'platform', id: toKey },
          before: { master: fromKey },
          after: { master: toKey, lost },
        });
        logger.info({ from: fromKey, to: toKey, lost }, 'the master key is rotated');
      }
    });
  }
}
