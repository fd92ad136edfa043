import { readFile } from 'node:fs/promises';
import { InvalidArgumentError, type Command } from 'commander';
import {
  makeReleaseSchema,
  RELEASE_NOTES_MOST,
  releaseNotesSchema,
  waitingReleases,
  type MakeRelease,
  type ReleaseMove,
  type ReleaseView,
} from '#libs/contracts';
import type { z } from 'zod';
import { handle, type Action, type Environment } from '../frame/command.js';
import { EXIT } from '../frame/exit-codes.js';
import { CommandError } from '../frame/output.js';
import { textOfStdin } from '../frame/stdin.js';

const LIST = 'aviary/release-list/1';
const RELEASE = 'aviary/release/1';

/** White space around notes is nothing of theirs. */
const READ_MOST = 2 * RELEASE_NOTES_MOST;

const firstLineOf = (notes: string): string => {
  const [first = '', ...others] = notes.split('\n');
  return others.length === 0 ? first : `${first} …`;
};

const counted = (stacks: number): string => (stacks === 1 ? '1 stack' : `${stacks} stacks`);

const list: Action = async (context) => {
  const platform = await context.platform();
  const page = await platform.releases.list(await platform.operator());
  context.output.list<ReleaseView>(LIST, page, [
    { head: 'release', value: ({ id }) => id },
    { head: 'state', value: ({ state }) => state },
    { head: 'stacks', value: ({ stacks }) => String(stacks) },
    { head: 'failed on', value: ({ failed }) => String(failed) },
    { head: 'since', value: ({ createdAt }) => createdAt },
    { head: 'notes', value: ({ notes }) => firstLineOf(notes) },
  ]);
  for (const { release, move: next } of waitingReleases(page.items)) {
    context.output.say(`${release.id} waits as a ${release.state}: aviary release ${next} ${release.id}`);
  }
};

const show: Action = async (context, [id = '']) => {
  const platform = await context.platform();
  const release = await platform.releases.get(await platform.operator(), id);
  context.output.result(RELEASE, release, linesOf(release).join('\n'));
};

function linesOf(release: ReleaseView): string[] {
  const { id, state, notes, images, createdAt, databaseMajor, requires, stacks, failed } = release;
  const noted = notes === '' ? [] : notes.split(/\r?\n/);
  return [
    id,
    `state      ${state}`,
    `database   PostgreSQL ${databaseMajor}`,
    ...Object.entries(images).map(([service, image]) => `image      ${service} ${image}`),
    ...requires.map((migration) => `requires   ${migration}`),
    `stacks     ${stacks}${failed === 0 ? '' : `; failed on ${counted(failed)}`}`,
    `since      ${createdAt}`,
    ...noted.map((line, at) => `${(at === 0 ? 'notes' : '').padEnd(11)}${line}`.trimEnd()),
  ];
}

interface Flags {
  like?: string;
  version?: string;
  image: Record<string, string>;
  requires?: string[];
  databaseMajor?: number;
  notes?: string;
  notesFile?: string;
  set?: string;
}

const make: Action = async (context, _args, given) => {
  const { like, version, image, requires, databaseMajor, ...flags } = given as unknown as Flags;
  const notes = await notesOf(flags);
  const wish = parsed<MakeRelease>(makeReleaseSchema, {
    like,
    version,
    images: image,
    ...(requires === undefined ? {} : { requires }),
    ...(databaseMajor === undefined ? {} : { databaseMajor }),
    ...(notes === undefined ? {} : { notes }),
  });
  const platform = await context.platform();
  const release = await platform.releases.make(await platform.operator(), wish);
  context.output.result(
    RELEASE,
    release,
    [...linesOf(release), `✓ made as a draft; next: aviary release offer ${release.id}`].join('\n'),
  );
};

const notesAction: Action = async (context, [id = ''], given) => {
  const { set, notesFile } = given as unknown as Flags;
  const notes = await notesOf({ notes: set, notesFile });
  const platform = await context.platform();
  const actor = await platform.operator();
  if (notes === undefined) {
    const release = await platform.releases.get(actor, id);
    context.output.result(RELEASE, release, release.notes);
    return;
  }
  const release = await platform.releases.setNotes(actor, id, parsed(releaseNotesSchema, { notes }));
  context.output.result(RELEASE, release, `✓ the notes of ${release.id} are set`);
};

/** Undefined where none were given. */
async function notesOf({
  notes,
  notesFile,
}: {
  notes?: string | undefined;
  notesFile?: string | undefined;
}): Promise<string | undefined> {
  if (notesFile === undefined) {
    return notes;
  }
  if (notes !== undefined) {
    throw new CommandError(EXIT.usage, 'Give the notes once: as words, or as a file.');
  }
  try {
    return notesFile === '-' ? await textOfStdin(READ_MOST) : await readFile(notesFile, 'utf8');
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new CommandError(EXIT.usage, `The notes cannot be read: ${why}`);
  }
}

function parsed<T>(schema: z.ZodType<T>, given: unknown): T {
  const read = schema.safeParse(given);
  if (!read.success) {
    const told = read.error.issues.map(({ path, message }) => `${path.join(' ')}: ${message}`);
    throw new CommandError(EXIT.usage, `${told.join('; ')}.`);
  }
  return read.data;
}

function oneImage(text: string, before: Record<string, string>): Record<string, string> {
  const at = text.indexOf('=');
  const service = text.slice(0, at);
  if (at < 1) {
    throw new InvalidArgumentError('It is a service and an image, such as runtime=aviary/runtime:1.8.0.');
  }
  if (Object.hasOwn(before, service)) {
    throw new InvalidArgumentError(`${service} was given an image already.`);
  }
  return { ...before, [service]: text.slice(at + 1) };
}

function major(text: string): number {
  if (!/^\d{2}$/.test(text)) {
    throw new InvalidArgumentError('It is a major version of PostgreSQL, such as 18.');
  }
  return Number(text);
}

const move =
  (verb: ReleaseMove, told: (release: ReleaseView) => string): Action =>
  async (context, [id = '']) => {
    const platform = await context.platform();
    const release = await platform.releases.move(await platform.operator(), id, verb);
    context.output.result(RELEASE, release, `✓ ${release.id} ${told(release)}`);
  };

const fixed: Action = async (context, [id = '']) => {
  const platform = await context.platform();
  const actor = await platform.operator();
  const stacks = await platform.releases.markFixed(actor, id);
  context.output.result(
    RELEASE,
    await platform.releases.get(actor, id),
    `✓ ${id} may be tried again on ${counted(stacks)} on which it failed`,
  );
};

export function releaseCommands(program: Command, environment: Environment): void {
  const release = program.command('release').description('versions of templates with their images, and who runs them');
  release
    .command('list')
    .description('all of them, newest first, with how many stacks are on each')
    .action(handle(environment, LIST, list));
  release
    .command('show <release>')
    .description('one of them: its notes, its images, the major version of its database, and who is on it')
    .action(handle(environment, RELEASE, show));
  release
    .command('make')
    .description('a draft like a release that is there, with other images')
    .requiredOption('--like <release>', 'the release it is like')
    .requiredOption('--version <x.y.z>', 'its version, which no other release of the template has')
    .option('--image <service=image>', 'an image that the engine has; those of other services stay', oneImage, {})
    .option('--notes <text>', 'what is new, for people')
    .option('--notes-file <file>', 'the same out of a file, or of standard input as -')
    .option(
      '--requires <migrations>',
      'what the portal’s database must have had, separated by commas',
      (text: string) => text.split(','),
    )
    .option('--database-major <n>', 'of PostgreSQL in its images, where it is another one', major)
    .action(handle(environment, RELEASE, make));
  release
    .command('notes <release>')
    .description('what is new in it; with --set or --notes-file it is written')
    .option('--set <text>', 'write that')
    .option('--notes-file <file>', 'write what is in a file, or in standard input as -')
    .action(handle(environment, RELEASE, notesAction));
  const moves = [
    ['offer', 'let operators upgrade stacks to it', () => 'is a candidate; next: aviary tenant upgrade'],
    ['promote', 'make new stacks of it', () => 'is stable: new stacks are made of it'],
    [
      'withdraw',
      'let no stack go there any more',
      ({ stacks }: ReleaseView) => `is withdrawn; ${counted(stacks)} on it ${stacks === 1 ? 'stays' : 'stay'} there`,
    ],
  ] as const;
  for (const [verb, about, told] of moves) {
    release
      .command(`${verb} <release>`)
      .description(about)
      .action(handle(environment, RELEASE, move(verb, told)));
  }
  release
    .command('fixed <release>')
    .description('let stacks be tried again on which an upgrade to it failed')
    .action(handle(environment, RELEASE, fixed));
}
