import { Semaphore } from '#libs/async';
import { isDomainError } from '#libs/contracts';
import { OperationEntity, TenantEntity, tx, type Database, type Tx } from '#libs/db';
import type { Engine } from '#libs/engine';
import {
  barred,
  botsSince,
  readFacts,
  reasonOf,
  recordObserved,
  wantStack,
  type FactSettings,
  type Observation,
  type Probes,
  type Reason,
  type StackFacts,
  type StackSecrets,
} from '#libs/orchestrator';
import type { Queue } from '#libs/jobs';
import type { Logger } from '#libs/telemetry';
import { awaitsRecovery, isAwaited, noteBots, pastOperations, soakingOf, tellLoss } from '#libs/tenants';

/** Looked at again after this and up to so much more, by the stack's id; pages call news stale after ten minutes. */
const CHECK_AFTER_SECONDS = 240;
const SPREAD_SECONDS = 60;
const AT_ONCE = 4;
const MOST_PER_TURN = 100;
const PROBE_MS = 8_000;
const BY_ADDRESS_MS = 2_000;
const OBSERVE_MS = 20_000;
/** The books of a stack that traded for years take seconds to add up. */
const BOTS_MS = 15_000;

interface CheckerDeps {
  dataSource: Database;
  queue: Pick<Queue, 'enqueue'>;
  portalUrl: string;
  engine: Engine;
  probes: Probes;
  secrets: Pick<StackSecrets, 'stackKeys'>;
  settings: FactSettings & { engineId: string };
  logger: Logger;
  now: () => Date;
}

export type Seen = Pick<Observation, 'observed' | 'reason'>;

/** Writes on each stack's row what is seen from outside, so that a page never shows what was merely ordered. */
export class StackChecker {
  private readonly slots = new Semaphore(AT_ONCE);

  constructor(private readonly deps: CheckerDeps) {}

  /**
   * Looks at every stack whose news is old and on which nothing works right now, and gives the ids of those that are not
   * as wanted. One that cannot be looked at keeps no other from it; all of them are named in the error at the end.
   */
  async turn(signal: AbortSignal): Promise<string[]> {
    const due = await this.deps.dataSource.query<{ id: string; slug: string }[]>(
      `select t.id, t.slug from tenants t
        where t.engine_id = $1 and (t.checked_at is null or t.checked_at < now() - make_interval(secs => $2 + abs(hashtext(t.id::text)::bigint) % $4))
          and t.desired <> 'deleted'
          and not exists (select from operations o where o.tenant_id = t.id and o.exclusive and o.state in ('queued', 'running'))
          and not ${awaitsRecovery('t')}
        order by t.checked_at nulls first limit $3`,
      [this.deps.settings.engineId, CHECK_AFTER_SECONDS, MOST_PER_TURN, SPREAD_SECONDS],
    );
    const looks = await Promise.allSettled(due.map(({ id }) => this.slots.run(() => this.look(id, signal))));
    const failures = looks.flatMap((look, at) =>
      look.status === 'rejected' ? [{ slug: due[at]?.slug ?? '', error: look.reason as unknown }] : [],
    );
    if (failures.length > 0) {
      throw new AggregateError(
        failures.map(({ error }) => error),
        `Not looked at: ${failures.map(({ slug, error }) => `${slug} (${error instanceof Error ? error.message : String(error)})`).join(', ')}`,
      );
    }
    return looks.flatMap((look, at) => (look.status === 'fulfilled' && look.value?.reason ? [due[at]?.id ?? ''] : []));
  }

  /**
   * Looks at one stack and writes what it saw; null where something is at work on it, or a recovery has not decided on
   * it yet: what is missing then is not lost.
   */
  async look(tenantId: string, signal: AbortSignal): Promise<Seen | null> {
    const { dataSource, settings, logger, now } = this.deps;
    const before = await lastOperation(dataSource.manager, tenantId);
    const facts = await readFacts(dataSource.manager, settings, tenantId);
    if (!facts || isOpen(before) || (await isAwaited(dataSource.manager, tenantId))) {
      return null;
    }
    const seen = await this.see(facts, signal);
    const { observed } = seen;
    const failed = seen.reason && seen.reason.code !== 'DATA_MISSING' ? await lastFailure(dataSource, tenantId) : null;
    // Why it came to this is told by the operation that failed, better than by what is missing since.
    const reason = failed ?? seen.reason;
    await tx(dataSource, async (db) => {
      const row = await db.findOne(TenantEntity, { where: { id: tenantId }, lock: { mode: 'pessimistic_write' } });
      // Whatever was asked for or ended since we began to look knows better than we do.
      const after = await lastOperation(db, tenantId);
      if (!row || after?.id !== before?.id || after?.state !== before?.state) {
        return;
      }
      const kept = facts.holds.includes('breaker') ? keptReason(row) : null;
      const told = kept ?? reason;
      if (reason && row.reason !== told?.message) {
        logger.warn({ stack: facts.slug, observed, reason: reason.message }, 'a stack is not as wanted');
      }
      await tellLoss(db, this.deps, { tenantId, reason: told });
      await recordObserved(db, { tenantId, observed, reason: told, now: now() });
    });
    if (facts.desired === 'running' && observed === 'running' && reason === null) {
      await this.lookAtBots(facts, signal);
    }
    return { observed, reason };
  }

  /** Of a stack that a rollout watches after its upgrade: from outside it is well though no bot of it may be. */
  private async lookAtBots(facts: StackFacts, signal: AbortSignal): Promise<void> {
    const { dataSource, logger, now } = this.deps;
    const soaking = await soakingOf(dataSource, facts.tenantId);
    if (soaking === null) {
      return;
    }
    const wrong = await botsSince(this.deps, facts, soaking.upgrade, { deadlineMs: BOTS_MS, signal });
    if (wrong !== undefined && (await noteBots(dataSource, soaking, { wrong, now: now() }))) {
      logger[wrong === null ? 'info' : 'warn'](
        { stack: facts.slug, rollout: soaking.rolloutId, wrong },
        'the bots of an upgraded stack stand otherwise than before',
      );
    }
  }

  private async see(facts: StackFacts, signal: AbortSignal): Promise<Seen> {
    const { engine, probes } = this.deps;
    const want = wantStack(facts);
    const { containers, volumes } = await engine.observe(want.owner, { deadlineMs: OBSERVE_MS, signal });
    const running = new Set(containers.filter(({ status }) => status === 'running').map(({ name }) => name));
    const missing = want.containers.filter(({ spec }) => !running.has(spec.name)).map(({ service }) => service);
    const observed = running.size === 0 ? 'stopped' : missing.length > 0 ? 'partial' : 'running';
    if (!want.run) {
      // One service is enough to trade.
      return { observed, reason: running.size > 0 ? STILL_RUNNING : null };
    }
    const bar = barred(want, volumes);
    if (bar) {
      return { observed: 'failed', reason: reasonOf(bar) };
    }
    if (missing.length > 0) {
      return { observed, reason: notRunning(missing) };
    }
    try {
      await probes.served(facts, { deadlineMs: PROBE_MS, signal });
      return { observed, reason: null };
    } catch (error) {
      if (!isDomainError(error)) {
        throw error;
      }
      return { observed: 'failed', reason: await this.narrowed(reasonOf(error), facts, signal) };
    }
  }

  /** Where nobody answered as the runtime does: whether it is the runtime itself, or the way to it. */
  private async narrowed(reason: Reason, facts: StackFacts, signal: AbortSignal): Promise<Reason> {
    if (reason.code !== 'HEALTH_GATE_FAILED' || reason.params['ready'] !== undefined) {
      return reason;
    }
    const layer = await this.deps.probes.ready(facts, { deadlineMs: BY_ADDRESS_MS, signal }).then(
      () => 'route',
      (error: unknown) => {
        if (!isDomainError(error)) {
          throw error;
        }
        return 'runtime';
      },
    );
    return { ...reason, params: { ...reason.params, layer } };
  }
}

const STILL_RUNNING: Reason = {
  code: 'STILL_RUNNING',
  message: 'It runs, although it should not. Stop it again.',
  params: {},
};

function notRunning(services: readonly string[]): Reason {
  const list = services.join(', ');
  return { code: 'NOT_RUNNING', message: `Not running: ${list}.`, params: { services: list } };
}

/** Why the breaker stopped it, which nothing seen since then tells better. */
function keptReason({ reason, reasonCode, reasonParams }: TenantEntity): Reason | null {
  return reason === null || reasonCode === null
    ? null
    : { code: reasonCode, message: reason, params: reasonParams ?? {} };
}

/** Of the operation that last did anything to the stack, where it failed. */
async function lastFailure({ manager }: Database, tenantId: string): Promise<Reason | null> {
  const [last] = await pastOperations(manager, tenantId);
  return last?.state === 'failed' && last.error ? reasonOf(last.error) : null;
}

type Last = Pick<OperationEntity, 'id' | 'state'> | null;

const isOpen = (operation: Last): boolean => operation?.state === 'queued' || operation?.state === 'running';

function lastOperation(db: Tx, tenantId: string): Promise<Last> {
  return db.findOne(OperationEntity, {
    where: { tenantId, exclusive: true },
    order: { createdAt: 'DESC', id: 'DESC' },
    select: { id: true, state: true },
  });
}
