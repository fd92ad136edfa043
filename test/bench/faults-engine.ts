import {
  EngineFaults,
  FAULT_ROUNDS,
  faultSettings,
  toldOutcome,
  type EngineOutcome,
} from '../support/engine-faults/engine-faults.js';
import { ENGINE_FAULTS } from '../support/engine-faults/points.js';
import { SmallDisk } from '../support/engine-faults/small-disk.js';
import { FAULT_OPERATIONS } from '../support/faults/operations.js';
import { withOwnPlatform } from './own-platform.js';
import type { BenchResult } from './report.js';

interface Options {
  /** All of them where none is named. */
  operation: string | undefined;
  /** Of the points. */
  seed: number;
  /** So many of each operation and fault. */
  most: number;
  say: (text: string) => void;
}

/**
 * Points of each operation and fault on a real engine, chosen by the seed, two operations met at once: the agent killed,
 * the engine killed and back after some seconds, the repositories' disk full and room again. Afterwards the operation is
 * done, or failed for the disk and is done when it is asked for again.
 */
export async function faultsOnEngine({ operation, seed, most, say }: Options): Promise<BenchResult> {
  const rounds = FAULT_ROUNDS.map((round) =>
    round.filter((one) => operation === undefined || one === operation),
  ).filter((round) => round.length > 0);
  if (rounds.length === 0) {
    throw new Error(`there is no operation ${operation}: ${FAULT_OPERATIONS.join(', ')}`);
  }
  const disk = await SmallDisk.make();
  try {
    return await withOwnPlatform(faultSettings(disk), async ({ platform, operator }) => {
      const faults = await EngineFaults.make(platform, disk, operator);
      const outcomes: EngineOutcome[] = [];
      for (let nth = 0; nth < most; nth += 1) {
        for (const fault of ENGINE_FAULTS) {
          for (const operations of rounds) {
            const met = await faults.round(fault, operations, { seed, nth });
            outcomes.push(...met);
            met.forEach((outcome) => say(toldOutcome(outcome)));
          }
        }
      }
      return result(outcomes, seed);
    });
  } finally {
    await disk.remove();
  }
}

function result(outcomes: readonly EngineOutcome[], seed: number): BenchResult {
  const held = outcomes.filter(({ findings }) => findings.length === 0).length;
  const all = outcomes.length;
  return {
    metrics: { seed, points: all, held },
    goals: [{ metric: 'points that held', unit: `of ${all}`, goal: `= ${all}`, value: held, met: held === all }],
    lines: [`seed ${seed}, on a real engine`, ...outcomes.map(toldOutcome)],
    failed: held < all,
  };
}
