import type { KeyObject } from 'node:crypto';
import { z } from 'zod';
import { DeadlineError, waitFor, type Bounds } from '#libs/async';
import { DomainError, isDomainError, type LedgerFault, type Resumption } from '#libs/contracts';
import type { Database } from '#libs/db';
import { askWith } from './drain.js';
import type { PhaseContext } from './phase-context.js';
import type { StackFacts } from './planner/want.js';
import type { Probes } from './ports.js';
import type { StackSecrets } from './secrets.js';

/** Before anything is touched nobody waits for it, and one that does not answer is gone on without. */
const NOTE_MS = 12_000;
/** The books of a stack that traded for years take seconds to add up. */
const ASK_MS = 15_000;
const AGAIN_MS = 100;
const MOST_AGAIN_MS = 1_000;
const MOST_DETAILS = 10;

const beforeSchema = z.object({
  /** Ids of the bots that ran. */
  running: z.array(z.string()),
  /** What did not agree in the books, by `faultKey`; null where they were not read. */
  ledger: z.array(z.string()).nullable(),
});
/** How a stack stood before an upgrade touched it, as the operation's input keeps it under `before`. */
export type Before = z.infer<typeof beforeSchema>;

export interface Verdict {
  /** False while waiting may still change it. */
  over: boolean;
  well: boolean;
  /** `2 of 2 bots resumed, ledger consistent`; of what is not well, whole sentences. */
  message: string;
  details: Record<string, unknown>;
}

/** What is wrong, without the figures: those go on while the stack trades. */
const faultKey = ({ bot, what }: LedgerFault): string => `${bot ?? 'account'} ${what}`;

/**
 * Judges what a runtime says after its start against how the stack stood before; null where nobody could say that, and
 * then its own rows count. Of bots that ran, those somebody paused and those that ended meanwhile are not missed. What
 * did not agree in the books before already is not this release's doing.
 */
export function judgeResumption(before: Before | null, told: Resumption, { held }: { held: boolean }): Verdict {
  const { starting, failure } = told;
  const { expected, resumed, failed, waiting } = judgeBots(before, told, held);
  const ledger = judgeLedger(before, told);
  const broken = failed.length > 0 || failure !== null;
  const open = starting || waiting.length > 0 || ledger.state === 'unknown';
  const count = expected === 0 ? 'no bot ran' : `${resumed} of ${expected} bots resumed`;
  const over = !starting && (broken || ledger.state === 'wrong' || !open);
  if (!broken && !open && ledger.state === 'right') {
    return { over, well: true, message: `${count}, ${ledger.words}`, details: {} };
  }
  const missed = [...failed, ...waiting];
  const why = missed[0]?.reason ?? failure ?? (starting ? 'the runtime was still starting' : null);
  const sentences = [
    ...(why === null ? [] : [sentence(`${count}: ${why}`)]),
    // While it starts nobody has looked yet.
    ...(ledger.state === 'right' || starting ? [] : [sentence(ledger.words)]),
  ];
  return {
    over,
    well: false,
    message: sentences.join(' '),
    details: {
      why: why === null ? 'ledger' : 'not_resumed',
      expected,
      resumed,
      bots: missed.slice(0, MOST_DETAILS),
      ledger: ledger.faults.slice(0, MOST_DETAILS).map(({ text }) => text),
    },
  };
}

interface Missed {
  id: string;
  reason: string;
}

function judgeBots(
  before: Before | null,
  told: Resumption,
  held: boolean,
): { expected: number; resumed: number; failed: Missed[]; waiting: Missed[] } {
  // Of a stack that may not trade, nothing is to resume.
  const ran = held ? [] : [...(before?.running ?? []), ...told.bots.filter((bot) => bot.ran).map(({ id }) => id)];
  const byId = new Map(told.bots.map((bot) => [bot.id, bot]));
  const failed: Missed[] = [];
  const waiting: Missed[] = [];
  let resumed = 0;
  for (const id of new Set(ran)) {
    const bot = byId.get(id);
    if (bot === undefined) {
      failed.push({ id, reason: `bot ${id} is not there any more` });
    } else if (bot.state === 'error') {
      failed.push({ id, reason: bot.reason ?? `bot ${id} is in error` });
    } else if (bot.state === 'running' && !bot.resumed) {
      waiting.push({ id, reason: `bot ${id} has not taken up its work` });
    } else if (bot.state === 'running') {
      resumed += 1;
    } else if (bot.state === 'created') {
      failed.push({ id, reason: `bot ${id} is as if it had never been started` });
    }
  }
  return { expected: resumed + failed.length + waiting.length, resumed, failed, waiting };
}

/**
 * What is wrong with bots and books some time after the stack went to its release, in a sentence; null where nothing is,
 * undefined where that cannot be said now. Counted are bots that ran when the release came: of those made since nobody
 * knows whether they would have run on any. What became of the others meanwhile, somebody wanted so.
 */
export function judgeSince(before: Before | null, told: Resumption): string | null | undefined {
  const { starting, failure, bots } = told;
  if (starting) {
    return undefined;
  }
  const ran = new Set([...(before?.running ?? []), ...bots.filter((bot) => bot.ran).map(({ id }) => id)]);
  const failed = bots.filter(({ id, state }) => state === 'error' && ran.has(id));
  const ledger = judgeLedger(before, told);
  const [first] = failed;
  const why = first && (first.reason ?? `bot ${first.id} is in error`);
  const wrong = [
    ...(why === undefined ? [] : [`${failed.length} of ${ran.size} bots stopped by an error since: ${why}`]),
    ...(failure === null ? [] : [failure]),
    ...(ledger.state === 'wrong' ? [ledger.words] : []),
  ];
  return wrong.length === 0 ? null : wrong.map(sentence).join(' ');
}

interface JudgedLedger {
  state: 'right' | 'wrong' | 'unknown';
  words: string;
  faults: LedgerFault[];
}

function judgeLedger(before: Before | null, { starting, ledger }: Resumption): JudgedLedger {
  if (ledger === null) {
    return !starting && before !== null && before.ledger === null
      ? { state: 'right', words: 'ledger not read, as before', faults: [] }
      : { state: 'unknown', words: 'it is not known whether the ledger is consistent', faults: [] };
  }
  const known = new Set(before?.ledger ?? []);
  const faults = ledger.filter((fault) => !known.has(faultKey(fault)));
  const [first] = faults;
  if (first === undefined) {
    const words = ledger.length === 0 ? 'ledger consistent' : 'ledger as inconsistent as before';
    return { state: 'right', words, faults };
  }
  const more = faults.length === 1 ? '' : ` (and ${faults.length - 1} more)`;
  return { state: 'wrong', words: `the ledger is not consistent: ${first.text.replace(/\.$/, '')}${more}`, faults };
}

const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1).replace(/\.$/, '')}.`;

/**
 * Writes down in the operation which bots run, as the runtime of before says, and how its books stand. Says what it
 * found; null of a release whose runtime is not to be asked.
 */
export async function noteRunning(context: PhaseContext): Promise<string | null> {
  const { deps, facts, operation, prove } = context;
  if (facts.template.aviary.resumes !== true) {
    return null;
  }
  const keys = await keysOf(context);
  const told = await ask(context, keys, { deadlineMs: NOTE_MS, signal: context.signal });
  if (told === null) {
    return 'its runtime did not say what runs';
  }
  const running = told.bots.filter(({ state }) => state === 'running').map(({ id }) => id);
  const before: Before = { running, ledger: told.ledger?.map(faultKey) ?? null };
  await prove();
  await deps.dataSource.query(
    `update operations set input = input || jsonb_build_object('before', $2::jsonb) where id = $1 and fencing = $3`,
    [operation.id, JSON.stringify(before), operation.fencing],
  );
  const wrong = told.ledger?.[0];
  return `bots that run: ${running.length}${wrong === undefined ? '' : `; the ledger is not consistent: ${wrong.text}`}`;
}

/**
 * The same of a stack that runs: asks it, and compares with what the upgrade noted before. Undefined too where its
 * runtime gave no answer, or its release none of this.
 */
export async function botsSince(
  deps: SinceDeps,
  facts: StackFacts,
  upgrade: string,
  bounds: Bounds,
): Promise<string | null | undefined> {
  if (facts.template.aviary.resumes !== true || facts.tradingHeldSince !== null) {
    return undefined;
  }
  const told = await ask({ deps, facts }, await keysOf({ deps, facts }), bounds);
  return told === null ? undefined : judgeSince(await notedOf(deps, upgrade), told);
}

export interface SinceDeps {
  dataSource: Database;
  probes: Pick<Probes, 'resumption'>;
  secrets: Pick<StackSecrets, 'stackKeys'>;
}

/**
 * Waits until the runtime of the release that the stack went to says that its start is over. Throws HEALTH_GATE_FAILED
 * with counts where bots that ran did not resume or its books do not agree; says how both stand otherwise, and null of
 * a release whose runtime does not report.
 */
export async function requireResumed(context: PhaseContext, bounds: Bounds): Promise<string | null> {
  const { facts } = context;
  if (facts.template.aviary.resumes !== true) {
    return null;
  }
  const before = await notedOf(context.deps, context.operation.id);
  const keys = await keysOf(context);
  const seen: { verdict: Verdict | null } = { verdict: null };
  try {
    await waitFor(
      async (signal) => {
        const told = await ask(context, keys, { deadlineMs: ASK_MS, signal });
        seen.verdict = told && judgeResumption(before, told, { held: facts.tradingHeldSince !== null });
        return seen.verdict?.over === true ? true : undefined;
      },
      { what: 'the bots resuming', ...bounds, intervalMs: AGAIN_MS, maxIntervalMs: MOST_AGAIN_MS },
    );
  } catch (error) {
    if (!(error instanceof DeadlineError)) {
      throw error;
    }
  }
  const { verdict } = seen;
  if (verdict?.well === true && verdict.over) {
    return verdict.message;
  }
  throw new DomainError('HEALTH_GATE_FAILED', {
    message: verdict?.message ?? 'The runtime did not say whether its bots resumed.',
    details: verdict?.details ?? { why: 'not_resumed' },
  });
}

interface Asking {
  deps: Pick<SinceDeps, 'probes' | 'secrets'>;
  facts: StackFacts;
}

/** None of a stack that was never given one; it cannot be asked then. */
async function keysOf({ deps, facts }: Asking): Promise<KeyObject[]> {
  try {
    return await deps.secrets.stackKeys(facts);
  } catch (error) {
    if (isDomainError(error, 'WRONG_STATE') || isDomainError(error, 'KEY_LOST')) {
      return [];
    }
    throw error;
  }
}

/** All keys within the one deadline. */
function ask({ deps, facts }: Asking, keys: readonly KeyObject[], bounds: Bounds): Promise<Resumption | null> {
  const each = { ...bounds, deadlineMs: bounds.deadlineMs / Math.max(1, keys.length) };
  return askWith(keys, (key) => deps.probes.resumption(facts, key, each));
}

async function notedOf({ dataSource }: Pick<SinceDeps, 'dataSource'>, upgrade: string): Promise<Before | null> {
  const [row] = await dataSource.query<{ before: unknown }[]>(
    `select input -> 'before' as before from operations where id = $1`,
    [upgrade],
  );
  return beforeSchema.safeParse(row?.before).data ?? null;
}
