import { chaos } from '../support/chaos/chaos.js';
import { FAULTS } from '../support/chaos/schedule.js';
import { platformOfTests } from '../support/platform.js';

const SEED = Number(process.env['AVIARY_TEST_SEED'] ?? 1);

const platform = platformOfTests();

it('FM-10 FM-13 FM-14 after a storm of faults and changes of mind every stack is as wanted, nothing is left over or open, and the books are right', async () => {
  const story: string[] = [];
  const say = (text: string): unknown => story.push(text);
  const found = await chaos(platform(), await platform().operator(), {
    seed: SEED,
    seconds: 120,
    stacks: 5,
    settle: 150,
    say,
  });
  const { made, missed, asked } = found;
  process.stdout.write(
    `${[...story, JSON.stringify({ made, missed, settled: found.settled, trades: found.trades })].join('\n')}\n`,
  );
  expect({ violations: found.violations, story: found.violations.length > 0 ? story : [] }).toEqual({
    violations: [],
    story: [],
  });
  // It was really broken, in each way, while it was used.
  expect(FAULTS.filter((kind) => made[kind] === 0)).toEqual([]);
  expect(asked.accepted).toBeGreaterThan(10);
  expect(found.trades).toBeGreaterThan(0);
}, 450_000);
