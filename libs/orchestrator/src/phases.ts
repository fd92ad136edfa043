import { waitFor } from '#libs/async';
import { DomainError, isDomainError, type Activity } from '#libs/contracts';
import { LABEL, type Engine } from '#libs/engine';
import { tx } from '#libs/db';
import type { DataSource } from 'typeorm';
import type { OperationKind } from '#libs/contracts';
import { isSuspended, type PhaseName } from '#libs/tenants';
import { execute, type ApplyContext } from './apply.js';
import { limitChanges, plan, type Action } from './planner/plan.js';
import { drainBots, endsRuntime } from './drain.js';
import { runInOrder } from './planner/schedule.js';
import { wantStack, type StackFacts, type StackWant } from './planner/want.js';
import type { EdgeKeeper } from './edge-keeper.js';
import { wrongFiles } from './wrong-files.js';
import type { Probes, Routes, Serving, StackDatabases } from './ports.js';
import { keepTokens, requireIdle } from './rest.js';
import type { StackSecrets } from './secrets.js';
import type { StepLog } from './step-log.js';

export interface PhaseDeps {
  dataSource: DataSource;
  routes: Routes;
  secrets: StackSecrets;
  probes: Probes;
  databases: StackDatabases;
  edges: EdgeKeeper;
  now: () => Date;
}

export interface PhaseContext {
  deps: PhaseDeps;
  /** Proves the lease before every change. */
  engine: Engine;
  facts: StackFacts;
  log: StepLog;
  kind: OperationKind;
  phase: PhaseName;
  signal: AbortSignal;
  deadlineMs: number;
}

/** A plan that is still not empty after this many looks will not become so: something undoes our work. */
const MOST_PASSES = 5;
const OBSERVE_MS = 20_000;
/** One question to a process on the same host. */
const ACTIVITY_MS = 5_000;
/** A Postgres that starts takes a second or two; the runtime, which waits for it too, has the rest of the phase. */
const PASSWORD_MS = 30_000;
const NOTHING_RUNS = 'nothing of it is to run';
/**
 * What a probe leaves of its phase's deadline: with the whole of it, the phase would end first, with "too late" in
 * place of what the probe saw, and the logs could no longer be read.
 */
const TELLING_MS = 7_000;
const LOG_MS = 5_000;
/** A repaired stack's own way back: a database's recovery and the runtime's new connections. */
const PATIENCE_MS = 30_000;
const AFTER_RESTART_MS = 60_000;

export const PHASE_HANDLERS: Record<PhaseName, (context: PhaseContext) => Promise<string | null>> = {
  prepare: async ({ deps, facts }) => {
    await tx(deps.dataSource, (db) => deps.secrets.ensure(db, facts, deps.now()));
    return null;
  },
  converge: (context) => converge(context, wantStack(context.facts), serving(context.facts)),
  raise: (context) => converge(context, wantStack(context.facts), away(context.facts)),
  idle: async (context) => {
    const { facts, engine, signal } = context;
    const want = wantStack(facts);
    const { containers } = await engine.observe(want.owner, { deadlineMs: OBSERVE_MS, signal });
    if (containers.every(({ status }) => status !== 'running')) {
      return 'nothing runs';
    }
    await layDown(context, await askForActivity(context));
    return null;
  },
  renew: async ({ deps, facts }) => {
    const renewed = await tx(deps.dataSource, (db) => deps.secrets.renew(db, facts, deps.now()));
    return renewed ? null : 'an earlier rotation is finished instead';
  },
  limits: async (context) => {
    const { deps, engine, facts, signal } = context;
    const want = wantStack(facts);
    const objects = await engine.observe(want.owner, { deadlineMs: OBSERVE_MS, signal });
    try {
      await apply(context, want, limitChanges(want, objects));
    } catch (error) {
      if (!isDomainError(error, 'ENGINE_REFUSED') || !want.run) {
        throw error;
      }
      // Such as less memory than is in use: what is stopped uses none, and starts with the new limits.
      await lead(context, deps.routes.render(facts, away(facts)));
      await converge(context, { ...want, run: false }, away(facts));
      return 'not possible while it runs, so it is restarted';
    }
    return null;
  },
  drain: (context) => converge(context, { ...wantStack(context.facts), run: false }, away(context.facts)),
  unpublish: async (context) => {
    const { deps, facts } = context;
    await lead(context, facts.desired === 'deleted' ? null : deps.routes.render(facts, away(facts)));
    return null;
  },
  health: async (context) => {
    const { deps, facts, signal, deadlineMs } = context;
    if (!wantStack(facts).run) {
      return NOTHING_RUNS;
    }
    const began = performance.now();
    const ended = new AbortController();
    const bounded = AbortSignal.any([signal, ended.signal]);
    try {
      const rotated = await deps.secrets.rotatedPassword(facts);
      if (rotated) {
        await deps.databases.changePassword(facts, rotated, { deadlineMs: PASSWORD_MS, signal });
      }
      const left = deadlineMs - TELLING_MS - (performance.now() - began);
      // The watch for crashes has the whole deadline: a silence is for the probe to tell, which knows what it saw.
      await Promise.race([
        deps.probes.ready(facts, { deadlineMs: left, signal: bounded }),
        crashLoop(context, bounded),
      ]);
    } catch (error) {
      throw await withLogTail(context, error);
    } finally {
      ended.abort();
    }
    return null;
  },
  publish: async (context) => {
    const { deps, facts, signal, deadlineMs } = context;
    const want = wantStack(facts);
    if (!want.run) {
      return NOTHING_RUNS;
    }
    await lead(context, deps.routes.render(facts, serving(facts)));
    await deps.probes.served(facts, { deadlineMs: deadlineMs - TELLING_MS, signal });
    if (facts.provisioningGeneration > 0) {
      await endProvisioning(context);
    }
    // The runtime wrote to and read from both stores with what it was given.
    await deps.secrets.proven(facts);
    return null;
  },
  heal: async (context) => {
    const { deps, facts, signal, deadlineMs } = context;
    const want = wantStack(facts);
    if (!want.run) {
      return NOTHING_RUNS;
    }
    // What runs may have been started before a rotation that did not come to its end: its answer would prove nothing.
    if ((await deps.secrets.rotatedPassword(facts)) === null) {
      try {
        await deps.probes.ready(facts, { deadlineMs: PATIENCE_MS, signal });
        return null;
      } catch (error) {
        // Lost data is not brought back by a restart, nor anything while the work is called off.
        if (!isDomainError(error, 'HEALTH_GATE_FAILED')) {
          throw error;
        }
      }
    }
    // In the order of a restart, which lets bots end what they do.
    await converge(context, { ...want, run: false }, away(facts));
    await converge(context, want, serving(facts));
    await PHASE_HANDLERS.health({ ...context, deadlineMs: Math.min(deadlineMs, AFTER_RESTART_MS) });
    return 'restarted';
  },
  erase: (context) => converge(context, wantStack(context.facts), away(context.facts)),
  verify: async (context) => {
    const { engine, facts, deps, signal } = context;
    const left = await engine.observe(wantStack(facts).owner, { deadlineMs: OBSERVE_MS, signal });
    const names = [...left.containers, ...left.networks, ...left.volumes].map(({ name }) => name);
    const route = await deps.routes.read(facts.slug);
    if (names.length > 0 || route !== null) {
      throw new DomainError('WRONG_STATE', {
        message: `Still there after erasing: ${[...names, ...(route === null ? [] : ['route'])].join(', ')}.`,
        details: { why: 'left_over', left: names },
      });
    }
    return 'nothing left';
  },
};

/** Brings the stack's route to that text, or takes it away. */
async function lead(context: PhaseContext, text: string | null): Promise<void> {
  const { deps, facts } = context;
  if ((await deps.routes.read(facts.slug)) !== text) {
    await apply(context, wantStack(facts), [
      text === null
        ? { id: 'remove route route', kind: 'remove route', target: 'route', needs: [] }
        : { id: 'write route route', kind: 'write route', target: 'route', needs: [], text },
    ]);
  }
}

async function askForActivity({ deps, facts, signal, deadlineMs }: PhaseContext): Promise<Activity | null> {
  const bounds = { deadlineMs: Math.min(ACTIVITY_MS, deadlineMs), signal };
  return deps.probes.activity(facts, await deps.secrets.stackKey(facts), bounds);
}

/** Leaves a stack running that trades or does not say; of any other, keeps by which tokens it may be woken. */
async function layDown(context: PhaseContext, activity: Activity | null): Promise<void> {
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

/**
 * The stack has its database now. From here on an empty one means that the data is gone, and no runtime may begin anew
 * on it: the permission ends in the files that a restart by the engine itself would read, and then in the row. The
 * other way round, a kill between the two would leave files nobody looks at again.
 */
async function endProvisioning(context: PhaseContext): Promise<void> {
  const { deps, facts } = context;
  const settled = { ...facts, provisioningGeneration: 0 };
  await apply({ ...context, facts: settled }, wantStack(settled), [
    {
      id: 'deliver files secrets',
      kind: 'deliver files',
      target: 'secrets',
      needs: [],
      services: [facts.template.aviary.runtime.service],
    },
  ]);
  await deps.dataSource.query('update tenants set provisioning_generation = 0 where id = $1', [facts.tenantId]);
}

/** What the gate says while the stack does not answer. */
function away(facts: StackFacts): Exclude<Serving, 'tenant'> {
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

/** Observe, plan, apply, and look again until there is nothing to do. */
async function converge(context: PhaseContext, want: StackWant, leadsTo: Serving): Promise<string | null> {
  const { deps, engine, facts, signal } = context;
  let previous = '';
  let drained = false;
  for (let pass = 0; pass < MOST_PASSES; pass += 1) {
    const objects = await engine.observe(want.owner, { deadlineMs: OBSERVE_MS, signal });
    const edgeIds = deps.edges.knownIds();
    const have = {
      objects,
      edges: deps.edges.known(),
      ...(edgeIds ? { edgeIds } : {}),
      route: await deps.routes.read(facts.slug),
      // Whoever orders a start has the files delivered with it; a repair finds out what somebody changed.
      ...(context.kind === 'repair'
        ? { wrongFiles: await wrongFiles({ engine, secrets: deps.secrets, facts, want, objects, signal }) }
        : {}),
    };
    const route = { text: want.gone ? null : deps.routes.render(facts, leadsTo) };
    const actions = plan(want, have, route);
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
      if (context.kind === 'hibernate') {
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

async function apply(context: PhaseContext, want: StackWant, actions: readonly Action[]): Promise<void> {
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

/** A container the engine restarted this often while we waited will not become healthy by waiting longer. */
const RESTARTS_OF_A_CRASH_LOOP = 3;
const LOOK_FOR_CRASHES_MS = 2_000;
const TAIL_LINES = 15;

/** Rejects when a container of the stack keeps dying, or at the phase's deadline; never resolves. */
async function crashLoop({ engine, facts, deadlineMs }: PhaseContext, signal: AbortSignal): Promise<never> {
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
async function withLogTail({ engine, facts }: PhaseContext, error: unknown): Promise<unknown> {
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
