import type { KeyObject } from 'node:crypto';
import { DeadlineError, waitFor, type Bounds } from '#libs/async';
import { isDomainError, type Hold, type HoldAnswer } from '#libs/contracts';
import type { EngineObjects } from '#libs/engine';
import { stackNames } from '#libs/tenants';
import type { Action } from './planner/plan.js';
import type { StackFacts } from './planner/want.js';
import type { Probes } from './ports.js';
import type { StackSecrets } from './secrets.js';
import type { StepLog } from './step-log.js';

/** Taking back the orders of a stack's bots is a matter of a second; an exchange that is slow has this long. */
const DRAIN_MS = 20_000;
/** Longer than a runtime takes to answer how far it came. */
const ASK_MS = 12_000;
const AGAIN_MS = 500;
/** Unanswered one after another: a runtime that is gone has nothing to take back. */
const SILENT_ASKS = 3;
/** From here to the stop, with some to spare: what is not stopped after all goes on by itself. */
const HOLD_SECONDS = 120;

interface HoldDeps {
  probes: Pick<Probes, 'hold'>;
  secrets: Pick<StackSecrets, 'stackKeys'>;
}

/** Asks the runtime. Null: no usable answer. Throws WRONG_STATE where it was not given a key yet. */
export async function askToHold(
  { probes, secrets }: HoldDeps,
  facts: StackFacts,
  hold: Hold,
  bounds: Bounds,
): Promise<HoldAnswer | null> {
  return askWith(await secrets.stackKeys(facts), (key) => probes.hold(facts, key, hold, bounds));
}

/** With the key it has, which during a rotation is still the one of before. */
export async function askWith<T>(
  keys: readonly KeyObject[],
  ask: (key: KeyObject) => Promise<T | null>,
): Promise<T | null> {
  for (const key of keys) {
    const answer = await ask(key);
    if (answer !== null) {
      return answer;
    }
  }
  return null;
}

/** Whether these actions end a runtime that runs. */
export function endsRuntime(facts: StackFacts, actions: readonly Action[], { containers }: EngineObjects): boolean {
  const name = stackNames(facts.platformId, facts.slug).container(facts.template.aviary.runtime.service);
  return (
    containers.some((state) => state.name === name && state.status === 'running') &&
    actions.some((action) => ['stop container', 'remove container'].includes(action.kind) && action.target === name)
  );
}

/**
 * Has the bots take back their open orders before the stack stops, which nobody would watch meanwhile. Bounded: what
 * was asked for goes on afterwards in any case, and its step says how far this came.
 */
export async function drainBots(
  deps: HoldDeps,
  { facts, log, phase, signal }: { facts: StackFacts; log: StepLog; phase: string; signal: AbortSignal },
): Promise<void> {
  const step = log.begin(phase, { kind: 'drain bots', target: facts.slug });
  let last: HoldAnswer | null = null;
  let silent = 0;
  try {
    const keys = await deps.secrets.stackKeys(facts);
    await waitFor(
      async () => {
        const answer = await askWith(keys, (key) =>
          deps.probes.hold(facts, key, { kind: 'restart', seconds: HOLD_SECONDS }, { deadlineMs: ASK_MS, signal }),
        );
        silent = answer === null ? silent + 1 : 0;
        last = answer ?? last;
        return silent >= SILENT_ASKS || answer?.openOrders === 0 ? true : undefined;
      },
      { what: 'the bots taking back their orders', deadlineMs: DRAIN_MS, intervalMs: AGAIN_MS, signal },
    );
  } catch (error) {
    // Without a key it never had a bot, and with one that does not open it cannot be asked; what is still open after the
    // deadline is told below.
    const expected = ['WRONG_STATE', 'KEY_LOST'] as const;
    if (!(error instanceof DeadlineError) && !expected.some((code) => isDomainError(error, code))) {
      log.end(step, 'failed', error instanceof Error ? error.message : String(error));
      throw error;
    }
  }
  log.end(step, ...outcome(last));
}

function outcome(last: HoldAnswer | null): ['done' | 'failed', string] {
  if (last === null) {
    return ['failed', 'the runtime did not answer; stopped all the same'];
  }
  const { held, openOrders } = last;
  return openOrders === 0
    ? ['done', held === 0 ? 'no bot runs' : `open orders are taken back, of bots: ${held}`]
    : ['failed', `${openOrders} orders are still open after ${DRAIN_MS / 1_000} s; stopped all the same`];
}
