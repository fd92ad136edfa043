import { In, type EntityManager } from 'typeorm';
import { actorName, DomainError, OPEN_EXPORT_STATES, type Actor, type OperationKind } from '#libs/contracts';
import { newId, OperationEntity, OperationStepEntity, type TenantEntity } from '#libs/db';
import type { Queue } from '#libs/jobs';
import { downloadBusy } from './domain/export-rules.js';
import {
  desiredBefore,
  isShared,
  OPERATION_PHASES,
  operationDeadlineMs,
  preempts,
  removesBackups,
  type PhaseName,
} from './domain/operation-rules.js';
import { endDownloads } from './exports/export.end.js';
import { phaseOf } from './operation.repository.js';
import { leadBack } from './lead-back.js';
import { requireDecided } from './recovering.js';

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
  const open = await tx.findBy(OperationEntity, { tenantId, kind: 'upgrade', state: In(['queued', 'running']) });
  for (const { id } of open) {
    await leadBack(tx, id);
  }
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
 * A repository is read without a lock while a copy is made of it or a backup is downloaded, so what removes from it must
 * not be under way beside. Both are ordered behind the lock of the stack's row. Throws TENANT_BUSY.
 */
export async function requireNoPrune(tx: EntityManager, { id, slug }: TenantEntity): Promise<void> {
  const beside = await openBeside(tx, id);
  if (beside?.kind === 'prune') {
    throw busy(slug, beside);
  }
}

/** Whether `copy`, an operation, makes a copy of the stack of that id: it reads the stack's repository. */
const copies = (copy: string, tenantId: string): string =>
  `${copy}.kind = 'clone' and ${copy}.state in ('queued', 'running') and ${copy}.input ->> 'source' = ${tenantId}::text`;

/** Whether a backup of the stack of that id is downloaded. */
const downloads = (download: string, tenantId: string): string =>
  `${download}.state = 'sending' and ${download}.tenant_id = ${tenantId} and ${download}.alive_until > now()`;

/**
 * Whether the stack's repository is read by what makes a copy of it, or by who downloads a backup; `alias` is the
 * stack's in the statement.
 */
export const isRead = (alias: string): string =>
  `(exists (select from operations copy where ${copies('copy', `${alias}.id`)})
    or exists (select from exports download where ${downloads('download', `${alias}.id`)}))`;

/** Whoever insists destroys the copy first, which takes the place of what makes it. */
async function requireNoCopy(tx: EntityManager, { id, slug }: TenantEntity): Promise<void> {
  const [copy] = await tx.query<{ id: string; slug: string; since: Date }[]>(
    `select copy.id, copy.slug, copy.created_at as since from operations copy where ${copies('copy', '$1')} order by 1 limit 1`,
    [id],
  );
  if (copy !== undefined) {
    throw new DomainError('TENANT_BUSY', {
      message: `${copy.slug} is being made of a backup of ${slug}, and until it is none of them is removed. Wait for it, or destroy ${copy.slug} first.`,
      details: { operationId: copy.id, kind: 'clone', since: copy.since.toISOString() },
    });
  }
}

/**
 * Who asked for a download and did not begin it asks again. One that is sent is in the way of what removes backups,
 * except of a destroy that is not its owner's: they have the button that stops it, and nobody else waits for a reader.
 */
async function requireNoDownload(tx: EntityManager, { tenant, kind, actor, now }: StartInput): Promise<void> {
  const { id, slug } = tenant;
  const insists = kind === 'destroy' && actor.kind !== 'subscriber';
  const removed = kind === 'destroy' ? 'the stack is destroyed' : 'backups of the stack are removed';
  await endDownloads(tx, id, {
    states: insists ? OPEN_EXPORT_STATES : ['asked'],
    message: `It was ended, since ${removed}. What came is not all of it.`,
    now,
  });
  // After it: whoever redeemed a ticket meanwhile held its row, and is seen here.
  const [since] = await tx.query<{ since: Date }[]>(
    `select download.asked_at as since from exports download where ${downloads('download', '$1')}`,
    [id],
  );
  if (since !== undefined) {
    throw downloadBusy({ slug, ...since }, 'Until its end none of them is removed.');
  }
}

/**
 * Inserts the operation with its phases and enqueues the job that looks at it, in the caller's transaction.
 * Throws TENANT_BUSY (details: kind and since when) while another exclusive one is open whose place it may not take,
 * for what removes backups while one is copied or downloaded, and while a recovery has not decided on the stack.
 */
export async function startOperation(
  tx: EntityManager,
  queue: Pick<Queue, 'enqueue'>,
  input: StartInput,
): Promise<OperationEntity> {
  const { tenant, kind, actor, now } = input;
  await requireDecided(tx, tenant, kind);
  const open = await openOperation(tx, tenant.id);
  const shared = isShared(kind);
  if (open && (shared || !preempts(kind, { kind: open.kind, phase: await phaseOf(tx, open.id) }))) {
    throw busy(tenant.slug, open);
  }
  const beside = shared ? await openBeside(tx, tenant.id) : null;
  if (beside) {
    throw busy(tenant.slug, beside);
  }
  if (removesBackups(kind)) {
    await requireNoCopy(tx, tenant);
    await requireNoDownload(tx, input);
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
