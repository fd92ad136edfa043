import { setTimeout as pause } from 'node:timers/promises';
import { OperationEntity } from '#libs/db';
import { createLogger } from '#libs/telemetry';
import { Timers } from '../../apps/agent/src/timers.js';
import { stackWorld, type StackWorld } from '../support/stack-world.js';
import { withPostgres } from './own-postgres.js';
import { atMost, median, round, type BenchResult } from './report.js';

interface Options {
  n: number;
  /** How long an agent's ordinary course is followed at `n` stacks. */
  minutes: number;
  say: (text: string) => void;
}

const PASSES = 5;
/** As an agent's own (leading.ts). */
const TURN_SECONDS = 0.25;
const CHECK_SECONDS = 30;
const MANY_STACKS_AN_ACCOUNT = 1_000_000;
const PROVISION_AT_ONCE = 4;
const MIB_A_STACK = 4_096;
const never = new AbortController().signal;

interface Cost {
  stacks: number;
  wallMs: number;
  cpuMs: number;
}

async function grow(world: StackWorld, to: number, from: number): Promise<void> {
  const owner = await world.account('premium');
  await world.database.dataSource.query('update plans set stacks = $1', [MANY_STACKS_AN_ACCOUNT]);
  // A host on which all of them fit; what one of them takes is no part of this.
  await world.database.dataSource.query('update engines set capacity = $1', [
    { memoryMb: 2 * to * MIB_A_STACK, cpus: 2 * to },
  ]);
  const runner = world.runner({ leaseSeconds: 60 });
  let next = from;
  const provisionSome = async (): Promise<void> => {
    while (next < to) {
      next += 1;
      const { operation, stack } = await world.stacks.create(owner, { template: 'standard' });
      await runner.run(operation.id, stack.id, never);
    }
  };
  await Promise.all(Array.from({ length: PROVISION_AT_ONCE }, provisionSome));
  // One engine, one process: what is counted below is the reconciler's alone.
  world.engine.log.reset();
}

/**
 * A look at a whole engine in memory: its time and its processor time in the agent's process, and whether it finds and
 * repairs what was taken away since the one before. Nobody listens to events here; the passes are all there is.
 */
export function reconcile(options: Options): Promise<BenchResult> {
  return withPostgres(() => looked(options));
}

async function looked({ n, minutes, say }: Options): Promise<BenchResult> {
  const world = await stackWorld();
  try {
    const reconciler = world.reconciler();
    const costs: Cost[] = [];
    let made = 0;
    let taken = 0;
    let repaired = 0;
    let share = Number.NaN;
    for (const stacks of [...new Set([10, 100, n, 2 * n])].toSorted((a, b) => a - b)) {
      say(`making ${stacks - made} stacks…`);
      await grow(world, stacks, made);
      made = stacks;
      // The first look at so many reads what the others remember.
      await reconciler.pass(never);
      const walls: number[] = [];
      const cpus: number[] = [];
      for (let pass = 0; pass < PASSES; pass += 1) {
        const isBack = await takeAway(world);
        taken += 1;
        const cpu = process.cpuUsage();
        const began = performance.now();
        await reconciler.pass(never);
        walls.push(performance.now() - began);
        cpus.push(cpuMsSince(cpu));
        await repair(world, reconciler);
        repaired += (await isBack()) ? 1 : 0;
      }
      costs.push({ stacks, wallMs: round(median(walls)), cpuMs: round(median(cpus)) });
      say(`${stacks} stacks: ${JSON.stringify(costs.at(-1))}`);
      if (stacks === n) {
        say(`${minutes} minutes of an agent with ${n} stacks that are well…`);
        share = await ordinaryCourse(world, minutes);
      }
    }
    const at = (stacks: number): Cost =>
      costs.find((cost) => cost.stacks === stacks) ?? { stacks, wallMs: 0, cpuMs: 0 };
    /** Of a stack, at each size over the next smaller one; ten stacks are nearly all beginning and end. */
    const growth = (of: (cost: Cost) => number): number =>
      round(
        Math.max(
          ...costs.slice(2).map((cost, index) => {
            const smaller = costs[index + 1] ?? cost;
            return of(cost) / cost.stacks / Math.max(Number.EPSILON, of(smaller) / smaller.stacks);
          }),
        ),
        2,
      );
    return {
      metrics: {
        ...Object.fromEntries(
          costs.flatMap(({ stacks, wallMs, cpuMs }) => [
            [`pass_ms_${stacks}`, wallMs],
            [`pass_cpu_ms_${stacks}`, cpuMs],
          ]),
        ),
        repaired,
        core_percent: share,
      },
      goals: [
        atMost(`pass at ${n} stacks`, 's', 60, round(at(n).wallMs / 1_000, 2)),
        atMost(`processor time over ${minutes} minutes at ${n} stacks`, '% of one core', 5, share),
        atMost(
          'a stack at each size over the next smaller one from 100 on, processor',
          '×',
          1.5,
          growth(({ cpuMs }) => cpuMs),
        ),
        atMost(
          'the same on the clock',
          '×',
          1.5,
          growth(({ wallMs }) => wallMs),
        ),
        {
          metric: 'found and repaired by the next pass',
          unit: `of ${taken}`,
          goal: `= ${taken}`,
          value: repaired,
          met: repaired === taken,
        },
      ],
      lines: costs.map(
        ({ stacks, wallMs, cpuMs }) =>
          `${stacks} stacks: ${wallMs} ms, of which processor ${cpuMs} ms; of each ${round(wallMs / stacks, 2)} and ${round(cpuMs / stacks, 2)} ms`,
      ),
    };
  } finally {
    await world.close();
  }
}

const cpuMsSince = (before: NodeJS.CpuUsage): number => {
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000;
};

const anyOf = (names: readonly string[]): string => names[Math.floor(Math.random() * names.length)] ?? '';

/** Removes a random container, network or route, and gives the question whether it is there again. */
async function takeAway({ engine, routes, database }: StackWorld): Promise<() => Promise<boolean>> {
  const owner = { platform: database.platformId };
  const bounds = { deadlineMs: 5_000 };
  const kind = anyOf(['containers', 'networks', 'routes']);
  if (kind === 'routes') {
    const rows = await database.dataSource.query<{ slug: string }[]>('select slug from tenants');
    const slug = anyOf(rows.map((row) => row.slug));
    await routes.remove(slug);
    return async () => (await routes.read(slug)) !== null;
  }
  if (kind === 'networks') {
    const name = anyOf(engine.names().networks.filter((network) => /-u[a-z2-7]{6}$/.test(network)));
    await engine.removeNetwork(name, owner, bounds);
    return () => Promise.resolve(engine.names().networks.includes(name));
  }
  const name = anyOf(engine.names().containers);
  await engine.removeContainer(name, owner, bounds);
  return () => Promise.resolve(engine.names().containers.includes(name));
}

/** What the agent does after a look that found something. */
async function repair(world: StackWorld, reconciler: ReturnType<StackWorld['reconciler']>): Promise<void> {
  await reconciler.turn(never);
  const open = await world.database.dataSource.manager.findBy(OperationEntity, { state: 'queued' });
  for (const operation of open) {
    await world.runner().run(operation.id, operation.tenantId, never);
  }
}

/** Per cent of one core that an agent's looks take at their own pace, the engine in memory with them. */
async function ordinaryCourse(world: StackWorld, minutes: number): Promise<number> {
  const end = new AbortController();
  const timers = new Timers(end.signal, createLogger('bench', 'error'));
  const reconciler = world.reconciler();
  const following = reconciler.follow(end.signal);
  const cpu = process.cpuUsage();
  const began = performance.now();
  timers.every('engine pass', TURN_SECONDS, () => reconciler.passTurn(end.signal));
  timers.every('reconcile', TURN_SECONDS, () => reconciler.turn(end.signal));
  timers.every('check', CHECK_SECONDS, () => world.checker.turn(end.signal));
  await pause(minutes * 60_000);
  const share = (cpuMsSince(cpu) / (performance.now() - began)) * 100;
  end.abort(new Error('measured'));
  await timers.ended();
  await following;
  return round(share, 2);
}
