import { isDomainError, type Actor } from '#libs/contracts';
import {
  HoldEntity,
  ReleaseEntity,
  RolloutEntity,
  RolloutStackEntity,
  TenantEntity,
  UpgradeFailureEntity,
  tx,
  type Database,
  type Tx,
} from '#libs/db';
import type { Finding } from '#libs/jobs';
import { nextRolloutStep, type RolloutMember, type RolloutStep } from '../domain/rollout-rules.js';
import { rolloutSkip } from '../domain/rollout-skips.js';
import type { TenantDeps } from '../settings.js';
import { orderUpgrade } from '../upgrade.service.js';
import { lockRollout, moveRollout, noteOutcomes, readSnapshot } from './rollout-rows.js';

const ROLLOUT: Actor = { kind: 'system', name: 'rollout' };
/** While upgrades are under way: short beside one of them, so that the room it leaves is not empty for long. */
const LOOK_SECONDS = 5;
/** The recurring look comes each minute by itself. */
const MOST_SECONDS = 60;

type Deps = Pick<TenantDeps, 'dataSource' | 'queue' | 'now'>;

export interface AdvancedRollout {
  id: string;
  release: string;
  /** Slugs whose upgrade was ordered now. */
  ordered: string[];
  /** States it went to now, with the reason. */
  moved: { to: string; reason: string | null }[];
}

/**
 * One look at every rollout that is not over, or of which an upgrade is not: writes down how upgrades ended, and does
 * what comes next until there is something to wait for. Each step is a transaction that holds the rollout's row, so any
 * number of workers may look, and one that dies leaves nothing half done. `again` is when the next look is worth it,
 * in seconds, where that is before the recurring one.
 */
export async function advanceRollouts(deps: Deps): Promise<{ rollouts: AdvancedRollout[]; again: number | null }> {
  const ids = await deps.dataSource.query<{ id: string }[]>(
    `select id from rollouts r where state not in ('aborted', 'done') or exists
       (select from rollout_stacks where rollout_id = r.id and state in ('upgrading', 'rolling_back'))
      order by created_at`,
  );
  const rollouts: AdvancedRollout[] = [];
  let again: number | null = null;
  for (const { id } of ids) {
    const { advanced, last } = await advance(deps, id);
    rollouts.push(advanced);
    const seconds = secondsUntil(last, deps.now());
    again = seconds === null ? again : Math.min(again ?? MOST_SECONDS, seconds);
  }
  return { rollouts, again };
}

async function advance(deps: Deps, id: string): Promise<{ advanced: AdvancedRollout; last: Looked }> {
  const advanced: AdvancedRollout = { id, release: '', ordered: [], moved: [] };
  const busy = new Set<string>();
  for (;;) {
    const looked = await tx(deps.dataSource, (db) => oneStep(db, deps, { id, busy }));
    const { step, rollout, ordered } = looked;
    advanced.release = rollout.releaseId;
    if (step.kind === 'wait' || step.kind === 'over') {
      return { advanced, last: looked };
    }
    if (step.kind === 'move') {
      advanced.moved.push({ to: step.to, reason: step.reason });
    }
    advanced.ordered.push(...(ordered === null ? [] : [ordered]));
  }
}

interface Looked {
  step: RolloutStep;
  rollout: RolloutEntity;
  /** The stack whose upgrade was ordered. */
  ordered: string | null;
  /** Whether one of its upgrades or rollbacks is under way, whatever its own state. */
  open: boolean;
}

async function oneStep(db: Tx, deps: Deps, { id, busy }: { id: string; busy: Set<string> }): Promise<Looked> {
  const rollout = await lockRollout(db, id);
  const now = deps.now();
  await noteOutcomes(db, id);
  const snapshot = await readSnapshot(db, rollout, { now, busy });
  const step = nextRolloutStep(snapshot);
  let ordered: string | null = null;
  if (step.kind === 'move') {
    await moveRollout(db, rollout, { ...step, actor: ROLLOUT, now });
  } else if (step.kind === 'draw') {
    await db.update(RolloutStackEntity, { rolloutId: id, tenantId: step.member.id }, { ring: 0 });
  } else if (step.kind === 'order') {
    ordered = await order(db, deps, { rollout, member: step.member, busy });
  }
  const open = snapshot.members.some(({ state }) => state === 'upgrading' || state === 'rolling_back');
  return { step, rollout, ordered, open };
}

interface OrderFor {
  rollout: RolloutEntity;
  member: RolloutMember;
  busy: Set<string>;
}

/** Orders that stack's upgrade, or notes why not; what is under way on it is waited for. */
async function order(db: Tx, deps: Deps, { rollout, member, busy }: OrderFor): Promise<string | null> {
  const row = { rolloutId: rollout.id, tenantId: member.id };
  // In the order of everybody below a rollout: the stack's row, then its operations.
  await db.query('select from tenants where id = $1 for update', [member.id]);
  const tenant = await db.findOneBy(TenantEntity, { id: member.id });
  if (!tenant) {
    const reason = `${member.slug} is destroyed.`;
    await db.update(RolloutStackEntity, row, { state: 'skipped', why: 'destroying', reason });
    return null;
  }
  const [from, to] = await Promise.all(
    [tenant.releaseId, rollout.releaseId].map((id) => db.findOneByOrFail(ReleaseEntity, { id })),
  );
  if (!from || !to) {
    throw new Error('A release that rows point to is not there');
  }
  const skip = rolloutSkip({
    stack: tenant,
    holds: (await db.findBy(HoldEntity, { tenantId: tenant.id })).map(({ reason }) => reason),
    from,
    to,
    failure: await db.findOneBy(UpgradeFailureEntity, {
      tenantId: tenant.id,
      fromRelease: from.id,
      toRelease: to.id,
    }),
    selection: rollout.selection,
  });
  if (skip !== null) {
    await db.update(RolloutStackEntity, row, { state: 'skipped', why: skip.why, reason: skip.message });
    return null;
  }
  try {
    const input = { rollout: rollout.id };
    const operationId = await orderUpgrade(db, deps, { tenant, from, to, actor: ROLLOUT, operator: true, input });
    const orderedAt = deps.now();
    await db.update(RolloutStackEntity, row, { state: 'upgrading', operationId, orderedAt, fromRelease: from.id });
    return tenant.slug;
  } catch (error) {
    // Thrown before anything was written.
    if (!isDomainError(error, 'TENANT_BUSY')) {
      throw error;
    }
    busy.add(tenant.id);
    return null;
  }
}

function secondsUntil({ step, open }: Looked, now: Date): number | null {
  if (open) {
    return LOOK_SECONDS;
  }
  if (step.kind !== 'wait') {
    return null;
  }
  if (step.for === 'upgrades' || step.for === 'unwell') {
    return LOOK_SECONDS;
  }
  if (step.for !== 'soak' || step.until === null) {
    return null;
  }
  return Math.min(MOST_SECONDS, Math.max(1, Math.ceil((step.until.getTime() - now.getTime()) / 1_000)));
}

/** What operators are to know: rollouts that halted and wait for one of them. */
export async function haltedRollouts(database: Database): Promise<Finding[]> {
  const rows = await database.query<{ id: string; release: string; cause: string; reason: string | null }[]>(
    `select r.id, r.release_id as release, m.cause, m.reason
       from rollouts r
       join lateral (select cause, reason from rollout_moves where rollout_id = r.id order by seq desc limit 1) m on true
      where r.state = 'halted' order by r.created_at`,
  );
  return rows.map(({ id, release, cause, reason }) => ({
    key: `rollout/${id}`,
    code: 'ROLLOUT_HALTED',
    severity: 'critical',
    message: `The rollout of ${release} halted itself. ${reason ?? ''} See aviary rollout show ${id}; then aviary rollout resume or aviary rollout abort.`,
    params: { rollout: id, release, cause },
  }));
}
