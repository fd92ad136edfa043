import type { Database } from '#libs/db';
import { LABEL, type Engine, type EngineEvent } from '#libs/engine';
import type { Queue } from '#libs/jobs';
import { wantStack, type StackFacts } from '#libs/orchestrator';
import type { Logger } from '#libs/telemetry';
import {
  breakStack,
  crashLoopOf,
  decideRepair,
  pastOperations,
  startRepair,
  type Broken,
  type Death,
} from '#libs/tenants';
import { brokenByDeaths, brokenByFailures } from './broken.js';

interface RepairsDeps {
  dataSource: Database;
  queue: Pick<Queue, 'enqueue'>;
  portalUrl: string;
  engine: Engine;
  logger: Logger;
  now: () => Date;
}

const TAIL_LINES = 8;
const TAIL_MS = 20_000;
/** Of a stack: far more than the breaker waits for. */
const DEATHS_KEPT = 51;
/** Between the kernel's word and the engine's of one end. A process beside the first may have been ended long before. */
const SAME_END_MS = 10_000;
/** Where the engine's word comes first, the kernel's comes at once. */
const MEMORY_LATE_MS = 1_000;

interface Ended extends Death {
  containerId: string | null;
}

/** Starts a repair, leaves it for later, or stops what no repair mends: by what was tried before and by what died. */
export class Repairs {
  /** When a container was out of memory, of which no end is known yet. */
  private readonly outOfMemory = new Map<string, number>();
  private readonly deaths = new Map<string, Ended[]>();

  constructor(private readonly deps: RepairsDeps) {}

  /** Starts a repair where one is due. Gives when the stack is to be looked at again where one is due later, else null. */
  async mend(facts: StackFacts, why: string): Promise<Date | null> {
    const { dataSource, logger, now } = this.deps;
    const { tenantId, slug } = facts;
    const past = await pastOperations(dataSource.manager, tenantId);
    const decision = decideRepair(past, now(), wantStack(facts).run);
    switch (decision.kind) {
      case 'leave':
        return null;
      case 'wait':
        return decision.until;
      case 'break':
        await this.giveUp(facts, brokenByFailures(decision.failures, past[0]?.error ?? null));
        return null;
      case 'now': {
        const operation = await startRepair(this.deps, tenantId, now());
        if (operation !== null) {
          logger.warn({ stack: slug, operation, why }, 'a stack is not as wanted, repairing it');
        }
        return null;
      }
    }
  }

  /** Stops a stack of which a service dies again and again although the engine starts it; true where it did. */
  async breakCrashLoop(facts: StackFacts): Promise<boolean> {
    const { dataSource, engine, logger, now } = this.deps;
    const { tenantId, slug } = facts;
    const [last] = await pastOperations(dataSource.manager, tenantId);
    const loop = crashLoopOf(this.deaths.get(tenantId) ?? [], last?.finishedAt ?? null, now());
    if (loop === null) {
      return false;
    }
    const container = wantStack(facts).containers.find(({ service }) => service === loop.service)?.spec.name;
    const log = container === undefined ? [] : await engine.logTail(container, TAIL_LINES, { deadlineMs: TAIL_MS });
    const broken = brokenByDeaths(loop, log);
    const broke = await breakStack(this.deps, tenantId, broken, now());
    if (broke) {
      this.deaths.delete(tenantId);
      logger.error({ stack: slug, reason: broken.message }, 'the breaker stopped a stack');
    }
    return broke;
  }

  /** Counts what died, and of too little memory, whichever of the two is told first. */
  hear(tenantId: string, event: EngineEvent): void {
    const at = this.deps.now();
    if (event.kind === 'container out of memory' && event.containerId !== null) {
      const { containerId } = event;
      const all = this.deaths.get(tenantId) ?? [];
      const same = all.findLastIndex(
        (one) => one.containerId === containerId && at.getTime() - one.at.getTime() < MEMORY_LATE_MS,
      );
      if (same === -1) {
        this.outOfMemory.set(containerId, at.getTime());
      } else {
        this.deaths.set(
          tenantId,
          all.map((one, index) => (index === same ? { ...one, outOfMemory: true } : one)),
        );
      }
    }
    if (event.kind === 'container died') {
      const { name, containerId, labels, exitCode } = event;
      const told = containerId === null ? undefined : this.outOfMemory.get(containerId);
      const outOfMemory = told !== undefined && at.getTime() - told < SAME_END_MS;
      this.outOfMemory.delete(containerId ?? '');
      const death = { service: labels?.[LABEL.service] ?? name, exitCode, outOfMemory };
      const all = [...(this.deaths.get(tenantId) ?? []), { at, containerId, ...death }];
      this.deaths.set(tenantId, all.slice(-DEATHS_KEPT));
      this.deps.logger.info({ tenant: tenantId, ...death }, 'a container ended');
    }
    for (const [id, told] of this.outOfMemory) {
      if (at.getTime() - told >= SAME_END_MS) {
        this.outOfMemory.delete(id);
      }
    }
  }

  /** Stacks of which something died. */
  keys(): Iterable<string> {
    return this.deaths.keys();
  }

  delete(tenantId: string): void {
    this.deaths.delete(tenantId);
  }

  private async giveUp({ tenantId, slug }: StackFacts, broken: Broken): Promise<void> {
    if (await breakStack(this.deps, tenantId, broken, this.deps.now())) {
      this.deps.logger.error({ stack: slug, reason: broken.message }, 'the breaker stopped a stack');
    }
  }
}
