import { z } from 'zod';
import { DomainError } from '#libs/contracts';
import { tx } from '#libs/db';
import { STARTED_MEANWHILE } from '#libs/tenants';
import { bringSecrets } from './bring-secrets.js';
import { apply } from './converge.js';
import { drainBots, endsRuntime } from './drain.js';
import type { PhaseContext } from './phase-context.js';
import { halts, type Action } from './planner/plan.js';
import { wantStack, type StackWant } from './planner/want.js';
import { requireStillAsked, targetOf } from './release.js';

const OBSERVE_MS = 20_000;
/** What nothing writes from that is in it. */
const AT_REST: ReadonlySet<string> = new Set(['created', 'exited', 'dead']);
const rollbackSchema = z.object({ upgrade: z.string() });
const SAME_MAJOR = 'the database stays of its major version';

/** Stops all of a stack but its databases, where these are to be carried: from here on nothing writes into them. */
export async function quiesce(context: PhaseContext): Promise<string | null> {
  if ((await targetOf(context)) === null) {
    return SAME_MAJOR;
  }
  await requireStillAsked(context, { touched: !(await serves(context)) });
  await stopWriters(context);
  return null;
}

/**
 * Carries the stack's data to servers of the release it goes to. Its own databases run meanwhile, and are neither
 * written nor stopped: while this fails, starting the others again is the whole way back.
 */
export async function carry(context: PhaseContext): Promise<string> {
  const { deps } = context;
  const target = await targetOf(context);
  if (target === null) {
    return SAME_MAJOR;
  }
  // Somebody may have started one by hand since.
  await stopWriters(context);
  await tx(deps.dataSource, (db) => deps.secrets.ensure(db, target, deps.now()));
  await bringSecrets({ ...context, facts: target });
  return deps.backups.carry(context, target);
}

/**
 * Throws LOST_RACE where something of the stack but its databases runs again once its data is carried: what that wrote is
 * in what the stack is to leave, and not in what it would go on with.
 */
export async function requireQuiet(context: PhaseContext): Promise<void> {
  if ((await targetOf(context)) === null) {
    return;
  }
  const { engine, signal } = context;
  const writers = writersOf(context);
  const names = new Set(writers.containers.map(({ spec }) => spec.name));
  const { containers } = await engine.observe(writers.owner, { deadlineMs: OBSERVE_MS, signal });
  const running = containers.filter(({ name, status }) => names.has(name) && !AT_REST.has(status));
  if (running.length > 0) {
    const started = running.map(({ name }) => name).join(', ');
    throw new DomainError('LOST_RACE', {
      message: `${started} was started while the stack's data was carried, so what was carried may lack what it wrote. The stack goes back to what it was, which has it.`,
      details: { why: STARTED_MEANWHILE, started: running.map(({ name }) => name) },
    });
  }
}

/**
 * Before a stack goes back to the volumes that an upgrade had brought it away from: what ran on the others goes by them
 * in its memory and its files, and a runtime that both releases have alike would not be stopped by any plan.
 */
export async function leaveCarried(context: PhaseContext): Promise<void> {
  const { deps, operation } = context;
  if (operation.kind !== 'rollback') {
    return;
  }
  const { upgrade } = rollbackSchema.parse(operation.input);
  const [row] = await deps.dataSource.query<{ carried: boolean }[]>(
    `select input -> 'back' is not null as carried from operations where id = $1`,
    [upgrade],
  );
  if (row?.carried === true) {
    await stopWriters(context);
  }
}

function writersOf({ facts }: PhaseContext): StackWant {
  const want = wantStack(facts);
  const databases = facts.template.aviary.backup.postgres;
  return { ...want, containers: want.containers.filter(({ service }) => !databases.includes(service)) };
}

async function stopWriters(context: PhaseContext): Promise<void> {
  const { deps, engine, facts, signal } = context;
  const writers = writersOf(context);
  const objects = await engine.observe(writers.owner, { deadlineMs: OBSERVE_MS, signal });
  const actions: Action[] = halts(writers, { objects });
  if (endsRuntime(facts, actions, objects)) {
    await drainBots(deps, context);
  }
  await apply(context, writers, actions);
}

/** Whether its runtime runs still: one that was begun before and broke off may have stopped it. */
async function serves({ engine, facts, signal }: PhaseContext): Promise<boolean> {
  const want = wantStack(facts);
  const runtime = want.containers.find(({ service }) => service === facts.template.aviary.runtime.service)?.spec.name;
  const { containers } = await engine.observe(want.owner, { deadlineMs: OBSERVE_MS, signal });
  return containers.some(({ name, status }) => name === runtime && status === 'running');
}
