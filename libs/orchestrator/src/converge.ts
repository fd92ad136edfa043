import { setTimeout as pause } from 'node:timers/promises';
import { DomainError, isDomainError, type Activity } from '#libs/contracts';
import type { EngineObjects } from '#libs/engine';
import { isSuspended } from '#libs/tenants';
import { execute, type ApplyContext } from './apply.js';
import { drainBots, endsRuntime } from './drain.js';
import type { PhaseContext } from './phase-context.js';
import { plan, type Action } from './planner/plan.js';
import { runInOrder } from './planner/schedule.js';
import { wantStack, type StackFacts, type StackWant } from './planner/want.js';
import type { Serving } from './ports.js';
import { keepTokens, requireIdle } from './rest.js';
import { wrongFiles } from './wrong-files.js';

/** A plan that is still not empty after this many looks will not become so: something undoes our work. */
const MOST_PASSES = 5;
/** One question to a process on the same host. */
const ACTIVITY_MS = 5_000;
/** A stack that nobody meddles with is ready before the first look. */
const LOOK_FOR_UNDONE_MS = 5_000;
const OBSERVE_MS = 20_000;

/** Brings the stack's route to that text, or takes it away; the proxy reads it either way. */
export async function lead(context: PhaseContext, text: string | null): Promise<void> {
  const { deps, facts } = context;
  if ((await deps.routes.read(facts.slug)) !== text) {
    await apply(context, wantStack(facts), [
      text === null
        ? { id: 'remove route route', kind: 'remove route', target: 'route', needs: [] }
        : { id: 'write route route', kind: 'write route', target: 'route', needs: [], text },
    ]);
  }
  await deps.routes.serveAgain();
}

export async function askForActivity({ deps, facts, signal, deadlineMs }: PhaseContext): Promise<Activity | null> {
  const bounds = { deadlineMs: Math.min(ACTIVITY_MS, deadlineMs), signal };
  return deps.probes.activity(facts, await deps.secrets.stackKey(facts), bounds);
}

/** Leaves a stack running that trades or does not say; of any other, keeps by which tokens it may be woken. */
export async function layDown(context: PhaseContext, activity: Activity | null): Promise<void> {
  try {
    requireIdle(activity);
  } catch (error) {
    await stayAwake(context);
    await keepTokens(context.deps.dataSource, context.facts, []);
    throw error;
  }
  await keepTokens(context.deps.dataSource, context.facts, activity.tokens);
}

/**
 * Once more before a stack that is to sleep stops. The proxy reads a route a moment after it was written, so until
 * here somebody may have come in; from the drain on, the runtime begins nothing and makes no token. One that does not
 * answer now has said enough before, and may be on its way down.
 */
async function lookAgain(context: PhaseContext): Promise<void> {
  const activity = await askForActivity(context);
  if (activity !== null) {
    await layDown(context, activity);
  }
}

/** What was to sleep is wanted to run again, and its address leads to it; nothing else was changed yet. */
async function stayAwake(context: PhaseContext): Promise<void> {
  const { deps, facts } = context;
  const [, changed] = await deps.dataSource.query<[unknown, number]>(
    `update tenants set desired = 'running' where id = $1 and desired = 'hibernated'`,
    [facts.tenantId],
  );
  if (changed === 1) {
    const awake = { ...facts, desired: 'running' as const };
    await lead({ ...context, facts: awake }, deps.routes.render(awake, serving(awake)));
  }
}

/** What the gate says while the stack does not answer. */
export function away(facts: StackFacts): Exclude<Serving, 'tenant'> {
  if (isSuspended(facts.holds)) {
    return 'suspended';
  }
  if (facts.holds.length > 0) {
    return 'stopped';
  }
  return ({ running: 'starting', stopped: 'stopped', hibernated: 'asleep', deleted: 'stopped' } as const)[
    facts.desired
  ];
}

/** Where a stack's addresses lead once what is wanted is so. */
export function serving(facts: StackFacts): Serving {
  return wantStack(facts).run ? 'tenant' : away(facts);
}

/** Resolves once the stack is not any more as it was brought to be; what looks in vain meanwhile looks again. */
export async function undoing(context: PhaseContext, leadsTo: Serving, signal: AbortSignal): Promise<boolean> {
  for (;;) {
    await pause(LOOK_FOR_UNDONE_MS, undefined, { signal });
    try {
      const { actions } = await planned({ ...context, signal }, wantStack(context.facts), leadsTo);
      if (actions.length > 0) {
        return true;
      }
    } catch (error) {
      signal.throwIfAborted();
      if (!isDomainError(error, 'ENGINE_UNREACHABLE')) {
        throw error;
      }
    }
  }
}

export async function isBackingOff({ engine, facts, signal }: PhaseContext): Promise<boolean> {
  const { containers } = await engine.observe(wantStack(facts).owner, { deadlineMs: OBSERVE_MS, signal });
  return containers.some(({ status }) => status === 'restarting');
}

/** What is on the engine, and what is to be done to it. */
async function planned(
  context: PhaseContext,
  want: StackWant,
  leadsTo: Serving,
): Promise<{ objects: EngineObjects; actions: Action[] }> {
  const { deps, engine, facts, signal } = context;
  const objects = await engine.observe(want.owner, { deadlineMs: OBSERVE_MS, signal });
  const edgeIds = deps.edges.knownIds();
  const have = {
    objects,
    edges: deps.edges.known(),
    ...(edgeIds ? { edgeIds } : {}),
    route: await deps.routes.read(facts.slug),
    // Whoever orders a start has the files delivered with it; a repair finds out what somebody changed.
    ...(context.operation.kind === 'repair'
      ? { wrongFiles: await wrongFiles({ engine, secrets: deps.secrets, facts, want, objects, signal }) }
      : {}),
  };
  return { objects, actions: plan(want, have, { text: want.gone ? null : deps.routes.render(facts, leadsTo) }) };
}

/** Observe, plan, apply, and look again until there is nothing to do. */
export async function converge(context: PhaseContext, want: StackWant, leadsTo: Serving): Promise<string | null> {
  const { deps, facts } = context;
  let previous = '';
  let drained = false;
  for (let pass = 0; pass < MOST_PASSES; pass += 1) {
    const { objects, actions } = await planned(context, want, leadsTo);
    if (actions.length === 0) {
      return pass === 0 ? 'nothing to do' : null;
    }
    const ids = actions.map(({ id }) => id).join('; ');
    if (ids === previous) {
      throw new DomainError('ENGINE_REFUSED', {
        message: `These do not last: ${ids}.`,
        details: { why: 'does_not_last', actions: actions.map(({ id }) => id) },
      });
    }
    previous = ids;
    if (!drained && endsRuntime(facts, actions, objects)) {
      await drainBots(deps, context);
      drained = true;
      if (context.operation.kind === 'hibernate') {
        await lookAgain(context);
      }
    }
    await apply(context, want, actions);
  }
  throw new DomainError('ENGINE_REFUSED', {
    message: `Not as wanted after ${MOST_PASSES} passes: ${previous}.`,
    details: { why: 'does_not_last', actions: previous.split('; ') },
  });
}

export async function apply(context: PhaseContext, want: StackWant, actions: readonly Action[]): Promise<void> {
  const { deps, engine, facts, log, phase, signal } = context;
  const applying: ApplyContext = { engine, routes: deps.routes, secrets: deps.secrets, facts, want, signal };
  try {
    await runInOrder(actions, async (action) => {
      signal.throwIfAborted();
      const step = log.begin(phase, action);
      try {
        await execute(action, applying);
        if (action.kind === 'create edge') {
          deps.edges.made(action.edge);
        }
        log.end(step, 'done');
      } catch (error) {
        log.end(step, 'failed', error instanceof Error ? error.message : String(error));
        throw error;
      }
    });
  } catch (error) {
    // What we believed of the edges may be why it failed.
    deps.edges.forget();
    throw error;
  }
}
