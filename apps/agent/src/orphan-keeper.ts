import type { Database } from '#libs/db';
import { LABEL, type Engine, type EngineObjects } from '#libs/engine';
import { wantStack, type StackFacts } from '#libs/orchestrator';
import type { Logger } from '#libs/telemetry';
import { SCRATCH, forgetOrphan, noteOrphans, overdueOrphans, type Unwanted } from '#libs/tenants';
import { tenantIn } from './stack-names.js';

interface OrphanDeps {
  dataSource: Database;
  engine: Engine;
  platformId: string;
  engineId: string;
  /** How long something without a stack stays, in hours; 0 keeps it until a person removes it. */
  graceHours: number;
  logger: Logger;
}

const REMOVE_MS = 60_000;

/**
 * Lists what carries our labels and belongs to no stack, and removes it once it was seen so for the whole grace: one
 * by one, by its name, and only what its labels still prove ours at that moment. What a stack that exists has no use
 * for is listed and never removed: it may be a volume somebody wants back.
 */
export class OrphanKeeper {
  constructor(private readonly deps: OrphanDeps) {}

  /** Compares a look at the whole engine with the stacks there are; `facts` must have been read after the look. */
  async note(objects: EngineObjects, facts: readonly StackFacts[], now: Date): Promise<void> {
    const { dataSource, engineId, graceHours, logger } = this.deps;
    const couriers = await this.removeCouriers(objects, new Set(facts.map(({ tenantId }) => tenantId)));
    const unwanted = unwantedAmong(objects, facts).filter(({ name }) => !couriers.has(name));
    const fresh = await noteOrphans(dataSource, engineId, unwanted, { now, graceHours });
    if (fresh.length > 0) {
      logger.warn({ orphans: fresh }, 'objects of ours that no stack wants');
    }
    await this.remove(now);
  }

  /**
   * A courier never runs and holds nothing, so one of a stack that is gone, left by a crash, needs no grace; the
   * anonymous volumes that its image's VOLUME lines made carry no label and would be found by nobody later.
   */
  private async removeCouriers({ containers }: EngineObjects, stacks: ReadonlySet<string>): Promise<Set<string>> {
    const { engine, platformId, logger } = this.deps;
    const removed = new Set<string>();
    for (const { name, labels, status } of containers) {
      const tenant = tenantIn(labels);
      if (labels[LABEL.role] !== 'courier' || status !== 'created' || tenant === undefined || stacks.has(tenant)) {
        continue;
      }
      try {
        await engine.removeContainer(name, { platform: platformId, tenant }, { deadlineMs: REMOVE_MS });
        removed.add(name);
        logger.warn({ name, tenant }, 'a courier that a crash left was removed');
      } catch (error) {
        // It is listed as an orphan then, and tried again at the next pass.
        logger.error({ err: error, name, tenant }, 'a courier that a crash left could not be removed');
      }
    }
    return removed;
  }

  private async remove(now: Date): Promise<void> {
    const { dataSource, engine, engineId, platformId, logger } = this.deps;
    const over = await overdueOrphans(dataSource, engineId, now);
    const removals = {
      container: engine.removeContainer.bind(engine),
      network: engine.removeNetwork.bind(engine),
      volume: engine.removeVolume.bind(engine),
    };
    // A network or volume can only go once no container is on it.
    for (const kind of ['container', 'network', 'volume'] as const) {
      for (const orphan of over.filter((one) => one.kind === kind)) {
        const { name, tenantId } = orphan;
        try {
          await removals[kind](name, { platform: platformId, tenant: tenantId }, { deadlineMs: REMOVE_MS });
        } catch (error) {
          // It stays listed and is tried at the next pass; the others, and the pass, do not wait for it.
          logger.error({ err: error, kind, name, tenant: tenantId }, 'an orphan could not be removed');
          continue;
        }
        await forgetOrphan(dataSource, orphan);
        logger.warn({ kind, name, tenant: tenantId }, 'an orphan was removed, its grace was over');
      }
    }
  }
}

function unwantedAmong({ containers, networks, volumes }: EngineObjects, facts: readonly StackFacts[]): Unwanted[] {
  const wanted = new Map(
    facts.map((stack) => {
      const want = wantStack(stack);
      const names = [
        ...want.containers.map(({ spec }) => spec.name),
        ...want.volumes.map(({ name }) => name),
        ...want.spares,
      ];
      return [stack.tenantId, new Set([want.network.name, ...names])] as const;
    }),
  );
  const all = [
    ...containers.map(({ name, labels }) => ({ kind: 'container' as const, name, labels })),
    ...networks.map(({ name, labels }) => ({ kind: 'network' as const, name, labels })),
    ...volumes.map(({ name, labels }) => ({ kind: 'volume' as const, name, labels })),
  ];
  return all.flatMap(({ kind, name, labels }) => {
    const tenantId = tenantIn(labels);
    const stack = tenantId === undefined ? undefined : wanted.get(tenantId);
    // The planner clears away what backups are proven on.
    const known = stack !== undefined && (stack.has(name) || labels[LABEL.role] === SCRATCH);
    return tenantId === undefined || known ? [] : [{ kind, name, tenantId }];
  });
}
