import { z } from 'zod';
import { tx } from '#libs/db';
import { bringSecrets } from './bring-secrets.js';
import { apply } from './converge.js';
import { drainBots, endsRuntime } from './drain.js';
import type { PhaseContext } from './phase-context.js';
import { halts, type Action } from './planner/plan.js';
import { wantStack } from './planner/want.js';
import { requireStillAsked, targetOf } from './release.js';

const OBSERVE_MS = 20_000;
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

async function stopWriters(context: PhaseContext): Promise<void> {
  const { deps, engine, facts, signal } = context;
  const want = wantStack(facts);
  const databases = facts.template.aviary.backup.postgres;
  const writers = { ...want, containers: want.containers.filter(({ service }) => !databases.includes(service)) };
  const objects = await engine.observe(want.owner, { deadlineMs: OBSERVE_MS, signal });
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
