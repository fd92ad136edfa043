import { isDomainError } from '#libs/contracts';
import { TenantEntity, type Database } from '#libs/db';
import type { Engine, EngineEvent, EngineObjects } from '#libs/engine';
import type { Queue } from '#libs/jobs';
import {
  isBarred,
  plan,
  readFacts,
  readManyFacts,
  serving,
  wantStack,
  wrongFiles,
  type Action,
  type EdgeKeeper,
  type FactSettings,
  type Probes,
  type Routes,
  type SecretFiles,
  type StackFacts,
} from '#libs/orchestrator';
import type { Logger } from '#libs/telemetry';
import { isBusy } from '#libs/tenants';
import { DueLooks } from './due-looks.js';
import type { EndKeeper } from './end-keeper.js';
import type { AgentFigures } from './metrics.js';
import type { OrphanKeeper } from './orphan-keeper.js';
import { RECONCILE_TIMES, type ReconcileTimes } from './reconcile-times.js';
import { Repairs } from './repairs.js';
import type { StackChecker } from './stack-checker.js';
import { groupByTenant, StackNames } from './stack-names.js';
import { NOTHING_DUE } from './timers.js';
import { UnwellStacks } from './unwell-stacks.js';

interface ReconcilerDeps {
  dataSource: Database;
  queue: Pick<Queue, 'enqueue'>;
  portalUrl: string;
  engine: Engine;
  routes: Routes;
  secrets: SecretFiles;
  probes: Probes;
  edges: EdgeKeeper;
  checker: StackChecker;
  orphans: OrphanKeeper;
  ends: EndKeeper;
  settings: FactSettings & { engineId: string };
  logger: Logger;
  now: () => Date;
  times?: ReconcileTimes;
}

const OBSERVE_MS = 20_000;
const OBSERVE_ALL_MS = 60_000;
const READY_MS = 3_000;
/**
 * Makes true again what a customer wants and something outside an operation undid. It looks, plans with the planner
 * that provisions, and where there is anything to do starts an operation `repair` like any other; it changes nothing
 * on the engine by itself.
 */
export class Reconciler {
  private readonly times: ReconcileTimes;
  private readonly looks: DueLooks;
  private following: Promise<void> | null = null;
  /** Why events are followed no more, until a turn tells. */
  private deaf: { reason: unknown } | null = null;
  /** Soon, whether or not events are ever told. */
  private passAt: number;
  private readonly names: StackNames;
  private readonly repairs: Repairs;
  private readonly unwell: UnwellStacks;
  private readonly filesSeenAt = new Map<string, number>();
  private passed: Date;
  private newestPass: AgentFigures['pass'] = null;

  constructor(private readonly deps: ReconcilerDeps) {
    this.passed = deps.now();
    this.names = new StackNames(deps.settings.platformId);
    this.times = deps.times ?? RECONCILE_TIMES;
    const { againMs, patienceMs } = this.times;
    this.looks = new DueLooks({ look: (id, signal) => this.look(id, signal), againMs, patienceMs });
    this.unwell = new UnwellStacks(this.times.againMs);
    this.repairs = new Repairs(deps);
    this.passAt = performance.now() + this.times.settleMs;
  }

  /** Begins to follow the engine's events where nothing does; throws why they were followed no more, and follows again. */
  async listen(signal: AbortSignal): Promise<void> {
    const { deaf } = this;
    this.deaf = null;
    this.following ??= this.follow(signal)
      .catch((reason: unknown) => {
        this.deaf = { reason };
      })
      .finally(() => {
        this.following = null;
      });
    if (deaf) {
      throw new Error('the engine’s events were followed no more; now they are again', { cause: deaf.reason });
    }
    return Promise.resolve();
  }

  /** Listens until the signal fires. */
  async follow(signal: AbortSignal): Promise<void> {
    for await (const event of this.deps.engine.events({ platform: this.deps.settings.platformId }, signal)) {
      this.hear(event);
    }
  }

  /** Once nothing looks or listens any more, after the signals fired. */
  async ended(): Promise<void> {
    await Promise.all([this.following, this.looks.ended()]);
  }

  /** Seen to be unwell by somebody who looks from outside, of which the engine tells nothing. */
  suspect(tenantId: string): void {
    this.looks.mark(tenantId, 0, true);
  }

  /** When the whole engine was last compared with what is wanted; at first, when this reconciler began. */
  get passedAt(): Date {
    return this.passed;
  }

  get lastPass(): AgentFigures['pass'] {
    return this.newestPass;
  }

  /** Why no stack is restarted although it does not answer: most are unwell at once. Null while that is not so. */
  get fleetUnwell(): { unwell: number; of: number } | null {
    return this.unwell.fleet;
  }

  /** Looks at the whole engine when that is due; called several times a second, beside the looks at single stacks. */
  async passTurn(signal: AbortSignal): Promise<typeof NOTHING_DUE | void> {
    if (this.passAt > performance.now()) {
      return NOTHING_DUE;
    }
    this.passAt = performance.now() + this.times.passMs * (0.8 + 0.4 * Math.random());
    const before = this.passed;
    try {
      await this.pass(signal);
    } catch (error) {
      // Where single stacks could not be compared, they are marked themselves, and all others were.
      if (this.passed === before) {
        this.passAt = performance.now() + this.times.againMs;
      }
      throw error;
    }
  }

  /** Looks at the stacks that are due; called several times a second. Throws what failed since the last turn. */
  turn(signal: AbortSignal): Promise<typeof NOTHING_DUE | void> {
    return this.looks.turn(signal);
  }

  /**
   * Looks at the whole engine once, and marks every stack that is not as wanted. Gives how many were compared; throws
   * at its end where some could not be.
   */
  async pass(signal: AbortSignal): Promise<number> {
    const { dataSource, engine, edges, orphans, settings, logger, now } = this.deps;
    const began = performance.now();
    const owner = { platform: settings.platformId };
    const objects = await engine.observe(owner, { deadlineMs: OBSERVE_ALL_MS, signal });
    edges.seen(objects.networks.flatMap((network) => this.names.edgeOf(network)));
    // Read after the look: what is gone from the rows by now was destroyed, and what is new was not there to be seen.
    const tenants = await dataSource.manager.find(TenantEntity, {
      where: { engineId: settings.engineId },
      select: { id: true, slug: true },
    });
    const ids = tenants.map(({ id }) => id);
    const facts = await readManyFacts(dataSource.manager, settings, ids);
    const byTenant = groupByTenant(objects);
    this.forgetAllBut(new Set(ids));
    tenants.forEach(({ id, slug }) => this.names.learn(id, slug));
    this.unwell.running = facts.filter((stack) => wantStack(stack).run).length;
    const at = performance.now();
    const failures: unknown[] = [];
    for (const stack of facts) {
      signal.throwIfAborted();
      const own = byTenant.get(stack.tenantId) ?? { containers: [], networks: [], volumes: [] };
      this.names.remember(stack.tenantId, own);
      const seen = this.filesSeenAt.get(stack.tenantId);
      if (seen === undefined) {
        // Spread over the whole time, so that not all of a host's stacks are read at once.
        this.filesSeenAt.set(stack.tenantId, at - Math.random() * this.times.filesMs);
      }
      const filesDue = seen !== undefined && at - seen > this.times.filesMs;
      try {
        if (filesDue || (await this.differs(stack, own))) {
          this.looks.mark(stack.tenantId, 0);
        }
      } catch (error) {
        // One stack whose rows do not fit together must not keep all others from being looked after.
        logger.error({ stack: stack.slug, err: error }, 'a stack could not be compared with what is wanted');
        failures.push(error);
        this.looks.mark(stack.tenantId, this.times.againMs, true);
      }
    }
    await orphans.note(objects, facts, now());
    this.passed = now();
    const took = performance.now() - began;
    this.newestPass = { at: this.passed, seconds: took / 1_000, stacks: facts.length };
    logger.debug({ stacks: facts.length, ms: Math.round(took) }, 'looked at the whole engine');
    if (failures.length > 0) {
      throw new AggregateError(failures, `${failures.length} of ${facts.length} stacks could not be compared`, {
        cause: failures[0],
      });
    }
    return facts.length;
  }

  /** Looks at one stack and starts what it needs. */
  async look(tenantId: string, signal: AbortSignal): Promise<void> {
    const { dataSource, settings, ends } = this.deps;
    const facts = await readFacts(dataSource.manager, settings, tenantId);
    if (!facts) {
      return;
    }
    if (await isBusy(dataSource.manager, tenantId)) {
      this.looks.mark(tenantId, this.times.againMs, true);
      return;
    }
    // Beside it, since the words of what ended are read from a log, and nobody's repair waits for those.
    await Promise.all([ends.note(facts, signal), this.compare(facts, signal)]);
  }

  private async compare(facts: StackFacts, signal: AbortSignal): Promise<void> {
    const { engine, checker } = this.deps;
    const { tenantId } = facts;
    const want = wantStack(facts);
    const objects = await engine.observe(want.owner, { deadlineMs: OBSERVE_MS, signal });
    this.names.remember(tenantId, objects);
    const files = this.areFilesDue(tenantId) ? await this.lookAtFiles(facts, objects, signal) : new Set<string>();
    let actions: Action[];
    try {
      actions = await this.planned(facts, objects, files);
    } catch (error) {
      if (!isBarred(error)) {
        throw error;
      }
      // Nothing is made in the place of lost data nor started on what its server cannot open; asking again changes nothing.
      await checker.look(tenantId, signal);
      return;
    }
    if (actions.length > 0) {
      await this.mend(facts, actions.map(({ id }) => id).join('; '));
      return;
    }
    if (want.run && (await this.repairs.breakCrashLoop(facts))) {
      return;
    }
    const seen = await checker.look(tenantId, signal);
    if (!want.run || seen === null || seen.observed === 'running') {
      this.unwell.delete(tenantId);
      return;
    }
    if (seen.reason?.params['layer'] === 'route') {
      // Neither its own trouble nor the host's: proxy and portal are watched by others.
      this.unwell.delete(tenantId);
      this.looks.mark(tenantId, this.times.againMs, true);
      return;
    }
    await this.nurse(facts, signal);
  }

  private hear(event: EngineEvent): void {
    const { logger } = this.deps;
    if (event.kind === 'lost') {
      logger.warn({ reason: event.reason }, 'the engine tells no events at the moment');
      return;
    }
    if (event.kind === 'resync') {
      this.passAt = Math.min(this.passAt, performance.now() + this.times.settleMs);
      return;
    }
    const { kind, name, labels } = event;
    const tenantId = this.names.tenantOf(event);
    if (tenantId === undefined) {
      if (labels === null && this.names.edgeIndex(name) !== null && kind === 'network removed') {
        this.passAt = Math.min(this.passAt, performance.now() + this.times.settleMs);
      }
      return;
    }
    this.deps.ends.hear(tenantId, event);
    this.repairs.hear(tenantId, event);
    if (kind === 'container started') {
      // It reads its files now.
      this.filesSeenAt.set(tenantId, Number.NEGATIVE_INFINITY);
    }
    this.looks.mark(tenantId, this.times.settleMs);
  }

  private forgetAllBut(tenants: ReadonlySet<string>): void {
    for (const known of [this.looks, this.repairs, this.unwell, this.filesSeenAt, this.deps.ends]) {
      [...known.keys()].filter((id) => !tenants.has(id)).forEach((id) => known.delete(id));
    }
    this.names.forget();
  }

  private areFilesDue(tenantId: string): boolean {
    const seen = this.filesSeenAt.get(tenantId);
    return seen === undefined || performance.now() - seen > this.times.filesMs;
  }

  /** Due again at the next look, unless they were seen to be right. */
  private async lookAtFiles(facts: StackFacts, objects: EngineObjects, signal: AbortSignal): Promise<Set<string>> {
    const { engine, secrets } = this.deps;
    const { tenantId } = facts;
    // Before they are read: what is started meanwhile makes them due once more.
    this.filesSeenAt.set(tenantId, performance.now());
    let right = false;
    try {
      const wrong = await wrongFiles({ engine, secrets, facts, want: wantStack(facts), objects, signal });
      right = wrong.size === 0;
      return wrong;
    } finally {
      if (!right) {
        this.filesSeenAt.set(tenantId, Number.NEGATIVE_INFINITY);
      }
    }
  }

  private async planned(
    facts: StackFacts,
    objects: EngineObjects,
    files: ReadonlySet<string> = new Set(),
  ): Promise<Action[]> {
    const { routes, edges } = this.deps;
    const want = wantStack(facts);
    const edgeIds = edges.knownIds();
    return plan(
      want,
      {
        objects,
        edges: edges.known(),
        ...(edgeIds ? { edgeIds } : {}),
        route: await routes.read(facts.slug),
        wrongFiles: files,
      },
      { text: want.gone ? null : routes.render(facts, serving(facts)) },
    );
  }

  private async differs(facts: StackFacts, objects: EngineObjects): Promise<boolean> {
    try {
      return (await this.planned(facts, objects)).length > 0;
    } catch (error) {
      if (isBarred(error)) {
        return true;
      }
      throw error;
    }
  }

  private async mend(facts: StackFacts, why: string): Promise<void> {
    const again = await this.repairs.mend(facts, why);
    if (again !== null) {
      this.looks.mark(facts.tenantId, again.getTime() - this.deps.now().getTime());
    }
  }

  /** A stack that has all it should have and does not answer: looked at again soon, and in the end restarted. */
  private async nurse(facts: StackFacts, signal: AbortSignal): Promise<void> {
    const { probes, logger } = this.deps;
    const { tenantId, slug } = facts;
    this.looks.mark(tenantId, this.times.againMs, true);
    if (!this.unwell.note(tenantId)) {
      return;
    }
    try {
      // By address: what only the proxy does not serve is not mended by restarting what trades.
      await probes.ready(facts, { deadlineMs: READY_MS, signal });
      return;
    } catch (error) {
      if (!isDomainError(error, 'HEALTH_GATE_FAILED')) {
        throw error;
      }
    }
    if (this.unwell.fleet) {
      logger.error(this.unwell.fleet, 'most stacks are unwell at once; none is restarted');
      return;
    }
    this.unwell.delete(tenantId);
    await this.mend(facts, `${slug} does not answer`);
  }
}
