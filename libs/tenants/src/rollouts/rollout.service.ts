import { appendAudit } from '#libs/audit';
import {
  actorName,
  DomainError,
  ROLLOUT_MOVES,
  rolloutMoves,
  uuidSchema,
  type Actor,
  type PlanRollout,
  type ResumeRollout,
  type RolloutList,
  type RolloutMove,
  type RolloutPlan,
  type RolloutReport,
  type RolloutStackState,
  type RolloutView,
  type StartRollout,
} from '#libs/contracts';
import {
  newId,
  ReleaseEntity,
  RolloutEntity,
  RolloutStackEntity,
  tx,
  violatedUnique,
  type TenantEntity,
  type Tx,
} from '#libs/db';
import { requireActor } from '../authorise.js';
import { acknowledgedUntil, rolloutBudget } from '../domain/rollout-rules.js';
import { usualDuration } from '../operation.repository.js';
import type { TenantDeps } from '../settings.js';
import { drawRollout, type DrawnRollout } from './rollout-plan.js';
import { lockRollout, moveRollout, noSuchRollout, noteMove, noteOutcomes, readSnapshot } from './rollout-rows.js';
import { rolloutReport, rolloutView } from './rollout-views.js';

const PAGE = 20;
const REPORT_PAGE = 50;
/** Rows of one statement, well below the 65 535 parameters it may have. */
const CHUNK = 500;

/** Brings many stacks to a release: who goes when, how it goes, and an operator's hand on it. Operators only. */
export class RolloutService {
  constructor(private readonly deps: Pick<TenantDeps, 'dataSource' | 'queue' | 'now'>) {}

  /** What `start` would do now; nothing is kept. */
  async plan(actor: Actor, order: PlanRollout): Promise<RolloutPlan> {
    requireOperator(actor);
    const db = this.deps.dataSource.manager;
    const drawn = await drawRollout(db, order);
    return {
      release: drawn.release.id,
      template: drawn.release.template,
      selection: order.selection,
      settings: order.settings,
      rings: drawn.rings.map((tenants, ring) => ({ ring, stacks: tenants.map(({ slug }) => slug) })),
      skipped: drawn.skipped.map(({ tenant, why, message }) => ({ slug: tenant.slug, why, message })),
      usualMs: await usualDuration(db, 'upgrade'),
    };
  }

  /**
   * Begins at the next look of a worker, or when its window opens. Throws VALIDATION_FAILED unless `confirm` is the
   * release, NOT_FOUND, and WRONG_STATE (details.why: not_stable, nobody, open).
   */
  async start(actor: Actor, { confirm, ...order }: StartRollout): Promise<RolloutView> {
    requireOperator(actor);
    if (confirm !== order.release) {
      throw new DomainError('VALIDATION_FAILED', {
        details: { fields: { confirm: [`Repeat the release, ${order.release}, to bring the fleet to it.`] } },
      });
    }
    const id = await tx(this.deps.dataSource, (db) => this.insert(db, actor, order)).catch((error: unknown) => {
      throw violatedUnique(error) === 'rollouts_one_open' ? alreadyOpen(order.release, null) : error;
    });
    return this.get(actor, id);
  }

  private async insert(db: Tx, actor: Actor, order: PlanRollout): Promise<string> {
    const now = this.deps.now();
    const drawn = await drawRollout(db, order);
    const { release } = drawn;
    const open = await db
      .createQueryBuilder(RolloutEntity, 'rollout')
      .where(`rollout.template = :template and rollout.state not in ('aborted', 'done')`, {
        template: release.template,
      })
      .getOne();
    if (open) {
      throw alreadyOpen(release.id, open);
    }
    if (drawn.rings.length === 0) {
      throw new DomainError('WRONG_STATE', {
        message: `No stack is to go to ${release.id}: ${drawn.skipped.length} are left as they are. See who and why with a plan.`,
        details: { why: 'nobody', skipped: drawn.skipped.length },
      });
    }
    const rollout = {
      id: newId(),
      template: release.template,
      releaseId: release.id,
      selection: order.selection,
      settings: order.settings,
      state: 'planned' as const,
      createdBy: actorName(actor),
      createdAt: now,
      acknowledgedAt: null,
    };
    await db.insert(RolloutEntity, rollout);
    await insertStacks(db, rollout.id, drawn);
    await noteMove(db, rollout.id, { from: null, to: 'planned', cause: 'ordered', reason: null, actor, now });
    await appendAudit(db, {
      actor,
      action: 'rollout.start',
      target: { kind: 'rollout', id: rollout.id },
      after: {
        release: release.id,
        settings: order.settings,
        selection: order.selection,
        rings: drawn.rings.map(({ length }) => length),
        skipped: drawn.skipped.length,
      },
    });
    await this.look(db);
    return rollout.id;
  }

  /** Newest first. */
  async list(actor: Actor, { cursor, limit = PAGE }: { cursor?: string; limit?: number } = {}): Promise<RolloutList> {
    requireOperator(actor);
    const most = Math.min(Math.max(limit, 1), PAGE);
    const db = this.deps.dataSource.manager;
    const query = db
      .createQueryBuilder(RolloutEntity, 'rollout')
      .orderBy('rollout.id', 'DESC')
      .limit(most + 1);
    if (cursor !== undefined) {
      query.where('rollout.id < :cursor', { cursor });
    }
    const found = await query.getMany();
    const page = found.slice(0, most);
    const items: RolloutView[] = [];
    for (const rollout of page) {
      items.push(await rolloutView(db, rollout, this.deps.now()));
    }
    return { items, next: found.length > most ? (page.at(-1)?.id ?? null) : null };
  }

  /** Throws NOT_FOUND. */
  async get(actor: Actor, id: string): Promise<RolloutView> {
    requireOperator(actor);
    return rolloutView(this.deps.dataSource.manager, await this.find(id), this.deps.now());
  }

  /** Each of its stacks: what became of it, or why it was left as it is. */
  async report(
    actor: Actor,
    id: string,
    { cursor, limit = REPORT_PAGE, state }: { cursor?: number; limit?: number; state?: RolloutStackState } = {},
  ): Promise<RolloutReport> {
    requireOperator(actor);
    await this.find(id);
    return rolloutReport(this.deps.dataSource.manager, id, {
      limit: Math.min(Math.max(limit, 1), REPORT_PAGE),
      ...(cursor === undefined ? {} : { after: cursor }),
      ...(state === undefined ? {} : { state }),
    });
  }

  /** Upgrades under way go on; no other is begun. */
  async pause(actor: Actor, id: string): Promise<RolloutView> {
    return this.move(actor, id, 'pause');
  }

  /**
   * One that halted is gone on with by who says so: what failed until now counts no more. Throws WRONG_STATE
   * (details.why: withdrawn, acknowledge, more_failed).
   */
  async resume(actor: Actor, id: string, known: ResumeRollout): Promise<RolloutView> {
    return this.move(actor, id, 'resume', known);
  }

  /** For good. What was upgraded stays so; under way, what has not touched its stack is cancelled, the rest ends by itself. */
  async abort(actor: Actor, id: string): Promise<RolloutView> {
    return this.move(actor, id, 'abort');
  }

  private async move(actor: Actor, id: string, move: RolloutMove, known?: ResumeRollout): Promise<RolloutView> {
    requireOperator(actor);
    await this.find(id);
    const { to } = ROLLOUT_MOVES[move];
    const now = this.deps.now();
    await tx(this.deps.dataSource, async (db) => {
      const rollout = await lockRollout(db, id);
      if (rollout.state === to) {
        return;
      }
      if (!rolloutMoves(rollout.state).includes(move)) {
        throw new DomainError('WRONG_STATE', {
          message: `The rollout of ${rollout.releaseId} is ${rollout.state}; from there it does not become ${to}.`,
          details: { why: 'state', state: rollout.state, to },
        });
      }
      // What ended since the last look is to be known of too.
      await noteOutcomes(db, id);
      if (move === 'resume') {
        await this.mayResume(db, rollout, known?.acknowledge === true);
      }
      if (rollout.state === 'halted' && move === 'resume') {
        await acknowledge(db, rollout, known ?? {}, now);
      }
      await moveRollout(db, rollout, { to, cause: 'operator', reason: null, actor, now });
      await noteOutcomes(db, id);
      await this.look(db);
    });
    return this.get(actor, id);
  }

  private async mayResume(db: Tx, { state, releaseId }: RolloutEntity, acknowledge: boolean): Promise<void> {
    const release = await db.findOneByOrFail(ReleaseEntity, { id: releaseId });
    if (release.state === 'withdrawn' || release.state === 'draft') {
      throw new DomainError('WRONG_STATE', {
        message: `${releaseId} was withdrawn, so no stack goes there. Abort the rollout, or offer the release again.`,
        details: { why: 'withdrawn' },
      });
    }
    if (state === 'halted' && !acknowledge) {
      throw new DomainError('WRONG_STATE', {
        message: `The rollout of ${releaseId} halted itself. Say that you know what failed to go on with it.`,
        details: { why: 'acknowledge' },
      });
    }
  }

  /** A worker looks at once. */
  private async look(db: Tx): Promise<void> {
    await this.deps.queue.enqueue(db, 'rollouts.advance', {}, { singletonKey: 'rollouts/now' });
  }

  private async find(id: string): Promise<RolloutEntity> {
    const rollout = uuidSchema.safeParse(id).success
      ? await this.deps.dataSource.manager.findOneBy(RolloutEntity, { id })
      : null;
    if (!rollout) {
      throw noSuchRollout(id);
    }
    return rollout;
  }
}

/** Whoever goes on says what failures they saw: nobody forgives what nobody has seen. */
async function acknowledge(
  db: Tx,
  rollout: RolloutEntity,
  seen: Pick<ResumeRollout, 'failures' | 'newest'>,
  now: Date,
): Promise<void> {
  const snapshot = await readSnapshot(db, rollout, { now });
  const { failures, newest } = rolloutBudget(snapshot);
  const more = seen.failures !== undefined && failures.length > seen.failures;
  // As many as were seen may be others: one that came back leaves its place to the next.
  const newer = typeof seen.newest === 'string' && newest !== null && newest > new Date(seen.newest);
  if (more || newer) {
    const how = more
      ? `on ${failures.length} stacks by now, not on ${seen.failures}`
      : `on another stack since ${seen.newest}`;
    throw new DomainError('WRONG_STATE', {
      message: `The upgrade to ${rollout.releaseId} failed ${how}. See which and why, then go on knowing it.`,
      details: {
        why: 'more_failed',
        failures: failures.length,
        newest: newest?.toISOString() ?? null,
        seen: seen.failures,
      },
    });
  }
  await db.update(RolloutEntity, { id: rollout.id }, { acknowledgedAt: acknowledgedUntil(snapshot) });
}

async function insertStacks(db: Tx, rolloutId: string, { rings, skipped }: DrawnRollout): Promise<void> {
  const common = (tenant: TenantEntity) => ({
    rolloutId,
    tenantId: tenant.id,
    slug: tenant.slug,
    engineId: tenant.engineId,
    fromRelease: tenant.releaseId,
  });
  const rows = [
    ...rings.flatMap((tenants, ring) =>
      tenants.map((tenant) => ({ ...common(tenant), ring, state: 'waiting' as const })),
    ),
    ...skipped.map(({ tenant, why, message }) => ({
      ...common(tenant),
      ring: null,
      state: 'skipped' as const,
      why,
      reason: message,
    })),
  ].map((row, place) => ({ ...row, place }));
  for (let from = 0; from < rows.length; from += CHUNK) {
    await db.insert(RolloutStackEntity, rows.slice(from, from + CHUNK));
  }
}

function alreadyOpen(release: string, open: RolloutEntity | null): DomainError {
  const which = open === null ? 'Another rollout' : `The rollout ${open.id} of ${open.releaseId}`;
  const state = open === null ? 'not over' : open.state;
  return new DomainError('WRONG_STATE', {
    message: `${which} is ${state}. Wait for it or abort it before the fleet goes to ${release}.`,
    details: { why: 'open', rollout: open?.id ?? null, state: open?.state ?? null },
  });
}

function requireOperator(actor: Actor): void {
  if (requireActor(actor).kind !== 'operator') {
    throw new DomainError('FORBIDDEN');
  }
}
