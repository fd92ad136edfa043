import { Semaphore } from '#libs/async';
import { isDomainError } from '#libs/contracts';
import type { Database, TenantEntity } from '#libs/db';
import type { Engine } from '#libs/engine';
import { readFacts, recordObserved, wantStack, type FactSettings, type Probes } from '#libs/orchestrator';
import type { Logger } from '#libs/telemetry';

/** Looked at again after this; pages call news stale after twice the five minutes. */
const CHECK_AFTER_SECONDS = 270;
const AT_ONCE = 4;
const MOST_PER_TURN = 100;
const PROBE_MS = 8_000;
const OBSERVE_MS = 20_000;

interface CheckerDeps {
  dataSource: Database;
  engine: Engine;
  probes: Probes;
  settings: FactSettings & { engineId: string };
  logger: Logger;
  now: () => Date;
}

/** Writes on each stack's row what is seen from outside, so that a page never shows what was merely ordered. */
export class StackChecker {
  private readonly slots = new Semaphore(AT_ONCE);

  constructor(private readonly deps: CheckerDeps) {}

  /** Looks at every stack whose news is old and on which nothing works right now. */
  async turn(signal: AbortSignal): Promise<number> {
    const due = await this.deps.dataSource.query<{ id: string }[]>(
      `select t.id from tenants t
        where t.engine_id = $1 and (t.checked_at is null or t.checked_at < now() - make_interval(secs => $2))
          and not exists (select from operations o where o.tenant_id = t.id and o.exclusive and o.state in ('queued', 'running'))
        order by t.checked_at nulls first limit $3`,
      [this.deps.settings.engineId, CHECK_AFTER_SECONDS, MOST_PER_TURN],
    );
    await Promise.all(due.map(({ id }) => this.slots.run(() => this.look(id, signal))));
    return due.length;
  }

  private async look(tenantId: string, signal: AbortSignal): Promise<void> {
    const { dataSource, engine, settings, probes, logger, now } = this.deps;
    const facts = await readFacts(dataSource.manager, settings, tenantId);
    if (!facts) {
      return;
    }
    const want = wantStack(facts);
    const { containers } = await engine.observe(want.owner, { deadlineMs: OBSERVE_MS, signal });
    const running = new Set(containers.filter(({ status }) => status === 'running').map(({ name }) => name));
    const missing = want.containers.filter(({ spec }) => !running.has(spec.name)).map(({ service }) => service);
    let observed: TenantEntity['observed'] = running.size === 0 ? 'stopped' : 'partial';
    let reason = want.run && missing.length > 0 ? `Not running: ${missing.join(', ')}.` : null;
    if (missing.length === 0) {
      try {
        await probes.served(facts, { deadlineMs: PROBE_MS, signal });
        observed = 'running';
      } catch (error) {
        if (!isDomainError(error)) {
          throw error;
        }
        observed = 'failed';
        reason = error.message;
      }
    }
    if (observed === 'failed' || observed === 'partial') {
      logger.warn({ stack: facts.slug, observed, reason }, 'a stack is not as wanted');
    }
    await recordObserved(dataSource.manager, { tenantId, observed, reason, now: now() });
  }
}
