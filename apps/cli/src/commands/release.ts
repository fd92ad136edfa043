import type { Command } from 'commander';
import type { ReleaseMove, ReleaseView } from '#libs/contracts';
import { handle, type Action, type Environment } from '../frame/command.js';

const LIST = 'aviary/release-list/1';
const RELEASE = 'aviary/release/1';

const counted = (stacks: number): string => (stacks === 1 ? '1 stack' : `${stacks} stacks`);

const list: Action = async (context) => {
  const platform = await context.platform();
  context.output.list<ReleaseView>(LIST, await platform.releases.list(await platform.operator()), [
    { head: 'release', value: ({ id }) => id },
    { head: 'state', value: ({ state }) => state },
    { head: 'stacks', value: ({ stacks }) => String(stacks) },
    { head: 'failed on', value: ({ failed }) => String(failed) },
    { head: 'since', value: ({ createdAt }) => createdAt },
    { head: 'notes', value: ({ notes }) => notes },
  ]);
};

const show: Action = async (context, [id = '']) => {
  const platform = await context.platform();
  const release = await platform.releases.get(await platform.operator(), id);
  const { state, notes, images, createdAt, databaseMajor, stacks, failed } = release;
  const lines = [
    release.id,
    `state      ${state}`,
    `database   PostgreSQL ${databaseMajor}`,
    ...Object.entries(images).map(([service, image]) => `image      ${service} ${image}`),
    `stacks     ${stacks}${failed === 0 ? '' : `; failed on ${counted(failed)}`}`,
    `since      ${createdAt}`,
    ...(notes === '' ? [] : [`notes      ${notes}`]),
  ];
  context.output.result(RELEASE, release, lines.join('\n'));
};

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
    .description('one of them: its images, the major version of its database, and who is on it')
    .action(handle(environment, RELEASE, show));
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
