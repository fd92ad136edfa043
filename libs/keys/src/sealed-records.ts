import type { MasterKey } from '#libs/crypto';
import type { Tx } from '#libs/db';
import { repositoryContext, secretContext } from './data-keys.js';

/** A value that was sealed under the master key itself, and where it stands. */
export interface SealedRecord {
  tenantId: string;
  context: string;
  sealed: Buffer;
}

interface Row {
  tenant_id: string;
  name: string | null;
  sealed: Buffer;
}

/** One of each stack that has any, of at most so many stacks. */
export async function sealedRecords(db: Tx, stacks: number): Promise<SealedRecord[]> {
  const rows: Row[] = await db.query(
    `select distinct on (tenant_id) tenant_id, name, sealed from (
       select tenant_id, name, sealed from tenant_secrets where get_byte(sealed, 0) = 1
       union all select tenant_id, name, previous from tenant_secrets where get_byte(previous, 0) = 1
       union all select tenant_id, null, sealed from repositories where get_byte(sealed, 0) = 1) as records
     order by tenant_id limit $1`,
    [stacks],
  );
  return rows.map(({ tenant_id: tenantId, name, sealed }) => ({
    tenantId,
    context: name === null ? repositoryContext(tenantId) : secretContext(tenantId, name),
    sealed,
  }));
}

/** Null where it does not open: another's key, or damaged. */
export function readRecord(master: MasterKey, { context, sealed }: Omit<SealedRecord, 'tenantId'>): string | null {
  try {
    return master.openRecord(context, sealed).toString();
  } catch {
    // That it does not open is the answer.
    return null;
  }
}
