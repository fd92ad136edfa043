import { DomainError } from '#libs/contracts';
import { isUnderMasterKey, newDataKey, open, seal } from '#libs/crypto';
import { DataKeyEntity, type Tx } from '#libs/db';
import { masterKeyOf, type MasterKeys } from './master-keys.js';

/** Whose data key is no stack's. */
export const PLATFORM = 'platform';

type WrappedKey = Pick<DataKeyEntity, 'masterKey' | 'wrapped'>;

const GONE = 'it has none any more';

/** What a sealed value is, authenticated with it: none can be put into another's place. */
export const secretContext = (tenantId: string, name: string): string => `tenant/${tenantId}/${name}`;
export const repositoryContext = (tenantId: string): string => `repository/${tenantId}`;

/** Opens and seals what is of one stack. */
export interface StackKey {
  /** Throws KEY_LOST where the value, its place or the stack's data key is not the one it was sealed with. */
  open(context: string, sealed: Buffer): string;
  seal(context: string, plain: string): Buffer;
}

/** The data keys of stacks, unwrapped for as long as they are used: a stack's own is all that its secrets need. */
export class DataKeys {
  constructor(readonly masters: MasterKeys) {}

  /** To open with. Without a data key, what was sealed before there were any still opens. */
  async of(db: Tx, tenantId: string): Promise<StackKey> {
    const row = await db.findOneBy(DataKeyEntity, { owner: tenantId });
    return this.stackKey(tenantId, row);
  }

  /**
   * To seal with as well; made where the stack has none yet. Throws KEY_LOST where it had one: a new one would hide that
   * what was sealed under it is gone.
   */
  async ensure(db: Tx, tenantId: string, now: Date): Promise<StackKey> {
    let row = await db.findOneBy(DataKeyEntity, { owner: tenantId });
    if (row === null) {
      await this.make(db, tenantId, now);
      row = await db.findOneByOrFail(DataKeyEntity, { owner: tenantId });
    }
    return this.stackKey(tenantId, row);
  }

  /** Stacks of the engine that have something sealed which their data key does not open any more, and why it does not. */
  async lost(db: Tx, engineId: string): Promise<{ slug: string; why: string }[]> {
    const rows: { id: string; slug: string; masterKey: string | null; wrapped: Buffer | null }[] = await db.query(
      `select t.id, t.slug, k.master_key as "masterKey", k.wrapped
         from tenants t left join data_keys k on k.owner = t.id::text
        where t.engine_id = $1
          and (k.owner is not null
            or exists (select from tenant_secrets s where s.tenant_id = t.id and get_byte(s.sealed, 0) = 2)
            or exists (select from repositories r where r.tenant_id = t.id and get_byte(r.sealed, 0) = 2))
        order by t.slug`,
      [engineId],
    );
    return rows.flatMap(({ id, slug, masterKey, wrapped }) => {
      if (masterKey === null || wrapped === null) {
        return [{ slug, why: GONE }];
      }
      const found = this.unwrapping(id, { masterKey, wrapped });
      return 'why' in found ? [{ slug, why: found.why }] : [];
    });
  }

  private async make(db: Tx, tenantId: string, now: Date): Promise<void> {
    const sealed: { there: boolean }[] = await db.query(
      `select exists (select from tenant_secrets where tenant_id = $1 and get_byte(sealed, 0) = 2)
           or exists (select from repositories where tenant_id = $1 and get_byte(sealed, 0) = 2) as there`,
      [tenantId],
    );
    if (sealed[0]?.there) {
      throw lost(tenantId, GONE);
    }
    // Shared until this transaction ends, so that a rotation begins either before this key is made or after it is seen.
    const [platform]: { id: string }[] = await db.query(
      `select master_key as id from data_keys where owner = $1 for share`,
      [PLATFORM],
    );
    const master = masterKeyOf(this.masters, platform?.id ?? '');
    if (master === null) {
      throw new DomainError('CONFIG_INVALID', {
        message: `The master key ${platform?.id ?? 'of this platform'} was not given to this process: restart it with the settings of now.`,
      });
    }
    await db
      .createQueryBuilder()
      .insert()
      .into(DataKeyEntity)
      .values({
        owner: tenantId,
        tenantId,
        masterKey: master.id,
        wrapped: master.wrap(tenantId, newDataKey()),
        createdAt: now,
        wrappedAt: now,
      })
      .orIgnore()
      .execute();
  }

  private stackKey(tenantId: string, row: WrappedKey | null): StackKey {
    const dataKey = row === null ? null : this.unwrapped(tenantId, row);
    const need = (): Buffer => {
      if (dataKey === null) {
        throw lost(tenantId, 'it has none');
      }
      return dataKey;
    };
    return {
      open: (context, sealed) => {
        const key = isUnderMasterKey(sealed) ? null : need();
        try {
          return (key === null ? this.openRecord(context, sealed) : open(key, context, sealed)).toString();
        } catch (cause) {
          throw lost(tenantId, 'what was sealed is damaged', cause);
        }
      },
      seal: (context, plain) => seal(need(), context, plain),
    };
  }

  private unwrapped(tenantId: string, row: WrappedKey): Buffer {
    const found = this.unwrapping(tenantId, row);
    if ('why' in found) {
      throw lost(tenantId, found.why, found.cause);
    }
    return found.dataKey;
  }

  private unwrapping(tenantId: string, row: WrappedKey): { dataKey: Buffer } | { why: string; cause?: unknown } {
    const master = masterKeyOf(this.masters, row.masterKey);
    if (master === null) {
      return { why: `it is under the master key ${row.masterKey}, which was not given` };
    }
    try {
      return { dataKey: master.unwrap(tenantId, row.wrapped) };
    } catch (cause) {
      return { why: 'it is damaged', cause };
    }
  }

  private openRecord(context: string, sealed: Buffer): Buffer {
    const { current, next } = this.masters;
    try {
      return current.openRecord(context, sealed);
    } catch (error) {
      if (next === null) {
        throw error;
      }
      return next.openRecord(context, sealed);
    }
  }
}

function lost(tenantId: string, why: string, cause?: unknown): DomainError {
  return new DomainError('KEY_LOST', {
    message: `What is sealed for this stack does not open with its data key: ${why}. Other stacks are not concerned. See docs/operate.md, “Keys”.`,
    details: { tenantId },
    ...(cause === undefined ? {} : { cause }),
  });
}
