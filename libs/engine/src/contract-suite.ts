import { ContractWorld, type ContractHarness } from './contract/contract-world.js';
import { eventsContract } from './contract/events.js';
import { filesContract } from './contract/files.js';
import { objectsContract } from './contract/objects.js';
import { processesContract } from './contract/processes.js';

export type { ContractHarness, ContractPrograms } from './contract/contract-world.js';

/**
 * The behaviour every engine owes the platform, as one set of tests: run on the fake, on the fake through its socket
 * and on real engines, so that the fake cannot drift.
 */
export function engineContract(name: string, prepare: () => Promise<ContractHarness>): void {
  describe(`engine contract: ${name}`, () => {
    const world = new ContractWorld(prepare);
    beforeAll(() => world.open());
    afterEach(() => world.clear());
    afterAll(() => world.close());

    objectsContract(world);
    filesContract(world);
    processesContract(world);
    eventsContract(world);
  });
}
