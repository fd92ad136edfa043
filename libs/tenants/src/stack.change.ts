import type { EntityManager } from 'typeorm';
import { appendAudit } from '#libs/audit';
import {
  DomainError,
  type Accepted,
  type Actor,
  type HoldReason,
  type OperationKind,
  type StackView,
} from '#libs/contracts';
import { HoldEntity, TenantEntity, type Tx } from '#libs/db';
import { ownerScope } from './authorise.js';
import { requireRoomToRun } from './capacity.js';
import { DESIRED_AFTER, forbiddenByHold, isSameAs, type PhaseName } from './domain/operation-rules.js';
import { openOperation, startOperation } from './operation.start.js';
import type { TenantDeps } from './settings.js';
import { findTenants, stackViews } from './stack.repository.js';

/** A stack this actor may see. Throws NOT_FOUND for any other, as if it were not there. */
export async function findStack(db: EntityManager, actor: Actor, slug: string): Promise<TenantEntity> {
  const [tenant] = await findTenants(db, { accountId: ownerScope(actor), slug, limit: 1 });
  if (!tenant) {
    throw new DomainError('NOT_FOUND', { message: `There is no stack ${slug}, or it is not yours.` });
  }
  return tenant;
}

/**
 * The same with its row locked: two requests at once queue up here, and what is read is what the first one left.
 * Throws WRONG_STATE for one that is being destroyed, unless that is what is asked for.
 */
export async function lockStack(db: Tx, actor: Actor, slug: string, kind: OperationKind): Promise<TenantEntity> {
  await db.query('select from tenants where slug = $1 and ($2::uuid is null or account_id = $2) for update', [
    slug,
    ownerScope(actor),
  ]);
  const tenant = await findStack(db, actor, slug);
  if (tenant.desired === 'deleted' && kind !== 'destroy') {
    throw new DomainError('WRONG_STATE', {
      message: `${slug} is being destroyed.`,
      details: { why: 'destroying', desired: tenant.desired },
    });
  }
  return tenant;
}

export async function holdsOf(db: EntityManager, tenantId: string): Promise<HoldReason[]> {
  return (await db.findBy(HoldEntity, { tenantId })).map(({ reason }) => reason);
}

/** Throws WRONG_STATE where somebody holds the stack, and that would run it or a copy of it. */
export async function requireNotHeld(
  db: EntityManager,
  { id, slug }: Pick<TenantEntity, 'id' | 'slug'>,
  kind: OperationKind,
): Promise<void> {
  const holds = await holdsOf(db, id);
  if (forbiddenByHold(kind, holds)) {
    throw new DomainError('WRONG_STATE', {
      message: `${slug} is suspended, so nothing of it may run. Its page says why.`,
      details: { why: 'suspended', holds },
    });
  }
}

export interface Order {
  tenant: TenantEntity;
  kind: OperationKind;
  actor: Actor;
  /** For the audit, besides what is wanted. */
  before?: object;
  after?: object;
  /** Phases it does not need this time. */
  leaveOut?: readonly PhaseName[];
  input?: Record<string, unknown>;
}

/**
 * Starts the operation, changes what is wanted and writes down who asked, for a stack that is locked; one that
 * leads to a state and is open already is given to whoever asks for it again. Throws
 * TENANT_BUSY, WRONG_STATE for what a hold forbids, and NO_CAPACITY for what would run and has no room.
 */
export async function orderOperation(db: Tx, deps: TenantDeps, order: Order): Promise<Accepted> {
  return accepted(db, deps, order.tenant, await placeOrder(db, deps, order));
}

/** As `orderOperation`, for whoever needs no more than the operation's id. `tenant` is as it is then. */
export async function placeOrder(
  db: Tx,
  deps: Pick<TenantDeps, 'queue' | 'now'>,
  { tenant, kind, actor, before, after, leaveOut = [], input }: Order,
): Promise<string> {
  await requireNotHeld(db, tenant, kind);
  const open = await openOperation(db, tenant.id);
  if (open && open.cancelRequestedAt === null && isSameAs(kind, open.kind)) {
    return open.id;
  }
  const desired = DESIRED_AFTER[kind] ?? tenant.desired;
  if (desired === 'running' && tenant.desired !== 'running') {
    await requireRoomToRun(db, tenant);
  }
  const operation = await startOperation(db, deps.queue, {
    tenant,
    kind,
    actor,
    leaveOut,
    ...(input === undefined ? {} : { input }),
    now: deps.now(),
  });
  await db.update(TenantEntity, { id: tenant.id }, { desired });
  if (kind === 'start' || kind === 'restart') {
    // The breaker waits for a person, and here one is.
    await db.delete(HoldEntity, { tenantId: tenant.id, reason: 'breaker' });
  }
  await appendAudit(db, {
    actor,
    action: `stack.${kind}`,
    target: { kind: 'stack', id: tenant.id },
    before: { desired: tenant.desired, ...before },
    after: { desired, slug: tenant.slug, ...after },
  });
  Object.assign(tenant, { desired });
  return operation.id;
}

export async function viewOf(db: EntityManager, deps: TenantDeps, tenant: TenantEntity): Promise<StackView> {
  const [view] = await stackViews(db, [tenant], deps.places, deps.now());
  if (!view) {
    throw new DomainError('NOT_FOUND');
  }
  return view;
}

/** The answer to whoever asked for that operation. */
export async function accepted(
  db: EntityManager,
  deps: TenantDeps,
  tenant: TenantEntity,
  operationId: string,
): Promise<Accepted> {
  const stack = await viewOf(db, deps, tenant);
  if (stack.openOperation?.id !== operationId) {
    throw new DomainError('LOST_RACE');
  }
  return { stack, operation: stack.openOperation };
}
