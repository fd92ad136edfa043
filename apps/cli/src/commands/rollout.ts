import { setTimeout as pause } from 'node:timers/promises';
import {
  isRolloutOver,
  MOST_UPGRADES_AT_ONCE,
  planRolloutSchema,
  resumeRolloutSchema,
  ROLLOUT_STACK_STATES,
  type PlanRollout,
  type RolloutStack,
  type RolloutStackState,
  type RolloutView,
} from '#libs/contracts';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { confirmSlug, handle, type Action, type CommandContext, type Environment } from '../frame/command.js';
import { EXIT, type ExitCode } from '../frame/exit-codes.js';
import { idOf, pageCursor, rows } from '../frame/flags.js';
import { CommandError } from '../frame/output.js';
import {
  counted,
  planLines,
  progress,
  resultWords,
  resumeFlags,
  ringName,
  seconds,
  viewLines,
} from './rollout-words.js';

const ONE = 'aviary/rollout/1';
const LIST = 'aviary/rollout-list/1';
const PLAN = 'aviary/rollout-plan/1';
const REPORT = 'aviary/rollout-report/1';
const LOOK_MS = 1_000;
const HEARTBEAT_MS = 15_000;

interface Flags {
  canary?: number;
  waves?: number[];
  concurrency?: number;
  soak?: number;
  budget?: number;
  inARow?: number;
  window?: { from: string; to: string };
  candidate?: boolean;
  from?: string;
  stacks?: string[];
  confirm?: string;
}

const present = (fields: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

function orderOf(release: string, flags: Flags): PlanRollout {
  const { canary, waves, concurrency, soak, budget, inARow, window, candidate, from, stacks } = flags;
  const settings = { canaryPercent: canary, waves, concurrency, soakSeconds: soak, budgetPercent: budget, inARow };
  const order = planRolloutSchema.safeParse({
    release,
    selection: present({ from, stacks }),
    settings: present({ ...settings, window, candidate }),
  });
  if (!order.success) {
    throw new CommandError(
      EXIT.usage,
      order.error.issues
        .map(({ path, message }) => `${path.at(-1) === undefined ? '' : `${String(path.at(-1))}: `}${message}`)
        .join(' '),
    );
  }
  return order.data;
}

const plan: Action = async (context, [release = ''], flags) => {
  const platform = await context.platform();
  const drawn = await platform.rollouts.plan(await platform.operator(), orderOf(release, flags as Flags));
  context.output.result(PLAN, drawn, planLines(drawn).join('\n'));
};

const start: Action = async (context, [release = ''], flags) => {
  const order = orderOf(release, flags as Flags);
  const platform = await context.platform();
  const actor = await platform.operator();
  const drawn = await platform.rollouts.plan(actor, order);
  planLines(drawn).forEach((line) => context.output.say(line));
  const stacks = drawn.rings.reduce((sum, ring) => sum + ring.stacks.length, 0);
  await confirmSlug(
    context,
    release,
    flags['confirm'],
    `Bringing the fleet to ${release} restarts the runtimes of ${counted(stacks)}, ring by ring, each after a backup. Addresses show the waiting page meanwhile.`,
  );
  const view = await platform.rollouts.start(actor, { ...order, confirm: release });
  if (context.options.detach) {
    context.output.result(ONE, view, `${view.id} is accepted. Follow it with: aviary rollout watch ${view.id}`);
    return EXIT.done;
  }
  return follow(context, view.id);
};

/** Until it is over or wants an operator. Ctrl-C and --timeout leave it running and say how to come back. */
async function follow(context: CommandContext, id: string, each?: (view: RolloutView) => void): Promise<ExitCode> {
  const { output, options, interrupted } = context;
  const platform = await context.platform();
  const actor = await platform.operator();
  const until = performance.now() + options.timeout * 1_000;
  let told = '';
  let lastWord = performance.now();
  for (;;) {
    const view = await platform.rollouts.get(actor, id);
    const line = progress(view);
    if (output.live) {
      output.rewrite(line);
    } else if (line !== told || performance.now() - lastWord > HEARTBEAT_MS) {
      lastWord = performance.now();
      output.say(line);
    }
    if (line !== told) {
      each?.(view);
    }
    told = line;
    const open = view.counts.open > 0;
    if ((isRolloutOver(view.state) || view.state === 'halted') && !open) {
      output.rewrite('');
      return ended(context, view);
    }
    const back = `It goes on. Follow it with: aviary rollout watch ${id}`;
    if (performance.now() > until) {
      throw new CommandError(EXIT.unfinished, `Not done within ${options.timeout} s.`, back);
    }
    await pause(LOOK_MS, undefined, { signal: interrupted }).catch((error: unknown) => {
      throw interrupted.aborted ? new CommandError(EXIT.interrupted, 'Interrupted.', back) : error;
    });
  }
}

function ended({ output }: CommandContext, view: RolloutView): ExitCode {
  const { state, counts, id, release } = view;
  if (state === 'done' && counts.rolledBack + counts.failed + counts.unwell === 0) {
    output.result(ONE, view, `✓ the fleet is on ${release}: ${resultWords(counts)}`);
    return EXIT.done;
  }
  const next =
    state === 'halted'
      ? `See aviary rollout report ${id}; then aviary rollout resume ${id} ${resumeFlags(view)}, or aviary rollout abort ${id}`
      : `See aviary rollout report ${id}`;
  const said = state === 'done' ? `It is over: ${resultWords(counts)}.` : `It is ${state}: ${resultWords(counts)}.`;
  return output.failure(
    ONE,
    new CommandError(EXIT.failed, view.reason === null ? said : `${said} ${view.reason}`, next),
    view,
  );
}

const watch: Action = async (context, [given]) => {
  const id = idOf('rollout', given);
  return follow(context, id, context.options.json ? (view) => context.output.line(ONE, view) : undefined);
};

const list: Action = async (context, _args, flags) => {
  const { cursor, limit } = flags as { cursor?: string; limit?: number };
  const platform = await context.platform();
  const page = await platform.rollouts.list(await platform.operator(), {
    ...(cursor === undefined ? {} : { cursor }),
    ...(limit === undefined ? {} : { limit }),
  });
  context.output.list<RolloutView>(LIST, page, [
    { head: 'rollout', value: ({ id }) => id },
    { head: 'state', value: ({ state }) => state },
    { head: 'since', value: ({ since }) => since },
    { head: 'release', value: ({ release }) => release },
    { head: 'stacks', value: ({ counts }) => String(counts.total - counts.skipped) },
    { head: 'what became of them', value: ({ counts }) => resultWords(counts) },
  ]);
};

const show: Action = async (context, [given]) => {
  const platform = await context.platform();
  const view = await platform.rollouts.get(await platform.operator(), idOf('rollout', given));
  context.output.result(ONE, view, viewLines(view).join('\n'));
};

const report: Action = async (context, [given], flags) => {
  const { state, cursor, limit } = flags as { state?: RolloutStackState; cursor?: number; limit?: number };
  const platform = await context.platform();
  const page = await platform.rollouts.report(await platform.operator(), idOf('rollout', given), {
    ...(state === undefined ? {} : { state }),
    ...(cursor === undefined ? {} : { cursor }),
    ...(limit === undefined ? {} : { limit }),
  });
  context.output.list<RolloutStack>(REPORT, page, [
    { head: 'tenant', value: ({ slug }) => slug },
    { head: 'ring', value: ({ ring }) => (ring === null ? '' : ringName(ring)) },
    { head: 'state', value: ({ state: own }) => own },
    { head: 'away', value: ({ outageMs }) => (outageMs === null ? '' : seconds(outageMs)) },
    { head: 'ended', value: ({ endedAt }) => endedAt ?? '' },
    { head: 'operation', value: ({ operationId }) => operationId ?? '' },
    { head: 'why', value: ({ why, reason }) => (reason === null ? '' : `${why === null ? '' : `${why}: `}${reason}`) },
  ]);
};

const hold: Action = async (context, [given]) => {
  const platform = await context.platform();
  const view = await platform.rollouts.pause(await platform.operator(), idOf('rollout', given));
  const open = view.counts.open === 0 ? '' : `; ${view.counts.open} under way go on`;
  context.output.result(ONE, view, `✓ ${view.id} is paused${open}. Go on with: aviary rollout resume ${view.id}`);
};

const resume: Action = async (context, [given], flags) => {
  const platform = await context.platform();
  const id = idOf('rollout', given);
  const { failures, newest } = flags as { failures?: number; newest?: string };
  const view = await platform.rollouts.resume(await platform.operator(), id, {
    acknowledge: flags['acknowledge'] === true,
    failures,
    newest,
  });
  context.output.result(ONE, view, `✓ ${view.id} goes on. Follow it with: aviary rollout watch ${view.id}`);
};

const abort: Action = async (context, [given], flags) => {
  const platform = await context.platform();
  const actor = await platform.operator();
  const id = idOf('rollout', given);
  const { release, counts, state } = await platform.rollouts.get(actor, id);
  if (state !== 'aborted') {
    await confirmSlug(
      context,
      release,
      flags['confirm'],
      `Aborting leaves ${counted(counts.waiting)} as they are, for good; ${counts.done} upgraded ones stay on ${release}, of ${counts.open} under way those that have not touched their stack are cancelled, the others end by themselves.`,
    );
  }
  const view = await platform.rollouts.abort(actor, id);
  context.output.result(ONE, view, `✓ ${view.id} is aborted: ${resultWords(view.counts)}`);
};

const number =
  (least: number, most: number) =>
  (text: string): number => {
    const value = /^\d{1,7}(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= least && value <= most)) {
      throw new InvalidArgumentError(`It is a number from ${least} to ${most}.`);
    }
    return value;
  };

function time(text: string): string {
  const parsed = resumeRolloutSchema.shape.newest.safeParse(text);
  if (!parsed.success) {
    throw new InvalidArgumentError('It is a time in UTC, such as 2026-01-01T12:00:00.000Z.');
  }
  return text;
}

function parts(text: string): number[] {
  return text.split(',').map(number(0, 100));
}

function times(text: string): { from: string; to: string } {
  const [from = '', to = ''] = text.split('-');
  if (!text.includes('-')) {
    throw new InvalidArgumentError('It is two times of day in UTC, such as 01:00-05:00.');
  }
  return { from, to };
}

function ordering(command: Command): Command {
  return command
    .option('--canary <percent>', 'part of the stacks that goes first, at least one', number(0, 100))
    .option('--waves <percents>', 'up to which part each wave goes, such as 25,100', parts)
    .option('--concurrency <n>', 'upgrades at once on an engine', number(1, MOST_UPGRADES_AT_ONCE))
    .option('--soak <seconds>', 'how long a ring has to stay well before the next one', number(0, 604_800))
    .option('--budget <percent>', 'part of the stacks that may fail', number(0, 100))
    .option('--in-a-row <n>', 'failures in a row that halt it', number(1, 100))
    .option('--window <from-to>', 'times of day in UTC between which upgrades begin, such as 01:00-05:00', times)
    .option('--candidate', 'let the canary go to a candidate; waves wait until it is stable')
    .option('--from <release>', 'only stacks on that release')
    .option('--stacks <slugs>', 'only these, separated by commas', (text: string) => text.split(','));
}

export function rolloutCommands(program: Command, environment: Environment): void {
  const rollout = program.command('rollout').description('bringing many stacks to a release, ring by ring');
  ordering(rollout.command('plan <release>'))
    .description('who would go when, and who would be left out and why; nothing is done')
    .action(handle(environment, PLAN, plan));
  ordering(rollout.command('start <release>'))
    .description('begin, and follow it until it is over or halts')
    .option('--confirm <release>', 'the release once more, where nobody can be asked')
    .action(handle(environment, ONE, start));
  rollout
    .command('list')
    .description('all of them, newest first')
    .option('--cursor <id>', 'go on after a page', pageCursor)
    .option('--limit <n>', 'rows a page, 20 at most', rows)
    .action(handle(environment, LIST, list));
  rollout
    .command('show <id>')
    .description('its state, rings, budget, and how it came to be so')
    .action(handle(environment, ONE, show));
  rollout
    .command('report <id>')
    .description('what became of each stack')
    .addOption(new Option('--state <state>', 'only those in this state').choices(ROLLOUT_STACK_STATES))
    .option('--cursor <n>', 'go on after a page', number(0, 1_000_000))
    .option('--limit <n>', 'rows a page, 50 at most', rows)
    .action(handle(environment, REPORT, report));
  rollout
    .command('watch <id>')
    .description('follow it until it is over or halts')
    .action(handle(environment, ONE, watch));
  rollout
    .command('pause <id>')
    .description('begin no other upgrade; those under way go on')
    .action(handle(environment, ONE, hold));
  rollout
    .command('resume <id>')
    .description('go on with one that is paused or halted')
    .option('--acknowledge', 'of one that halted: you know what failed, and it counts no more', false)
    .option(
      '--failures <n>',
      'how many failures you know of: refused where there are more by now',
      number(0, 1_000_000),
    )
    .option('--newest <time>', 'when the newest you know of came to be known: refused where there is a newer one', time)
    .action(handle(environment, ONE, resume));
  rollout
    .command('abort <id>')
    .description('end it for good; what was upgraded stays so')
    .option('--confirm <release>', 'its release once more, where nobody can be asked')
    .action(handle(environment, ONE, abort));
}
