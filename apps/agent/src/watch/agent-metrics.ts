import type { Database } from '#libs/db';
import { Counter, createRegistry, Gauge, Histogram } from '#libs/telemetry';
import type { AgentFigures } from '../metrics.js';
import { reconcileLagSeconds } from './reconcile-lag.js';
import type { LastUsage } from './usage-watcher.js';

interface MetricsDeps {
  dataSource: Database;
  engineId: string;
  usage: () => LastUsage | null;
  /** Names of periodic tasks and whether the last turn of each failed. */
  tasks: () => Record<string, boolean>;
  agent: () => AgentFigures;
  now: () => Date;
}

/** Operations that end later than this after the transaction that ends them began are not known to exist. */
const LATE_SECONDS = 120;
/** Stacks with series of their own; a host holds fewer, and a mistake must not fill the scraper's memory. */
const MOST_STACKS = 2_000;
const DURATIONS = [0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120, 300, 600];

interface Ended {
  id: string;
  kind: string;
  state: string;
  seconds: number;
  phases: { phase: string; state: string; seconds: number }[];
}

/** What the agent tells a scraper: its operations and phases, queue, routes, tasks, and what stacks and host use. */
export class AgentMetrics {
  private readonly registry = createRegistry();
  private readonly since: Date;
  /** Operations counted already, by when they ended. */
  private readonly counted = new Map<string, number>();
  private turn: Promise<unknown> = Promise.resolve();

  private readonly operations = this.gauge('aviary_operations', 'Operations of this engine.', ['kind', 'state']);
  private readonly operationSeconds = this.histogram(
    'aviary_operation_duration_seconds',
    'From the beginning of an operation to its end, since the agent started.',
    ['kind', 'state'],
  );
  private readonly phaseSeconds = this.histogram(
    'aviary_operation_phase_duration_seconds',
    'From the beginning of a phase of an operation to its end, since the agent started.',
    ['kind', 'phase', 'state'],
  );
  private readonly queueAge = this.gauge(
    'aviary_queue_oldest_seconds',
    'How long the operation that waits longest has waited; 0 when none does.',
  );
  private readonly overdue = this.gauge('aviary_operations_overdue', 'Open operations past their deadline.');
  private readonly stacks = this.gauge('aviary_stacks', 'Stacks by what is wanted and what was observed.', [
    'desired',
    'observed',
  ]);
  private readonly orphans = this.gauge(
    'aviary_orphans',
    'Objects on this engine that no stack wants: their stack is gone, or has no use for them.',
    ['why'],
  );
  private readonly reconcileLag = this.gauge(
    'aviary_reconcile_lag_seconds',
    'Since the whole engine was last compared with what is wanted, or since the stack looked at longest ago was looked at, whichever is longer.',
  );
  private readonly capacity = this.gauge(
    'aviary_capacity_ratio',
    'What is promised or taken of a resource of the host, as a part of what there is for stacks.',
    ['resource'],
  );
  private readonly routeLive = this.histogram(
    'aviary_route_live_seconds',
    'From the writing of a route to the proxy serving it, by the canary.',
    [],
    [0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.5, 2, 4, 10],
  );
  private readonly taskFailing = this.gauge('aviary_task_failing', '1 while the last turn of a periodic task failed.', [
    'task',
  ]);
  private readonly active = this.gauge('aviary_agent_active', '1 where this agent works, 0 where it stands by.');
  private readonly mismatches = this.gauge(
    'aviary_proxy_mismatches',
    'Things the proxy serves otherwise than the route files say.',
  );
  private readonly repairs = new Counter({
    name: 'aviary_proxy_repairs_total',
    help: 'Repairs of such, by writing files again and by a restart.',
    labelNames: ['by'],
    registers: [this.registry],
  });
  private readonly routeLag = this.gauge(
    'aviary_route_lag_seconds',
    'From the writing of a route until the proxy served it, last time.',
  );
  private readonly usageAge = this.gauge('aviary_usage_age_seconds', 'Since stacks and host were last measured.');
  private readonly stackCpu = this.gauge('aviary_stack_cpu_cores', 'Processor use of a stack in the last minute.', [
    'stack',
  ]);
  private readonly stackMemory = this.gauge('aviary_stack_memory_bytes', 'Memory of a stack without page cache.', [
    'stack',
  ]);
  private readonly stackMemoryLimit = this.gauge('aviary_stack_memory_limit_bytes', 'Memory a stack may have.', [
    'stack',
  ]);
  private readonly stackFullest = this.gauge(
    'aviary_stack_memory_fullest_ratio',
    'The service of a stack that is nearest to its own memory limit, as a part of it.',
    ['stack'],
  );
  private readonly stackOom = this.gauge(
    'aviary_stack_oom_kills',
    'Processes of a stack ended for lack of memory, of the containers it has now.',
    ['stack'],
  );
  private readonly stackTraffic = this.gauge(
    'aviary_stack_network_bytes_per_second',
    'Traffic of a stack with visitors and the internet in the last minute.',
    ['stack', 'direction'],
  );
  private readonly stackDisk = this.gauge('aviary_stack_disk_bytes', 'Volumes of a stack and what it wrote beside.', [
    'stack',
  ]);
  private readonly host = this.gauge('aviary_host_used', 'Used on the host: cores, and bytes of memory and disk.', [
    'resource',
  ]);
  private readonly hostTotal = this.gauge('aviary_host_total', 'What the host has of the same.', ['resource']);

  constructor(private readonly deps: MetricsDeps) {
    this.since = deps.now();
  }

  /** One sounding of the canary: how long a new route took to be served. */
  routeWasLive(milliseconds: number): void {
    this.routeLive.observe(milliseconds / 1_000);
  }

  /** The text a scraper reads. Two at once are read one after the other, so that nothing is counted twice. */
  async read(): Promise<string> {
    const reading = this.turn.then(async () => {
      await this.readOperations();
      await this.readStacks();
      await this.readUsage();
      this.readAgent();
      this.taskFailing.reset();
      for (const [task, failing] of Object.entries(this.deps.tasks())) {
        this.taskFailing.set({ task }, failing ? 1 : 0);
      }
      return this.registry.metrics();
    });
    this.turn = reading.catch(() => undefined);
    return reading;
  }

  private readAgent(): void {
    const { active, proxy, routeLagMs, room } = this.deps.agent();
    room.forEach(({ resource, share }) => share !== null && this.capacity.set({ resource }, share));
    this.active.set(active ? 1 : 0);
    this.mismatches.set(proxy.mismatches);
    this.repairs.reset();
    this.repairs.inc({ by: 'files' }, proxy.repairs.file);
    this.repairs.inc({ by: 'restart' }, proxy.repairs.restart);
    this.routeLag.reset();
    if (routeLagMs !== null) {
      this.routeLag.set(routeLagMs / 1_000);
    }
  }

  private async readOperations(): Promise<void> {
    const { dataSource, engineId, now } = this.deps;
    const rows: { kind: string; state: string; n: number; oldest: number | null; overdue: number }[] =
      await dataSource.query(
        `select kind, state, count(*)::int as n,
                extract(epoch from $2::timestamptz - min(created_at) filter (where state = 'queued'))::float8 as oldest,
                (count(*) filter (where state in ('queued', 'running') and deadline_at < $2))::int as overdue
           from operations where engine_id = $1 group by kind, state`,
        [engineId, now()],
      );
    this.operations.reset();
    for (const { kind, state, n } of rows) {
      this.operations.set({ kind, state }, n);
    }
    this.queueAge.set(Math.max(0, ...rows.map(({ oldest }) => oldest ?? 0)));
    this.overdue.set(rows.reduce((sum, { overdue }) => sum + overdue, 0));
    await this.countEnded();
  }

  /** The rows are the truth: whoever ended an operation, and however, it is counted once. */
  private async countEnded(): Promise<void> {
    const { dataSource, engineId, now } = this.deps;
    const at = now().getTime();
    const from = new Date(Math.max(this.since.getTime(), at - 10 * LATE_SECONDS * 1_000));
    const ended: Ended[] = await dataSource.query(
      `select o.id, o.kind, o.state, extract(epoch from o.finished_at - o.started_at)::float8 as seconds,
              coalesce((select json_agg(json_build_object('phase', s.phase, 'state', s.state,
                                 'seconds', extract(epoch from s.finished_at - s.started_at)))
                          from operation_steps s
                         where s.operation_id = o.id and s.action is null and s.started_at is not null
                           and s.finished_at is not null), '[]') as phases
         from operations o
        where o.engine_id = $1 and o.finished_at >= $2 and o.started_at is not null
          and o.state in ('done', 'failed', 'cancelled')`,
      [engineId, from],
    );
    for (const { id, kind, state, seconds, phases } of ended) {
      if (!this.counted.has(id)) {
        this.counted.set(id, at);
        this.operationSeconds.observe({ kind, state }, seconds);
        for (const phase of phases) {
          this.phaseSeconds.observe({ kind, phase: phase.phase, state: phase.state }, phase.seconds);
        }
      }
    }
    const seen = new Set(ended.map(({ id }) => id));
    for (const id of this.counted.keys()) {
      if (!seen.has(id)) {
        this.counted.delete(id);
      }
    }
  }

  private async readStacks(): Promise<void> {
    const { dataSource, engineId, now } = this.deps;
    const rows: { desired: string; observed: string; n: number }[] = await dataSource.query(
      'select desired, observed, count(*)::int as n from tenants where engine_id = $1 group by desired, observed',
      [engineId],
    );
    this.stacks.reset();
    for (const { desired, observed, n } of rows) {
      this.stacks.set({ desired, observed }, n);
    }
    const orphans: { why: string; n: number }[] = await dataSource.query(
      `select why, (select count(*) from orphans o where o.engine_id = $1 and o.why = reasons.why)::int as n
         from unnest(array['no_stack', 'not_wanted']) as reasons (why)`,
      [engineId],
    );
    orphans.forEach(({ why, n }) => this.orphans.set({ why }, n));
    const { passedAt } = this.deps.agent();
    this.reconcileLag.set(await reconcileLagSeconds(dataSource, { engineId, passedAt, now: now() }));
  }

  private async readUsage(): Promise<void> {
    const { dataSource, engineId, usage, now } = this.deps;
    const last = usage();
    for (const gauge of [
      this.stackCpu,
      this.stackMemory,
      this.stackMemoryLimit,
      this.stackFullest,
      this.stackOom,
      this.stackTraffic,
      this.stackDisk,
      this.host,
      this.hostTotal,
    ]) {
      // What is gone must not be told on.
      gauge.reset();
    }
    if (last === null) {
      return;
    }
    this.usageAge.set((now().getTime() - last.at.getTime()) / 1_000);
    const { engine, seconds } = last;
    if (engine.cpu !== null) {
      this.host.set({ resource: 'cpu' }, engine.cpu);
    }
    this.host.set({ resource: 'memory' }, engine.memoryBytes);
    this.host.set({ resource: 'disk' }, engine.diskBytes);
    this.hostTotal.set({ resource: 'cpu' }, engine.cores);
    this.hostTotal.set({ resource: 'memory' }, engine.memoryTotalBytes);
    this.hostTotal.set({ resource: 'disk' }, engine.diskTotalBytes);
    const rows: { id: string; slug: string; memory: number; disk: string | null }[] = await dataSource.query(
      `select t.id, t.slug, (t.limits ->> 'memoryMb')::float8 * 1048576 as memory,
              (select u.disk_bytes from tenant_usage u
                where u.tenant_id = t.id and u.step_seconds = 60 and u.disk_bytes is not null
                order by u.at desc limit 1) as disk
         from tenants t where t.engine_id = $1 order by t.id limit $2`,
      [engineId, MOST_STACKS],
    );
    const samples = new Map(last.stacks.map((sample) => [sample.tenantId, sample]));
    for (const { id, slug: stack, memory, disk } of rows) {
      const sample = samples.get(id);
      if (disk !== null) {
        this.stackDisk.set({ stack }, Number(disk));
      }
      if (sample === undefined) {
        continue;
      }
      this.stackMemory.set({ stack }, sample.memoryBytes);
      this.stackMemoryLimit.set({ stack }, memory);
      this.stackOom.set(
        { stack },
        sample.services.reduce((sum, { oomKills }) => sum + oomKills, 0),
      );
      this.stackFullest.set(
        { stack },
        Math.max(
          0,
          ...sample.services.map(({ memoryBytes, memoryLimitBytes }) =>
            memoryLimitBytes === null ? 0 : memoryBytes / memoryLimitBytes,
          ),
        ),
      );
      if (sample.cpu !== null) {
        this.stackCpu.set({ stack }, sample.cpu);
      }
      if (sample.receivedBytes !== null && sample.sentBytes !== null && seconds !== null) {
        this.stackTraffic.set({ stack, direction: 'received' }, sample.receivedBytes / seconds);
        this.stackTraffic.set({ stack, direction: 'sent' }, sample.sentBytes / seconds);
      }
    }
  }

  private gauge<L extends string = never>(name: string, help: string, labelNames: L[] = []): Gauge<L> {
    return new Gauge({ name, help, labelNames, registers: [this.registry] });
  }

  private histogram<L extends string>(
    name: string,
    help: string,
    labelNames: L[],
    buckets: number[] = DURATIONS,
  ): Histogram<L> {
    return new Histogram({ name, help, labelNames, buckets, registers: [this.registry] });
  }
}
