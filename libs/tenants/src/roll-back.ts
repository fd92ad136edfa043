import type { Actor, ErrorBody } from '#libs/contracts';
import { TenantEntity, UpgradeFailureEntity, type OperationEntity, type Tx } from '#libs/db';
import type { Queue } from '#libs/jobs';
import { leadBack } from './lead-back.js';
import { startOperation } from './operation.start.js';

/** `why` of an upgrade that ended since something of its stack was started by hand while its data was carried. */
export const STARTED_MEANWHILE = 'started_meanwhile';
const GATE: Actor = { kind: 'system', name: 'health-gate' };

type Ended = Pick<ErrorBody, 'message' | 'details'>;

const NO_FAULT: readonly unknown[] = ['withdrawn', STARTED_MEANWHILE];
/** Whether it says something of the release, rather than that somebody did not want it any more or was in its way. */
const isFault = ({ details }: Ended): boolean => !NO_FAULT.includes(details['why']);

/**
 * Leads a stack back to the release it had before an upgrade that ended half-way, in the transaction that ends the
 * upgrade. Where the release failed, it notes that the same is not tried again; one that somebody withdrew, or was in
 * the way of, may be. Gives the rollback's id, or null where the stack is to be gone meanwhile.
 */
export async function startRollback(
  db: Tx,
  queue: Pick<Queue, 'enqueue'>,
  { upgrade, error, now }: { upgrade: OperationEntity; error: Ended; now: Date },
): Promise<string | null> {
  const { from, to } = upgrade.input as { from: string; to: string };
  const tenant = await db.findOneBy(TenantEntity, { id: upgrade.tenantId });
  if (!tenant || tenant.desired === 'deleted') {
    return null;
  }
  if (isFault(error)) {
    const { message } = error;
    await db.upsert(
      UpgradeFailureEntity,
      { tenantId: tenant.id, fromRelease: from, toRelease: to, operationId: upgrade.id, message, at: now },
      ['tenantId', 'fromRelease', 'toRelease'],
    );
  }
  await leadBack(db, upgrade.id);
  const input = { from: to, to: from, upgrade: upgrade.id };
  const operation = await startOperation(db, queue, {
    tenant: Object.assign(tenant, { releaseId: from }),
    kind: 'rollback',
    actor: GATE,
    now,
    input,
  });
  return operation.id;
}
