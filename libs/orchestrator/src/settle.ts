import { DeadlineError, waitFor } from '#libs/async';
import { DomainError } from '#libs/contracts';
import { tx } from '#libs/db';
import { apply } from './converge.js';
import { askToHold } from './drain.js';
import type { PhaseContext } from './phase-context.js';
import { wantStack } from './planner/want.js';

/** A runtime that serves answers at once; what has its bots go on may wait for each of them for some seconds. */
const HEAR_MS = 15_000;
const ASK_MS = 10_000;
const AGAIN_MS = 200;

/** An upgrade that brought its stack's data to other volumes. */
export interface Carried {
  /** Whether the stack stays there by now, whatever becomes of the operation. */
  settled: boolean;
}

/** Null of an operation that is none. */
export async function carriedBy({ deps, operation }: PhaseContext): Promise<Carried | null> {
  if (operation.kind !== 'upgrade') {
    return null;
  }
  const [row] = await deps.dataSource.query<(Carried & { carried: boolean })[]>(
    `select input -> 'back' is not null as carried, input -> 'settled' is not null as settled
       from operations where id = $1`,
    [operation.id],
  );
  return row?.carried === true ? { settled: row.settled } : null;
}

/**
 * From here on nobody leads the stack back to the volumes it had (`leadBack`), and so it may trade in those it has:
 * orders of an exchange do not go back with a volume. Written down before anybody is told, since what trades first and
 * is led back afterwards would know nothing of what it traded.
 */
export async function settle({ deps, facts, operation, prove }: PhaseContext): Promise<void> {
  await tx(deps.dataSource, async (db) => {
    // Whoever takes our place does it behind this lock, and then we are fenced off.
    await db.query('select from tenants where id = $1 for update', [facts.tenantId]);
    await prove();
    const [, changed] = await db.query<[unknown, number]>(
      `update operations set input = input || '{"settled": true}' where id = $1 and fencing = $2 and state = 'running'`,
      [operation.id, operation.fencing],
    );
    if (changed !== 1) {
      throw new DomainError('FENCED', { details: { operation: operation.id } });
    }
  });
}

/**
 * Has the bots of a stack that was settled go on, as it runs. In the files first: a runtime that is started anew by its
 * engine in between reads them, and who is asked twice loses nothing by it. One that does not hear it is taken for
 * unwell by every look from then on, and started anew. Throws HEALTH_GATE_FAILED.
 */
export async function letTrade(context: PhaseContext): Promise<void> {
  const { deps, operation, signal } = context;
  const { service } = context.facts.template.aviary.runtime;
  if (context.facts.template.aviary.tradesAfter !== true) {
    return;
  }
  const facts = { ...context.facts, tradesAfter: null };
  await apply({ ...context, facts }, wantStack(facts), [
    { id: 'deliver files secrets', kind: 'deliver files', target: 'secrets', needs: [], services: [service] },
  ]);
  const hold = { kind: 'upgrade', over: operation.id } as const;
  try {
    await waitFor(async () => (await askToHold(deps, facts, hold, { deadlineMs: ASK_MS, signal })) ?? undefined, {
      what: 'the bots going on',
      deadlineMs: HEAR_MS,
      intervalMs: AGAIN_MS,
      signal,
    });
  } catch (error) {
    if (!(error instanceof DeadlineError)) {
      throw error;
    }
    throw new DomainError('HEALTH_GATE_FAILED', {
      message:
        'The stack is on its new release and stays there, but its runtime did not say that its bots go on. Restart the stack.',
      details: { why: 'bots_held' },
      cause: error,
    });
  }
}
