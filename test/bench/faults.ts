import type { Point } from '../support/faults/door.js';
import { FaultWorld, type Outcome } from '../support/faults/fault-world.js';
import { FAULT_OPERATIONS, type FaultOperation } from '../support/faults/operations.js';
import { inRandomOrder } from '../support/faults/sample.js';
import { withPostgres } from './own-postgres.js';
import { median, round, type BenchResult } from './report.js';

interface Options {
  /** All of them where none is named. */
  operation: string | undefined;
  /** Stacks, each with agents of its own, that are worked on at once. */
  parallel: number;
  /** Of the order in which points are gone through. */
  seed: number;
  /** So many of each operation, the first by that order; all where not said. */
  most: number | undefined;
  say: (text: string) => void;
}

interface Task {
  operation: FaultOperation;
  point: Point;
}

/**
 * Kills an agent before and after every call of the engine and of its streams, and before, in and after every restic,
 * of each operation of backups; the next agent takes over, and what it leaves is looked at. The engine lies in memory
 * and outlives the agents; PostgreSQL and restic are real.
 */
export function faults({ operation, parallel, seed, most, say }: Options): Promise<BenchResult> {
  const operations = FAULT_OPERATIONS.filter((one) => operation === undefined || one === operation);
  if (operations.length === 0) {
    throw new Error(`there is no operation ${operation}: ${FAULT_OPERATIONS.join(', ')}`);
  }
  return withPostgres(async () => {
    const outcomes: Outcome[] = [];
    const calls = new Map<FaultOperation, number>();
    const tasks: Task[] = [];
    const first = await FaultWorld.start();
    try {
      for (const one of operations) {
        const points = await first.points(one);
        calls.set(one, points.filter(({ moment }) => moment === 'before').length);
        const order = inRandomOrder(points, seed, one).slice(0, most);
        tasks.push(...order.map((point) => ({ point, operation: one })));
        say(`${one}: ${calls.get(one)} calls, ${points.length} points`);
      }
    } finally {
      await first.close();
    }
    const all = tasks.length;
    const work = async (): Promise<void> => {
      let world: FaultWorld | null = null;
      try {
        for (let task = tasks.shift(); task; task = tasks.shift()) {
          world ??= await FaultWorld.start();
          const outcome = await world.tried(task.operation, task.point);
          outcomes.push(outcome);
          say(`${outcomes.length}/${all} ${told(outcome)}`);
          // What one point leaves would be found again at the next.
          if (outcome.findings.length > 0) {
            await world.close();
            world = null;
          }
        }
      } finally {
        await world?.close();
      }
    };
    await Promise.all(Array.from({ length: parallel }, work));
    return result(outcomes, calls, seed);
  });
}

const told = ({ operation, point, findings, seconds }: Outcome): string =>
  `${findings.length === 0 ? '✓' : '✗'} ${operation} ${point.moment} ${point.step} (${point.nth}), ${round(seconds, 1)} s` +
  findings.map((finding) => `\n    ${finding}`).join('');

function result(outcomes: readonly Outcome[], calls: ReadonlyMap<FaultOperation, number>, seed: number): BenchResult {
  const broken = outcomes.filter(({ findings }) => findings.length > 0);
  const rows = [...calls].map(([operation, number]) => {
    const mine = outcomes.filter((outcome) => outcome.operation === operation);
    const held = mine.filter(({ findings }) => findings.length === 0).length;
    const seconds = round(median(mine.map((outcome) => outcome.seconds)), 1);
    return { operation, calls: number, points: mine.length, held, seconds };
  });
  const cells = (...values: (string | number)[]): string => values.map((value) => String(value).padEnd(10)).join('');
  return {
    metrics: Object.fromEntries([
      ['seed', seed],
      ...rows.flatMap(({ operation, points, held }) => [
        [`${operation}_points`, points],
        [`${operation}_held`, held],
      ]),
    ]) as Record<string, number>,
    goals: [
      {
        metric: 'points that held',
        unit: `of ${outcomes.length}`,
        goal: `= ${outcomes.length}`,
        value: outcomes.length - broken.length,
        met: broken.length === 0,
      },
    ],
    lines: [
      `seed ${seed}`,
      cells('operation', 'calls', 'points', 'held', 's a point'),
      ...rows.map((row) => cells(row.operation, row.calls, row.points, row.held, row.seconds)),
      ...broken.map(told),
    ],
    failed: broken.length > 0,
  };
}
