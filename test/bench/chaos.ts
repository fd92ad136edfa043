import { randomInt } from 'node:crypto';
import { chaos } from '../support/chaos/chaos.js';
import { TestPlatform } from '../support/platform.js';
import { atMost, round, type BenchResult } from './report.js';

interface Options {
  stacks: number;
  minutes: number;
  /** Of the schedule of faults and of what customers want; a new one where none is given. */
  seed: number | undefined;
  say: (text: string) => void;
}

/** A stack whose destroy failed is tried again after five minutes, one whose repairs failed after at most that. */
const SETTLE_SECONDS = 480;
const INVARIANTS = ['wanted = observed', 'no orphans', 'no open operations', 'ledgers'] as const;

/** A platform of its own under random faults and busy customers: does all of it become well by itself afterwards? */
export async function chaosBench({ stacks, minutes, seed = randomInt(2 ** 31), say }: Options): Promise<BenchResult> {
  const platform = await TestPlatform.start();
  try {
    say(`seed ${seed}`);
    const found = await chaos(platform, await platform.operator(), {
      seed,
      seconds: minutes * 60,
      stacks,
      settle: SETTLE_SECONDS,
      say,
    });
    const { made, missed, asked, violations } = found;
    const faults = Object.values(made).reduce((sum, each) => sum + each, 0);
    const told = (of: ReadonlyMap<string, number>): string =>
      [...of]
        .toSorted(([a], [b]) => a.localeCompare(b))
        .map(([what, times]) => `${what} ${times}`)
        .join(', ') || 'none';
    return {
      metrics: {
        seed,
        faults,
        missed: missed.length,
        requests_accepted: asked.accepted,
        settled_seconds: round(found.settled, 1),
        trades: found.trades,
      },
      goals: INVARIANTS.map((invariant) =>
        atMost(`violated: ${invariant}`, '', 0, violations.filter((one) => one.invariant === invariant).length),
      ),
      lines: [
        `seed ${seed}: ${faults} faults in ${minutes} min on ${stacks} stacks (${Object.entries(made)
          .map(([kind, times]) => `${kind} ${times}`)
          .join(', ')}), ${missed.length} found nothing to break`,
        `customers: ${asked.accepted} requests accepted, ${asked.repeated} repeated, refused: ${told(asked.refused)}`,
        `operations they waited for: ${told(asked.ended)}`,
        violations.length > 0
          ? `not everything as wanted ${round(found.settled, 1)} s after the end`
          : `everything as wanted ${round(found.settled, 1)} s after the end; ${found.trades} trades compared`,
        ...violations.map(({ invariant, detail }) => `VIOLATED ${invariant}: ${detail}`),
      ],
      failed: violations.length > 0,
    };
  } finally {
    await platform.stop();
  }
}
