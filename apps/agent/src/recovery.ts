import { Repositories } from '#libs/backup';
import type { Config } from '#libs/config';
import { RecoveryStackEntity, TenantEntity, tx, type Tx } from '#libs/db';
import type { Queue } from '#libs/jobs';
import type { DataKeys } from '#libs/keys';
import type { Logger } from '#libs/telemetry';
import {
  awaitsRecovery,
  isAwaited,
  newestRecovery,
  restoredSince,
  startOperation,
  undecidedStacks,
} from '#libs/tenants';
import { backupPlaces } from './backup-places.js';
import { CALL_MS, decisionFor, type Decision, type DecisionDeps } from './recovery-decision.js';
import type { Timers } from './timers.js';

const RECOVERY = { kind: 'system', name: 'recovery' } as const;
/** restic needs half a second of a processor to open a repository. */
const AT_ONCE = 4;
/** A turn begins no stack after that, however slow repositories answer; what is left comes first at the next. */
const LONGEST_TURN_MS = 5 * 60_000;
/** While stacks are left undecided a turn follows after so long, then after twice that, up to the last. */
const AGAIN_SECONDS = 30;
const LONGEST_PAUSE_SECONDS = 600;

interface RecoveryDeps extends DecisionDeps {
  queue: Pick<Queue, 'enqueue'>;
  engineId: string;
  logger: Pick<Logger, 'info' | 'warn'>;
  now: () => Date;
}

type FromAgent = Omit<RecoveryDeps, 'repositories' | 'platformId' | 'engineId'> & {
  config: Config<'agent'>;
  keys: DataKeys;
};

/**
 * As an agent does it from its beginning on. Until it is decided what becomes of a stack, nobody else works with its
 * data or tells its owner that it is lost (`isAwaited`), so neither a store that does not answer nor a stack that is
 * busy keeps the agent from its other work.
 */
export function keepRecovery(timers: Pick<Timers, 'every'>, { config, keys, ...deps }: FromAgent): void {
  const own: RecoveryDeps = {
    ...deps,
    repositories: new Repositories(deps.dataSource, { places: backupPlaces(config), keys }),
    platformId: config.PLATFORM_ID,
    engineId: config.ENGINE_ID,
  };
  let pause = AGAIN_SECONDS;
  let left = 0;
  timers.every(
    'recovery',
    () => pause,
    async () => {
      const before = left;
      left = await orderRestores(own);
      pause = left === 0 || left < before ? AGAIN_SECONDS : Math.min(pause * 2, LONGEST_PAUSE_SECONDS);
    },
  );
}

/**
 * After the portal's database came back on a new host: orders for each stack of this engine that its newest backup
 * which counts and is there is put back. Each is decided in a transaction of its own, so whatever is cut off goes on
 * with those that are left; where one cannot be decided, why is noted and the others go on. Gives how many are left.
 */
export async function orderRestores(deps: RecoveryDeps): Promise<number> {
  const { dataSource, engineId, logger, stopping, now } = deps;
  const recovery = await newestRecovery(dataSource.manager);
  if (recovery === null || recovery.orderedAt !== null) {
    return 0;
  }
  const { id: recoveryId, recoveredAt } = recovery;
  const left = await undecidedStacks(dataSource, { recoveryId, engineId });
  if (left.length > 0) {
    logger.info({ recovery: recoveryId, stacks: left.length }, 'stacks are put back after a recovery');
    const volumes = await volumesHere(deps);
    const until = performance.now() + LONGEST_TURN_MS;
    const turn = async (): Promise<void> => {
      while (!stopping.aborted && performance.now() < until) {
        const tenantId = left.shift();
        if (tenantId === undefined) {
          return;
        }
        await decideOrNote(deps, { recoveryId, recoveredAt, tenantId, volumes });
      }
    };
    // All of them to their end: what is under way when the database goes away is still told.
    const turns = await Promise.allSettled(Array.from({ length: AT_ONCE }, turn));
    const failed = turns.find((one) => one.status === 'rejected');
    if (failed !== undefined) {
      throw failed.reason;
    }
  }
  await dataSource.query(
    `update recoveries set ordered_at = $2 where id = $1 and not exists (select from tenants t where ${awaitsRecovery('t')})`,
    [recoveryId, now()],
  );
  return (await undecidedStacks(dataSource, { recoveryId, engineId })).length;
}

async function volumesHere({ engine, platformId }: RecoveryDeps): Promise<ReadonlySet<string>> {
  const { volumes } = await engine.observe({ platform: platformId }, { deadlineMs: CALL_MS });
  return new Set(volumes.map(({ name }) => name));
}

interface Deciding {
  recoveryId: string;
  recoveredAt: Date;
  tenantId: string;
  volumes: ReadonlySet<string>;
}

/** Whatever keeps one from being decided may pass: a store that does not answer, images that come, an operation that ends. */
async function decideOrNote(deps: RecoveryDeps, deciding: Deciding): Promise<void> {
  const { dataSource, stopping, now, logger } = deps;
  const { recoveryId, tenantId } = deciding;
  const tenant = await dataSource.manager.findOneBy(TenantEntity, { id: tenantId });
  if (tenant === null) {
    return;
  }
  const { slug } = tenant;
  try {
    await decide(deps, deciding, tenant);
  } catch (error) {
    if (stopping.aborted) {
      return;
    }
    logger.warn({ err: error, stack: slug }, 'what is put back of a stack could not be decided; it is tried again');
    const why = error instanceof Error ? error.message : String(error);
    await dataSource.query(
      `insert into recovery_stacks (recovery_id, tenant_id, slug, why, tried_at) values ($1, $2, $3, $4, $5)
       on conflict (recovery_id, tenant_id) do update set why = excluded.why, tried_at = excluded.tried_at
        where recovery_stacks.decided_at is null`,
      [recoveryId, tenantId, slug, why, now()],
    );
  }
}

async function decide(deps: RecoveryDeps, deciding: Deciding, tenant: TenantEntity): Promise<void> {
  const { dataSource, queue, now, logger } = deps;
  const { recoveryId, recoveredAt, tenantId, volumes } = deciding;
  const since = { tenantId, recoveredAt };
  const decision = (await putBackSince(dataSource.manager, since)) ?? (await decisionFor(deps, tenant, volumes));
  await tx(dataSource, async (db) => {
    await db.query('select from tenants where id = $1 for update', [tenantId]);
    if (!(await isAwaited(db, tenantId))) {
      return;
    }
    // The volumes were looked at before a person's restore came to its end.
    const decided = (await putBackSince(db, since)) ?? decision;
    const release = decided.kind === 'restore' ? decided.release : null;
    if (release !== null) {
      await db.update(TenantEntity, { id: tenantId }, { releaseId: release });
    }
    const told: Partial<RecoveryStackEntity> = {
      recoveryId,
      tenantId,
      slug: tenant.slug,
      backupId: decided.kind === 'restore' ? decided.backup : null,
      operationId: await operationOf(db, { tenantId, queue, decision: decided, now: now() }),
      releaseBefore: release === null ? null : tenant.releaseId,
      why: decided.kind === 'nothing' ? decided.why : null,
      lost: decided.kind === 'nothing' && decided.lost,
      decidedAt: now(),
    };
    await db.upsert(RecoveryStackEntity, told, ['recoveryId', 'tenantId']);
  });
  if (decision.kind === 'nothing') {
    logger.warn({ stack: tenant.slug, why: decision.why }, 'nothing of a stack is put back');
  }
}

async function putBackSince(db: Tx, since: { tenantId: string; recoveredAt: Date }): Promise<Decision | null> {
  const operation = await restoredSince(db, since);
  return operation === null ? null : { kind: 'done', operation };
}

async function operationOf(
  db: Tx,
  work: { tenantId: string; queue: Pick<Queue, 'enqueue'>; decision: Decision; now: Date },
): Promise<string | null> {
  const { tenantId, queue, decision, now } = work;
  if (decision.kind === 'nothing') {
    return null;
  }
  if (decision.kind === 'done') {
    return decision.operation;
  }
  const tenant = await db.findOneByOrFail(TenantEntity, { id: tenantId });
  const { id } = await startOperation(db, queue, {
    tenant,
    kind: decision.kind,
    actor: RECOVERY,
    now,
    ...(decision.kind === 'destroy'
      ? {}
      : { input: { backup: decision.backup, reason: 'recovery' }, leaveOut: ['safeguard'] as const }),
  });
  return id;
}
