import { waitFor } from '#libs/async';
import { DomainError } from '#libs/contracts';
import type { Engine } from '#libs/engine';
import { wantStack, type Probes, type StackFacts } from '#libs/orchestrator';

/** For engines without real processes: a stack is ready when all its containers run. */
export function engineProbes(engine: Engine): Probes {
  const allRun = async (facts: StackFacts, bounds: { deadlineMs: number; signal: AbortSignal }): Promise<void> => {
    const want = wantStack(facts);
    await waitFor(
      async () => {
        const { containers } = await engine.observe(want.owner, { deadlineMs: 2_000 });
        const running = containers.filter(({ status }) => status === 'running').length;
        if (running !== want.containers.length) {
          throw new DomainError('HEALTH_GATE_FAILED', {
            message: `${running} of ${want.containers.length} containers run`,
          });
        }
        return true;
      },
      { what: 'all containers running', ...bounds },
    );
  };
  return {
    ready: allRun,
    served: allRun,
    activity: () => Promise.resolve({ runningBots: 0, openOrders: 0, tokens: [] }),
    resumption: () => Promise.resolve({ starting: false, failure: null, bots: [], ledger: [] }),
    hold: () => Promise.resolve({ held: 0, openOrders: 0 }),
  };
}
