import { DeadlineError, waitFor } from '#libs/async';
import { DomainError, isDomainError } from '#libs/contracts';
import type { KeyStatus, RotationView } from '#libs/keys';
import type { Command } from 'commander';
import { confirmSlug, handle, type Action, type CommandContext, type Environment } from '../frame/command.js';
import { EXIT } from '../frame/exit-codes.js';
import { CommandError } from '../frame/output.js';
import { looked } from '../frame/problems.js';
import { formatPlain, formatTable, type Column } from '../frame/table.js';

const STATUS = 'aviary/keys-status/1';
const ROTATION = 'aviary/keys-rotation/1';
const LOOK_MS = 500;

interface Figure {
  figure: string;
  value: string;
  note?: string;
}

const COLUMNS: readonly Column<Figure>[] = [
  { head: 'figure', value: ({ figure }) => figure },
  { head: 'value', value: ({ value }) => value },
  { head: 'note', value: ({ note }) => note ?? '' },
];

const moved = ({ total, left }: Pick<RotationView, 'total' | 'left'>): string =>
  `${total - left} of ${total} data keys`;

function rotationFigure({ from, to, begunAt, finishedAt, askedAt, askedBy, ...counts }: RotationView): Figure {
  const way = `from ${from} to ${to}`;
  if (finishedAt !== null) {
    return { figure: 'last rotation', value: way, note: `ended at ${finishedAt}` };
  }
  const begun = begunAt === null ? 'not begun by an agent yet' : moved(counts);
  return { figure: 'rotation under way', value: way, note: `${begun}; asked for by ${askedBy} at ${askedAt}` };
}

function figures({ masterKey, dataKeys, agents, rotation, underMasterKey, lost }: KeyStatus): Figure[] {
  return [
    { figure: 'master key', value: masterKey ?? 'none yet' },
    ...dataKeys.map(({ masterKey: id, count }) => ({ figure: 'data keys under', value: id, note: String(count) })),
    ...agents.map(({ owner, current, next }) => ({
      figure: 'agent has',
      value: next === null ? current : `${current}, next ${next}`,
      note: owner,
    })),
    ...(rotation === null ? [] : [rotationFigure(rotation)]),
    ...(underMasterKey.length === 0
      ? []
      : [{ figure: 'sealed as before', value: String(underMasterKey.length), note: underMasterKey.join(' ') }]),
    ...lost.map((slug) => ({ figure: 'key lost', value: slug })),
  ];
}

/** Of stacks with something that no rotation of data keys can bring along. */
const asBefore = (slugs: readonly string[]): string =>
  `Something of ${slugs.join(', ')} is still sealed under a master key itself. An agent brings it over within a minute; what stays does not open, and only the master key of its time could open it: keep that.`;

/** What of all this somebody has to see to; null where nothing is. */
function wrongOf({ lost, underMasterKey, agents, masterKey, portalBackup, rotation }: KeyStatus): string | null {
  const sentences: string[] = [];
  if (underMasterKey.length > 0) {
    sentences.push(asBefore(underMasterKey));
  }
  if (lost.length > 0) {
    sentences.push(`The secrets of ${lost.join(', ')} do not open: docs/operate.md, “Keys”.`);
  }
  if (masterKey !== null && agents.length === 0) {
    sentences.push('No agent has been heard of: aviary doctor.');
  }
  // An old key that agents still have protects nothing, but until it is gone the rotation has not ended for a person.
  const old = agents.filter(({ current }) => current !== masterKey);
  if (old.length > 0 && (rotation === null || rotation.finishedAt !== null)) {
    sentences.push(
      `AVIARY_MASTER_KEY is still the one before: make ${masterKey} the only one in .env and run scripts/up.`,
    );
  }
  if (portalBackup !== null && (rotation === null || rotation.finishedAt !== null)) {
    sentences.push(
      `The newest verified backup of the portal is of before the rotation: keep the master key ${portalBackup} until aviary portal backups shows a newer one. One is ordered by itself; aviary portal backup takes it now.`,
    );
  }
  return sentences.length === 0 ? null : sentences.join(' ');
}

const status: Action = async (context) => {
  const platform = await context.platform();
  const keys = await platform.keys.status(await platform.operator());
  const { output } = context;
  const rows = figures(keys);
  return looked(context, {
    schema: STATUS,
    data: keys,
    print: () =>
      output.result(STATUS, keys, output.options.plain ? formatPlain(rows, COLUMNS) : formatTable(rows, COLUMNS, 0)),
    wrong: wrongOf(keys),
  });
};

/** A look that fails is taken again; one that finds nothing any more is an end. */
function unlessGone(error: unknown): DomainError {
  if (isDomainError(error, 'NOT_FOUND')) {
    return error;
  }
  throw error;
}

/** Ctrl-C and --timeout leave it going on and say how to come back. */
async function follow(context: CommandContext, id: string): Promise<RotationView> {
  const { output, options, interrupted } = context;
  const platform = await context.platform();
  const operator = await platform.operator();
  let told = '';
  try {
    const ended = await waitFor(
      async () => {
        const rotation = await platform.keys.rotation(operator, id).catch(unlessGone);
        if (rotation instanceof DomainError) {
          return rotation;
        }
        const says = rotation.begunAt === null ? 'waiting for an agent to begin' : moved(rotation);
        if (says !== told) {
          output.say(says);
          told = says;
        }
        return rotation.finishedAt === null ? undefined : rotation;
      },
      {
        what: 'the rotation',
        deadlineMs: Math.min(options.timeout * 1_000, 2 ** 31 - 1),
        intervalMs: LOOK_MS,
        signal: interrupted,
      },
    );
    if (ended instanceof DomainError) {
      throw ended;
    }
    return ended;
  } catch (error) {
    const back = 'It goes on. Follow it with: aviary keys rotate';
    if (interrupted.aborted) {
      throw new CommandError(EXIT.interrupted, 'Interrupted.', back);
    }
    throw error instanceof DeadlineError
      ? new CommandError(EXIT.unfinished, `Not done within ${options.timeout} s.`, back)
      : error;
  }
}

const rotate: Action = async (context, _args, flags) => {
  const { output, options } = context;
  const platform = await context.platform();
  const operator = await platform.operator();
  const to = await platform.keys.nextKey(operator);
  const { masterKey, dataKeys, rotation } = await platform.keys.status(operator);
  const isAsked = rotation?.to === to && (rotation.finishedAt === null || masterKey === to);
  if (!isAsked) {
    const count = dataKeys.reduce((sum, one) => sum + one.count, 0);
    await confirmSlug(
      context,
      to,
      flags['confirm'],
      `Rotating puts all ${count} data keys under the master key ${to} in place of ${masterKey}. Everything goes on meanwhile; from then on the secrets of every stack, and its backups, open with ${to} alone. Keep a copy of it where no failure of this host reaches.`,
    );
  }
  const asked = await platform.keys.rotate(operator, to);
  if (options.detach) {
    output.result(ROTATION, asked, `The rotation to ${to} is asked for. Follow it with: aviary keys rotate`);
    return EXIT.done;
  }
  const ended = await follow(context, asked.id);
  const { underMasterKey } = await platform.keys.status(operator);
  const left =
    ended.left === 0 ? '' : ` ${ended.left} did not open and were left as they were: aviary keys status names them.`;
  output.result(
    ROTATION,
    ended,
    `✓ the master key is ${to}: ${moved(ended)} are under it.${left}${underMasterKey.length === 0 ? '' : ` ${asBefore(underMasterKey)}`} Now make it the only one: set it in .env in the place of AVIARY_MASTER_KEY, empty AVIARY_NEXT_MASTER_KEY, and run scripts/up.`,
  );
  return EXIT.done;
};

export function keyCommands(program: Command, environment: Environment): void {
  const keys = program.command('keys').description('the master key and what is sealed under it');
  keys
    .command('status')
    .description('which master keys are in use, by their ids; exit 8 where somebody has to see to it')
    .action(handle(environment, STATUS, status));
  keys
    .command('rotate')
    .description('put everything under the next master key that agents were given, or follow that')
    .option('--confirm <id>', 'id of the next master key, where nobody can be asked')
    .action(handle(environment, ROTATION, rotate));
}
