import { randomUUID } from 'node:crypto';
import { OperationEntity, OperationStepEntity, OrphanEntity } from '#libs/db';
import type { LastUsage } from '../../apps/agent/src/watch/usage-watcher.js';
import { AgentMetrics } from '../../apps/agent/src/watch/agent-metrics.js';
import { WELL } from '../support/agent-figures.js';
import { stackWorld, type StackWorld } from '../support/stack-world.js';

jest.setTimeout(60_000);

let world: StackWorld;
beforeAll(async () => {
  world = await stackWorld();
});
afterAll(() => world.close());

/** Value of one series, by its whole name; undefined where it is not told. */
const series = (text: string, name: string): number | undefined => {
  const line = text.split('\n').find((one) => one.startsWith(`${name} `));
  return line === undefined ? undefined : Number(line.slice(name.length + 1));
};

describe('the metrics of an agent', () => {
  it('count each ended operation and its phases once, whoever reads how often', async () => {
    const { dataSource } = world.database;
    const { stack, operation } = await world.stacks.create(await world.account(), { template: 'standard' });
    let passedAt: Date | null = null;
    const metrics = new AgentMetrics({
      dataSource,
      engineId: 'local',
      usage: () => null,
      tasks: () => ({ sweep: false, check: true }),
      agent: () => ({
        ...WELL,
        passedAt,
      }),
      now: () => new Date(),
    });
    await dataSource.manager.update(
      OperationEntity,
      { id: operation.id },
      { createdAt: new Date(Date.now() - 90_000) },
    );
    const waiting = await metrics.read();
    expect(series(waiting, 'aviary_operations{kind="provision",state="queued"}')).toBe(1);
    expect(series(waiting, 'aviary_queue_oldest_seconds')).toBeGreaterThanOrEqual(90);
    expect(series(waiting, 'aviary_queue_oldest_seconds')).toBeLessThan(150);
    expect(series(waiting, 'aviary_orphans{why="no_stack"}')).toBe(0);
    expect(series(waiting, 'aviary_task_failing{task="check"}')).toBe(1);
    expect(series(waiting, 'aviary_task_failing{task="sweep"}')).toBe(0);

    const end = new Date();
    const before = (seconds: number): Date => new Date(end.getTime() - seconds * 1_000);
    await dataSource.manager.update(
      OperationStepEntity,
      { operationId: operation.id, phase: 'converge' },
      { state: 'done', startedAt: before(3), finishedAt: before(0.5) },
    );
    await dataSource.manager.update(
      OperationEntity,
      { id: operation.id },
      { state: 'done', startedAt: before(3.2), finishedAt: end },
    );
    const left = { kind: 'volume', tenantId: stack.id, firstSeenAt: end, lastSeenAt: end, removeAt: null } as const;
    await dataSource.manager.insert(OrphanEntity, [
      { ...left, engineId: 'local', name: 'one', why: 'no_stack' },
      { ...left, engineId: 'local', name: 'two', why: 'no_stack' },
      { ...left, engineId: 'another', name: 'three', why: 'no_stack' },
    ]);
    await dataSource.query(`update tenants set checked_at = now() - interval '10 minutes' where id = $1`, [stack.id]);
    await Promise.all([metrics.read(), metrics.read(), metrics.read()]);
    const text = await metrics.read();
    const labels = '{kind="provision",state="done"}';
    expect(series(text, `aviary_operation_duration_seconds_count${labels}`)).toBe(1);
    expect(series(text, `aviary_operation_duration_seconds_sum${labels}`)).toBeCloseTo(3.2, 2);
    const phase = '{kind="provision",phase="converge",state="done"}';
    expect(series(text, `aviary_operation_phase_duration_seconds_count${phase}`)).toBe(1);
    expect(series(text, `aviary_operation_phase_duration_seconds_sum${phase}`)).toBeCloseTo(2.5, 2);
    expect(series(text, 'aviary_queue_oldest_seconds')).toBe(0);
    expect(series(text, 'aviary_orphans{why="no_stack"}')).toBe(2);
    expect(series(text, 'aviary_orphans{why="not_wanted"}')).toBe(0);
    expect(series(text, 'aviary_reconcile_lag_seconds')).toBeGreaterThanOrEqual(600);
    expect(series(text, 'aviary_reconcile_lag_seconds')).toBeLessThan(900);
    expect(series(text, 'aviary_capacity_ratio{resource="memory"}')).toBe(0.75);
    // Every stack is looked at, and the engine as a whole is not: what a pass alone would see is seen by nobody.
    passedAt = new Date(Date.now() - 1_200_000);
    expect(series(await metrics.read(), 'aviary_reconcile_lag_seconds')).toBeGreaterThanOrEqual(1_200);
    expect(series(text, 'aviary_stacks{desired="running",observed="none"}')).toBe(1);
    metrics.routeWasLive(340);
    expect(series(await metrics.read(), 'aviary_route_live_seconds_bucket{le="0.4"}')).toBe(1);
  });

  it('tell what stacks use by their names, and stop telling when a stack is gone', async () => {
    const { dataSource } = world.database;
    const made = await Promise.all(
      [1, 2].map(async () => (await world.stacks.create(await world.account(), { template: 'standard' })).stack),
    );
    const sample = (tenantId: string): LastUsage['stacks'][number] => ({
      tenantId,
      cpu: 0.25,
      memoryBytes: 1_000,
      diskBytes: null,
      receivedBytes: 6_000,
      sentBytes: 600,
      services: [
        { service: 'runtime', cpu: 0.25, memoryBytes: 900, memoryLimitBytes: 1_000, oomKills: 2, pids: 4 },
        { service: 'redis', cpu: 0, memoryBytes: 100, memoryLimitBytes: 1_000, oomKills: 0, pids: 4 },
      ],
    });
    let last: LastUsage = {
      at: new Date(Date.now() - 5_000),
      seconds: 60,
      stacks: [...made.map(({ id }) => sample(id)), sample(randomUUID())],
      engine: {
        cpu: 1.5,
        cores: 2,
        memoryBytes: 3,
        memoryTotalBytes: 4,
        diskBytes: 5,
        diskTotalBytes: 6,
        receivedBytes: null,
        sentBytes: null,
      },
    };
    const metrics = new AgentMetrics({
      dataSource,
      engineId: 'local',
      usage: () => last,
      tasks: () => ({}),
      agent: () => WELL,
      now: () => new Date(),
    });
    const text = await metrics.read();
    const [first, second] = made.map(({ slug }) => slug);
    expect(series(text, `aviary_stack_memory_bytes{stack="${first}"}`)).toBe(1_000);
    expect(series(text, `aviary_stack_memory_fullest_ratio{stack="${first}"}`)).toBe(0.9);
    expect(series(text, `aviary_stack_oom_kills{stack="${first}"}`)).toBe(2);
    expect(series(text, `aviary_stack_network_bytes_per_second{stack="${first}",direction="received"}`)).toBe(100);
    expect(series(text, 'aviary_host_used{resource="cpu"}')).toBe(1.5);
    expect(series(text, 'aviary_host_total{resource="disk"}')).toBe(6);
    expect(series(text, 'aviary_usage_age_seconds')).toBeGreaterThanOrEqual(5);
    // What the portal does not know by name has none here.
    expect(text.match(/^aviary_stack_memory_bytes\{/gm)).toHaveLength(2);
    last = { ...last, stacks: last.stacks.slice(0, 1) };
    expect(series(await metrics.read(), `aviary_stack_memory_bytes{stack="${second}"}`)).toBeUndefined();
  });
});
