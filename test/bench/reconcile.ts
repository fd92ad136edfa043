import { OperationEntity } from '#libs/db';
import { stackWorld, type StackWorld } from '../support/stack-world.js';
import { atMost, median, round, type BenchResult } from './report.js';

interface Options {
  n: number;
  say: (text: string) => void;
}

const PASSES = 5;
const BREAKS = 5;
/** Between two passes of an agent, in seconds. */
const PASS_SECONDS = 300;
const MANY_STACKS_AN_ACCOUNT = 1_000_000;
const PROVISION_AT_ONCE = 4;
const never = new AbortController().signal;

interface Cost {
  stacks: number;
  wallMs: number;
  cpuMs: number;
}

async function grow(world: StackWorld, to: number, from: number): Promise<void> {
  const owner = await world.account('premium');
  await world.database.dataSource.query('update plans set stacks = $1', [MANY_STACKS_AN_ACCOUNT]);
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

/** What jest runs around the tests, which need no types of their own. */
async function support(name: string): Promise<() => Promise<void>> {
  const loaded = (await import(new URL(`../support/${name}.mjs`, import.meta.url).href)) as {
    default: () => Promise<void>;
  };
  return loaded.default;
}

/**
 * A look at a whole engine in memory: its time, its processor time in the agent's process, and whether the next one
 * finds and repairs what is taken away between two of them. Nobody listens to events here; the passes are all there is.
 */
export async function reconcile({ n, say }: Options): Promise<BenchResult> {
  const startPostgres = await support('postgres-global');
  const stopPostgres = await support('postgres-global-stop');
  await startPostgres();
  const world = await stackWorld();
  try {
    const reconciler = world.reconciler();
    const costs: Cost[] = [];
    let made = 0;
    for (const stacks of [...new Set([10, 100, n, 2 * n])].toSorted((a, b) => a - b)) {
      say(`making ${stacks - made} stacks…`);
      await grow(world, stacks, made);
      made = stacks;
      const walls: number[] = [];
      const cpus: number[] = [];
      for (let pass = 0; pass < PASSES; pass += 1) {
        const cpu = process.cpuUsage();
        const began = performance.now();
        await reconciler.pass(never);
        walls.push(performance.now() - began);
        const { user, system } = process.cpuUsage(cpu);
        cpus.push((user + system) / 1_000);
      }
      costs.push({ stacks, wallMs: round(median(walls)), cpuMs: round(median(cpus)) });
      say(`${stacks} stacks: ${JSON.stringify(costs.at(-1))}`);
    }
    let repaired = 0;
    for (let turn = 0; turn < BREAKS; turn += 1) {
      repaired += (await repairedByNextPass(world, reconciler)) ? 1 : 0;
    }
    const at = (stacks: number): Cost =>
      costs.find((cost) => cost.stacks === stacks) ?? { stacks, wallMs: 0, cpuMs: 0 };
    const share = round((at(n).cpuMs / (PASS_SECONDS * 1_000)) * 100, 2);
    const growth = round(at(2 * n).cpuMs / 2 / Math.max(1, at(n).cpuMs), 2);
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
        atMost(`processor time of passes every ${PASS_SECONDS} s at ${n} stacks`, '% of one core', 5, share),
        atMost(`cost a stack at ${2 * n} over ${n}`, '×', 1.5, growth),
        {
          metric: 'found and repaired by the next pass',
          unit: `of ${BREAKS}`,
          goal: `= ${BREAKS}`,
          value: repaired,
          met: repaired === BREAKS,
        },
      ],
      lines: costs.map(({ stacks, wallMs, cpuMs }) => `${stacks} stacks: ${wallMs} ms, of which processor ${cpuMs} ms`),
    };
  } finally {
    await world.close();
    await stopPostgres();
  }
}

async function repairedByNextPass(
  world: StackWorld,
  reconciler: ReturnType<StackWorld['reconciler']>,
): Promise<boolean> {
  const names = world.engine.names().containers;
  const name = names[Math.floor(Math.random() * names.length)] ?? '';
  await world.engine.removeContainer(name, { platform: world.database.platformId }, { deadlineMs: 5_000 });
  await reconciler.pass(never);
  await reconciler.turn(never);
  const open = await world.database.dataSource.manager.findBy(OperationEntity, { state: 'queued' });
  for (const operation of open) {
    await world.runner().run(operation.id, operation.tenantId, never);
  }
  return world.engine.names().containers.includes(name);
}
