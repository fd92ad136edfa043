import type { Moment } from '../support/faults/door.js';
import { FaultWorld } from '../support/faults/fault-world.js';
import { FAULT_OPERATIONS, type FaultOperation } from '../support/faults/operations.js';
import { inRandomOrder } from '../support/faults/sample.js';
import { seedOfRun } from '../support/seed.js';

/** Every point is gone through by `npm run bench -- faults`; here some of each operation, others each day. */
const SEED = seedOfRun();
const POINTS = 1;

// An agent that dies, the lease it leaves and another that takes over: some seconds for each point.
jest.setTimeout(120_000);

let world: FaultWorld;
beforeAll(async () => {
  process.stdout.write(`AVIARY_TEST_SEED=${SEED}\n`);
  world = await FaultWorld.start();
});
afterAll(() => world.close());

/** Where the last such step of the operation is met: what is not as it should be then. */
async function killedAt(operation: FaultOperation, step: string, moment: Moment): Promise<string[]> {
  const points = await world.points(operation);
  const point = points.findLast((one) => one.step === step && one.moment === moment);
  if (!point) {
    throw new Error(`no ${step} in ${points.map((one) => one.step).join(', ')}`);
  }
  return (await world.outcome(operation, point)).findings;
}

it('FM-10 what a killed agent had stored of a backup, and noted nowhere, is taken off the list by the next', async () => {
  expect(await killedAt('backup', 'restic backup', 'after')).toEqual([]);
});

it('FM-10 what a restic check looked up until it was killed with its agent is removed by the next', async () => {
  expect(await killedAt('verify', 'restic check', 'during')).toEqual([]);
});

it('FM-10 a prune that was killed between the list and the data goes on with the data', async () => {
  expect(await killedAt('prune', 'restic forget', 'during')).toEqual([]);
});

it.each(FAULT_OPERATIONS)(
  'FM-10 kill -9 of the agent in a %s: the next one brings it to its end, the stack runs with its data, nothing is left over',
  async (operation) => {
    const points = inRandomOrder(await world.points(operation), SEED, operation);
    expect(points.length).toBeGreaterThan(POINTS);
    for (const point of points.slice(0, POINTS)) {
      const outcome = { seed: SEED, ...(await world.tried(operation, point)) };
      expect(outcome).toEqual({ ...outcome, findings: [] });
    }
  },
);
