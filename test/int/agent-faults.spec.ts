import { FAULT_OPERATIONS, FaultWorld } from '../support/faults/fault-world.js';
import { inRandomOrder } from '../support/faults/sample.js';

/** Every point is gone through by `npm run bench -- faults`; here some of each operation, always the same. */
const SEED = 7;
const POINTS = 1;

// An agent that dies, the lease it leaves and another that takes over: some seconds for each point.
jest.setTimeout(120_000);

let world: FaultWorld;
beforeAll(async () => {
  world = await FaultWorld.start();
});
afterAll(() => world.close());

it.each(FAULT_OPERATIONS)(
  'FM-10 kill -9 of the agent in a %s: the next one brings it to its end, the stack runs with its data, nothing is left over',
  async (operation) => {
    const points = inRandomOrder(await world.points(operation), SEED, operation);
    expect(points.length).toBeGreaterThan(POINTS);
    for (const { point } of points.slice(0, POINTS)) {
      const outcome = await world.outcome(operation, point);
      expect(outcome).toEqual({ ...outcome, findings: [] });
    }
  },
);
