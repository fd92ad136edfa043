import { isDomainError } from '#libs/contracts';
import { isUnderMasterKey } from '#libs/crypto';
import { RepositoryEntity, TenantSecretEntity, tx, type Tx } from '#libs/db';
import { DataKeys, repositoryContext, secretContext, type StackKey } from './data-keys.js';
import type { KeyWorkDeps } from './deps.js';

const BATCH = 50;
/** Nothing seals the old way any more but an agent of an earlier version that still runs. */
const LOOK_AGAIN_MS = 60_000;

/** Brings under its stack's data key what was sealed under the master key itself, a stack in each transaction. */
export class Resealer {
  /** Of whom something did not open: left as it is. */
  private readonly damaged = new Set<string>();
  private readonly keys: DataKeys;
  private doneAt: number | null = null;

  constructor(private readonly deps: KeyWorkDeps) {
    this.keys = new DataKeys(deps.masters);
  }

  /** `now`: also where it was seen a moment ago that there is nothing to do. */
  async all(signal: AbortSignal, now = false): Promise<void> {
    if (!now && this.doneAt !== null && performance.now() - this.doneAt < LOOK_AGAIN_MS) {
      return;
    }
    for (;;) {
      const stacks = await this.due();
      if (stacks.length === 0) {
        this.doneAt = performance.now();
        return;
      }
      for (const tenantId of stacks) {
        if (signal.aborted) {
          return;
        }
        await this.stack(tenantId);
        this.deps.committed?.();
      }
    }
  }

  private async due(): Promise<string[]> {
    const rows: { id: string }[] = await this.deps.database.query(
      `select id from (
         select tenant_id as id from tenant_secrets where get_byte(sealed, 0) = 1 or get_byte(previous, 0) = 1
         union select tenant_id from repositories where get_byte(sealed, 0) = 1) as stacks
       where not (id = any($1::uuid[])) order by id limit $2`,
      [[...this.damaged], BATCH],
    );
    return rows.map(({ id }) => id);
  }

  private async stack(tenantId: string): Promise<void> {
    const { database, logger, now } = this.deps;
    let whole = true;
    try {
      whole = await tx(database, async (db) => this.sealAnew(db, tenantId, now()));
    } catch (error) {
      if (!isDomainError(error, 'KEY_LOST')) {
        throw error;
      }
      whole = false;
      logger.error({ err: error, tenant: tenantId }, 'the data key of a stack is lost');
    }
    if (!whole) {
      this.damaged.add(tenantId);
      logger.error({ tenant: tenantId }, 'a secret of a stack does not open and was left as it is');
    }
  }

  private async sealAnew(db: Tx, tenantId: string, now: Date): Promise<boolean> {
    const lock = { mode: 'pessimistic_write' } as const;
    const secrets = await db.find(TenantSecretEntity, { where: { tenantId }, lock });
    const repository = await db.findOne(RepositoryEntity, { where: { tenantId }, lock });
    if (secrets.length === 0 && repository === null) {
      // Destroyed meanwhile.
      return true;
    }
    const key = await this.keys.ensure(db, tenantId, now);
    let whole = true;
    const anew = (context: string, sealed: Buffer): Buffer => {
      try {
        return resealed(key, context, sealed);
      } catch (error) {
        if (!isDomainError(error, 'KEY_LOST')) {
          throw error;
        }
        whole = false;
        return sealed;
      }
    };
    for (const { name, sealed, previous } of secrets) {
      const context = secretContext(tenantId, name);
      await db.update(
        TenantSecretEntity,
        { tenantId, name },
        { sealed: anew(context, sealed), previous: previous && anew(context, previous) },
      );
    }
    if (repository !== null) {
      await db.update(RepositoryEntity, { tenantId }, { sealed: anew(repositoryContext(tenantId), repository.sealed) });
    }
    return whole;
  }
}

function resealed(key: StackKey, context: string, sealed: Buffer): Buffer {
  return isUnderMasterKey(sealed) ? key.seal(context, key.open(context, sealed)) : sealed;
}
