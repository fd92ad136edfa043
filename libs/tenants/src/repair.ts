import type { EntityManager } from 'typeorm';
import { appendAudit } from '#libs/audit';
import type { Actor } from '#libs/contracts';
import { HoldEntity, OperationEntity, TenantEntity, tx, type Database, type Tx } from '#libs/db';
import type { Queue } from '#libs/jobs';
import { startOperation } from './operation.start.js';
import { isAwaited } from './recovering.js';

const RECONCILER: Actor = { kind: 'system', name: 'reconciler' };

interface RepairDeps {
  dataSource: Database;
  queue: Pick<Queue, 'enqueue'>;
}

interface TellingDeps extends RepairDeps {
  /** Origin of the portal, for the link in the mail. */
  portalUrl: string;
}

/**
 * Starts a repair of the stack, or its destroy anew where it is to be gone, unless something is at work on it. Gives
 * the operation's id, or null where there was nothing to start.
 */
export async function startRepair(
  { dataSource, queue }: RepairDeps,
  tenantId: string,
  now: Date,
): Promise<string | null> {
  return tx(dataSource, async (db) => {
    const tenant = await db.findOne(TenantEntity, { where: { id: tenantId }, lock: { mode: 'pessimistic_write' } });
    if (!tenant || (await isBusy(db, tenantId))) {
      return null;
    }
    const kind = tenant.desired === 'deleted' ? 'destroy' : 'repair';
    return (await startOperation(db, queue, { tenant, kind, actor: RECONCILER, now })).id;
  });
}

export interface Broken {
  code: 'CRASH_LOOP' | 'OUT_OF_MEMORY' | 'REPAIRS_FAILED' | 'DISK_OVERRUN';
  message: string;
  params: Record<string, string | number>;
}

/**
 * Holds the stack until a person starts it, says why on its row, in the audit and to its owner, and starts the repair
 * that stops it.
 * False where it is held already or something is at work on it.
 */
export async function breakStack(deps: TellingDeps, tenantId: string, broken: Broken, now: Date): Promise<boolean> {
  return tx(deps.dataSource, async (db) => {
    const tenant = await db.findOne(TenantEntity, { where: { id: tenantId }, lock: { mode: 'pessimistic_write' } });
    const held = await db.existsBy(HoldEntity, { tenantId, reason: 'breaker' });
    if (!tenant || tenant.desired !== 'running' || held || (await isBusy(db, tenantId))) {
      return false;
    }
    const { code, message, params } = broken;
    await db.insert(HoldEntity, { tenantId, reason: 'breaker', note: message, createdAt: now });
    await db.update(TenantEntity, { id: tenantId }, { reason: message, reasonCode: code, reasonParams: params });
    await startOperation(db, deps.queue, { tenant, kind: 'repair', actor: RECONCILER, now });
    await tellOwner(db, deps, tenantId);
    await appendAudit(db, {
      actor: RECONCILER,
      action: 'stack.broken',
      target: { kind: 'stack', id: tenantId },
      // Not its last words: what stands here can never be removed, and a tenant's log may say anything.
      after: {
        slug: tenant.slug,
        code,
        ...Object.fromEntries(Object.entries(params).filter(([key]) => key !== 'log')),
      },
    });
    return true;
  });
}

/**
 * Before a reason is written on the stack's row, in that transaction: where it is the first to say that data is gone,
 * the audit and the owner hear of it, whoever found it, a look or an operation.
 */
export async function tellLoss(
  db: Tx,
  deps: Omit<TellingDeps, 'dataSource'>,
  { tenantId, reason }: { tenantId: string; reason: (Pick<Broken, 'params'> & { code: string }) | null },
): Promise<void> {
  if (reason?.code !== 'DATA_MISSING') {
    return;
  }
  const tenant = await db.findOneBy(TenantEntity, { id: tenantId });
  if (!tenant || tenant.reasonCode === 'DATA_MISSING') {
    return;
  }
  await appendAudit(db, {
    actor: RECONCILER,
    action: 'stack.data_missing',
    target: { kind: 'stack', id: tenantId },
    after: { slug: tenant.slug, ...reason.params },
  });
  await tellOwner(db, deps, tenantId);
}

/** In the transaction that finds out, so that the owner is told once. */
async function tellOwner(
  db: Tx,
  { queue, portalUrl }: Omit<TellingDeps, 'dataSource'>,
  stackId: string,
): Promise<void> {
  await queue.enqueue(db, 'mail.stack', { stackId, portalUrl });
}

/** Whether something is at work on it, or about to be: nothing is mended before a recovery has decided on it. */
export async function isBusy(db: EntityManager, tenantId: string): Promise<boolean> {
  const open = await db.exists(OperationEntity, {
    where: [
      { tenantId, exclusive: true, state: 'queued' },
      { tenantId, exclusive: true, state: 'running' },
    ],
  });
  return open || isAwaited(db, tenantId);
}
