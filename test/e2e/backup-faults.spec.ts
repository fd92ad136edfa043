import { EngineFaults, FAULT_ROUNDS, faultSettings, toldOutcome } from '../support/engine-faults/engine-faults.js';
import { ENGINE_FAULTS, type EngineFault } from '../support/engine-faults/points.js';
import { SmallDisk } from '../support/engine-faults/small-disk.js';
import { TestPlatform } from '../support/platform.js';
import { seedOfRun } from '../support/seed.js';

/** A point of each operation and fault; `npm run bench -- faults --engine` goes through more of them. */
const SEED = seedOfRun();
const TOLD: Record<EngineFault, string> = {
  agent: 'the agent killed',
  engine: 'the engine killed, and back after some seconds,',
  disk: 'the repositories’ disk full',
};
const CASES = ENGINE_FAULTS.flatMap((fault) =>
  FAULT_ROUNDS.map((operations) => ({ fault, operations, what: TOLD[fault], of: operations.join(' and a ') })),
);

let disk: SmallDisk;
let platform: TestPlatform;
let faults: EngineFaults;

beforeAll(async () => {
  process.stdout.write(`AVIARY_TEST_SEED=${SEED}\n`);
  disk = await SmallDisk.make();
  platform = await TestPlatform.start(faultSettings(disk));
  faults = await EngineFaults.make(platform, disk, await platform.operator());
}, 400_000);
afterAll(async () => {
  try {
    await platform?.stop();
  } finally {
    await disk?.remove();
  }
}, 200_000);

it.each(CASES)(
  'FM-10 $what in the middle of a $of: they come to their end, the stacks run with their data, restic check finds nothing, nothing is left over',
  async ({ fault, operations }) => {
    const outcomes = await faults.round(fault, operations, { seed: SEED, nth: 0 });
    process.stdout.write(`${outcomes.map(toldOutcome).join('\n')}\n`);
    const broken = outcomes.filter(({ findings }) => findings.length > 0).map(toldOutcome);
    expect({ seed: SEED, broken }).toEqual({ seed: SEED, broken: [] });
  },
  480_000,
);
