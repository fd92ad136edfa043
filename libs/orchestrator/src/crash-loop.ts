import { waitFor } from '#libs/async';
import { DomainError } from '#libs/contracts';
import { LABEL, type Engine } from '#libs/engine';
import { wantStack, type StackFacts } from './planner/want.js';

interface Watched {
  engine: Pick<Engine, 'observe' | 'logTail'>;
  facts: StackFacts;
}

const OBSERVE_MS = 20_000;
const LOG_MS = 5_000;
/** A container the engine restarted this often while we waited will not become healthy by waiting longer. */
const RESTARTS_OF_A_CRASH_LOOP = 3;
const LOOK_FOR_CRASHES_MS = 2_000;
const TAIL_LINES = 15;

/** Rejects when a container of the stack keeps dying, or at the phase's deadline; never resolves. */
export async function crashLoop(
  { engine, facts, deadlineMs }: Watched & { deadlineMs: number },
  signal: AbortSignal,
): Promise<never> {
  const want = wantStack(facts);
  const crashed = await waitFor(
    async () => {
      const { containers } = await engine.observe(want.owner, { deadlineMs: OBSERVE_MS, signal });
      return containers.find(
        (state) =>
          state.status === 'dead' ||
          // Between two lives; one that runs at this moment may yet become healthy, and tells no exit code.
          (state.restartCount >= RESTARTS_OF_A_CRASH_LOOP && state.exitCode !== null),
      );
    },
    {
      what: 'a crash',
      deadlineMs,
      signal,
      intervalMs: LOOK_FOR_CRASHES_MS,
      maxIntervalMs: LOOK_FOR_CRASHES_MS,
    },
  );
  throw new DomainError('HEALTH_GATE_FAILED', {
    message: `${crashed.labels[LABEL.service] ?? crashed.name} keeps ending with exit code ${crashed.exitCode ?? '?'}${crashed.oomKilled ? ' (out of memory)' : ''}.`,
    details: {
      why: 'crash_loop',
      service: crashed.labels[LABEL.service],
      exitCode: crashed.exitCode,
      oomKilled: crashed.oomKilled,
      restarts: crashed.restartCount,
    },
  });
}

/** The error with the last lines of each service, which is what a person asks for first. */
export async function withLogTail({ engine, facts }: Watched, error: unknown): Promise<unknown> {
  if (!(error instanceof DomainError) || !['HEALTH_GATE_FAILED', 'DATA_MISSING'].includes(error.code)) {
    return error;
  }
  const tail = async (name: string): Promise<string[]> => {
    try {
      return await engine.logTail(name, TAIL_LINES, { deadlineMs: LOG_MS });
    } catch (cause) {
      return [`(no log: ${cause instanceof Error ? cause.message : String(cause)})`];
    }
  };
  const { containers } = wantStack(facts);
  const logs = Object.fromEntries(
    await Promise.all(containers.map(async ({ service, spec }) => [service, await tail(spec.name)] as const)),
  );
  return new DomainError(error.code, { message: error.message, details: { ...error.details, logs }, cause: error });
}
