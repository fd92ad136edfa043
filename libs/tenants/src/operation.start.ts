import { In, type EntityManager } from 'typeorm';
import { actorName, type Actor, type OperationKind } from '#libs/contracts';
import { DomainError } from '#libs/contracts';
import { newId, OperationEntity, OperationStepEntity, type TenantEntity } from '#libs/db';
import type { Queue } from '#libs/jobs';
import {
  desiredBefore,
  isShared,
  OPERATION_PHASES,
  operationDeadlineMs,
  preempts,
  type PhaseName,
} from './domain/operation-rules.js';
import { phaseOf } from './operation.repository.js';

interface StartInput {
  tenant: TenantEntity;
  kind: OperationKind;
  actor: Actor;
  now: Date;
  /** Phases it does not need this time; shown as skipped from the first moment. */
  leaveOut?: readonly PhaseName[];
  /** What it is about besides its stack. */
  input?: Record<string, unknown>;
}

/** Why what was under way did not come to its end. */
function insteadOf(kind: OperationKind): { why: string; message: string } {
  const done = { destroy: 'destroyed', suspend: 'suspended', stop: 'stopped' };
  return kind === 'destroy' || kind === 'suspend' || kind === 'stop'
    ? { why: kind, message: `The stack is being ${done[kind]} instead.` }
    : { why: 'preempted', message: `A ${kind} was asked for instead.` };
}

/** Ends what is open on the stack, so that this one can take its place. Their holders are fenced off at once. */
async function cancelOpen(tx: EntityManager, tenantId: string, kind: OperationKind, now: Date): Promise<void> {
  const { why, message } = insteadOf(kind);
  // A release that has not shown that it works is nothing to come back to.
  await tx.query(
    `update tenants t set release_id = o.input ->> 'from' from operations o
      where t.id = $1 and o.tenant_id = t.id and o.kind = 'upgrade' and o.state in ('queued', 'running')`,
    [tenantId],
  );
  await tx.query(
    `update operations set state = 'cancelled', finished_at = $2, fencing = fencing + 1, lease_owner = null, lease_expires_at = null,
            error = jsonb_build_object('code', 'OPERATION_CANCELLED', 'message', $3::text, 'errorId', id::text, 'details', jsonb_build_object('why', $4::text))
      where tenant_id = $1 and state in ('queued', 'running')`,
    [tenantId, now, message, why],
  );
  await tx.query(
    `update operation_steps set state = 'skipped', finished_at = $2
      where state in ('pending', 'running') and operation_id in (select id from operations where tenant_id = $1 and state = 'cancelled')`,
    [tenantId, now],
  );
  // One that is stored whole may be proven by a later one; what came less far will never be.
  await tx.query(
    `update backups b set state = 'failed', error = jsonb_build_object('code', 'OPERATION_CANCELLED', 'message', $2::text)
       from operations o
      where b.tenant_id = $1 and b.operation_id = o.id and o.state = 'cancelled' and b.state in ('taking', 'dumped')`,
    [tenantId, message],
  );
}

/** The exclusive operation that is open on the stack, locked until the transaction ends. */
export function openOperation(tx: EntityManager, tenantId: string): Promise<OperationEntity | null> {
  return tx.findOne(OperationEntity, {
    where: [
      { tenantId, exclusive: true, state: 'queued' },
      { tenantId, exclusive: true, state: 'running' },
    ],
    lock: { mode: 'pessimistic_write' },
  });
}

/** What goes on beside it, holding nobody up. */
function openBeside(tx: EntityManager, tenantId: string): Promise<OperationEntity | null> {
  return tx.findOneBy(OperationEntity, { tenantId, exclusive: false, state: In(['queued', 'running']) });
}

function busy(slug: string, { id, kind, createdAt }: OperationEntity): DomainError {
  const since = createdAt.toISOString();
  return new DomainError('TENANT_BUSY', {
    message: `A ${kind} of ${slug} is under way since ${since}. Wait for it, or cancel it.`,
    details: { operationId: id, kind, since },
  });
}

/**
 * Inserts the operation with its phases and enqueues the job that looks at it, in the caller's transaction.
 * Throws TENANT_BUSY (details: kind and since when) while another exclusive one is open whose place it may not take.
 */
export async function startOperation(
  tx: EntityManager,
  queue: Pick<Queue, 'enqueue'>,
  input: StartInput,
): Promise<OperationEntity> {
  const { tenant, kind, actor, now } = input;
  const open = await openOperation(tx, tenant.id);
  const shared = isShared(kind);
  if (open && (shared || !preempts(kind, { kind: open.kind, phase: await phaseOf(tx, open.id) }))) {
    throw busy(tenant.slug, open);
  }
  const beside = shared ? await openBeside(tx, tenant.id) : null;
  if (beside) {
    throw busy(tenant.slug, beside);
  }
  if (!shared) {
    await cancelOpen(tx, tenant.id, kind, now);
  }
  const operation = Object.assign(new OperationEntity(), {
    id: newId(),
    tenantId: tenant.id,
    slug: tenant.slug,
    accountId: tenant.accountId,
    engineId: tenant.engineId,
    kind,
    state: 'queued',
    exclusive: !shared,
    requestedBy: actorName(actor),
    input: input.input ?? null,
    createdAt: now,
    startedAt: null,
    finishedAt: null,
    deadlineAt: new Date(now.getTime() + operationDeadlineMs(kind)),
    cancelRequestedAt: null,
    desiredBefore: shared ? null : desiredBefore(kind, tenant.desired),
    notBefore: null,
    leaseOwner: null,
    leaseExpiresAt: null,
    fencing: 0,
    attempts: 0,
    error: null,
  } satisfies OperationEntity);
  await tx
    .createQueryBuilder()
    .insert()
    .into(OperationEntity)
    .values(operation as object)
    .execute();
  await tx.insert(
    OperationStepEntity,
    OPERATION_PHASES[kind].map((phase, index) => ({
      operationId: operation.id,
      // Actions of a phase are numbered between it and the next one.
      seq: index * 1_000,
      phase: phase.name,
      action: null,
      target: null,
      state: input.leaveOut?.includes(phase.name) ? ('skipped' as const) : ('pending' as const),
      startedAt: null,
      finishedAt: null,
      detail: null,
    })),
  );
  await queue.enqueue(
    tx,
    'engine.operation',
    { operationId: operation.id },
    // One waiting job is enough, however often the agent's sweeper looks.
    { engineId: tenant.engineId, singletonKey: operation.id },
  );
  return operation;
}
