import { createStackSchema, STACK_STATUS, type Accepted, type StackView } from '#libs/contracts';
import type { Command } from 'commander';
import { confirmSlug, handle, type Action, type CommandContext, type Environment } from '../frame/command.js';
import { EXIT, type ExitCode } from '../frame/exit-codes.js';
import { followOperation, operationError } from '../frame/follow.js';
import { pageCursor, rows } from '../frame/flags.js';
import { CommandError } from '../frame/output.js';

const LIST = 'aviary/tenant-list/1';
const ONE = 'aviary/tenant/1';
const OPERATION = 'aviary/operation/1';

const word = (stack: StackView): string => STACK_STATUS[stack.status].word;

/** Waits for the end unless told not to, and prints what is true then. */
async function settle(context: CommandContext, accepted: Accepted): Promise<ExitCode> {
  const { output, options } = context;
  const { operation, stack } = accepted;
  if (options.detach) {
    output.result(
      OPERATION,
      operation,
      `${stack.slug}: ${operation.kind} accepted. Follow it with: aviary operation watch ${operation.id}`,
    );
    return EXIT.done;
  }
  const { view, code } = await followOperation(context, operation.id);
  if (code !== EXIT.done) {
    return output.failure(OPERATION, operationError(view), view);
  }
  const took =
    view.finishedAt === null
      ? ''
      : ` after ${((Date.parse(view.finishedAt) - Date.parse(view.createdAt)) / 1_000).toFixed(1)} s`;
  const end = {
    provision: `runs${took}: ${stack.dashboardUrl}   Next: aviary tenant show ${stack.slug}`,
    start: `runs${took}: ${stack.dashboardUrl}`,
    restart: `runs again${took}: ${stack.dashboardUrl}`,
    stop: `is stopped${took}; its data is kept`,
    destroy: `is destroyed${took}; nothing of it is left`,
  }[view.kind];
  output.result(OPERATION, view, `✓ ${stack.slug} ${end}`);
  return EXIT.done;
}

const create: Action = async (context, _args, flags) => {
  const { user, name, template } = flags as { user: string; name?: string; template?: string };
  const input = createStackSchema.safeParse({ name, template });
  if (!input.success) {
    throw new CommandError(
      EXIT.usage,
      input.error.issues.map((issue) => `--${issue.path.join('.')}: ${issue.message}`).join(' '),
    );
  }
  const platform = await context.platform();
  return settle(
    context,
    await platform.stacks.create(await platform.operator(), input.data, await platform.accountId(user)),
  );
};

const list: Action = async (context, _args, flags) => {
  const { q, state, cursor, limit } = flags as { q?: string; state?: string; cursor?: string; limit?: number };
  if (state !== undefined && !(state in STACK_STATUS)) {
    throw new CommandError(EXIT.usage, `--state is one of ${Object.keys(STACK_STATUS).join(', ')}.`);
  }
  const platform = await context.platform();
  const page = await platform.stacks.list(await platform.operator(), {
    ...(q === undefined ? {} : { q }),
    ...(state === undefined ? {} : { status: state }),
    ...(cursor === undefined ? {} : { cursor }),
    ...(limit === undefined ? {} : { limit }),
  });
  context.output.list(LIST, page, [
    { head: 'tenant', value: (stack) => stack.slug },
    { head: 'state', value: word },
    { head: 'since', value: (stack) => stack.since },
    { head: 'owner', value: (stack) => stack.owner },
    { head: 'release', value: (stack) => stack.release },
    { head: 'reason', value: (stack) => stack.reason ?? '' },
  ]);
};

const show: Action = async (context, [slug = '']) => {
  const platform = await context.platform();
  const stack = await platform.stacks.get(await platform.operator(), slug);
  const { limits, heartbeat } = stack;
  const lines = [
    `${stack.slug}  ${word(stack)} since ${stack.since}${stack.checkedAt === null ? '' : `, checked ${stack.checkedAt}`}`,
    `name       ${stack.name}`,
    `owner      ${stack.owner}`,
    `dashboard  ${stack.dashboardUrl}`,
    `api        ${stack.apiUrl}`,
    `release    ${stack.template} ${stack.release}`,
    `wanted     ${stack.desired}${stack.holds.length > 0 ? `, held by ${stack.holds.join(', ')}` : ''}`,
    `limits     ${limits.cpus} CPU, ${limits.memoryMb} MB memory, ${limits.diskGb} GB disk, ${limits.pids} processes, ${limits.bots} bots`,
    `bots       ${heartbeat === null ? 'no report yet' : `${heartbeat.runningBots} of ${heartbeat.bots} running, ${heartbeat.openOrders} open orders, equity ${heartbeat.equity} (${heartbeat.at})`}`,
    ...(stack.reason === null ? [] : [`reason     ${stack.reason}`]),
    ...(stack.openOperation === null
      ? []
      : [
          `operation  ${stack.openOperation.kind} ${stack.openOperation.state}: aviary operation watch ${stack.openOperation.id}`,
        ]),
  ];
  context.output.result(ONE, stack, lines.join('\n'));
};

const order =
  (kind: 'start' | 'stop' | 'restart'): Action =>
  async (context, [slug = '']) => {
    const platform = await context.platform();
    return settle(context, await platform.stacks.request(await platform.operator(), slug, kind));
  };

const destroy: Action = async (context, [slug = ''], flags) => {
  const platform = await context.platform();
  const actor = await platform.operator();
  const stack = await platform.stacks.get(actor, slug);
  const bots =
    stack.heartbeat === null
      ? 'whatever bots it has'
      : `${stack.heartbeat.bots} bots, ${stack.heartbeat.openOrders} open orders`;
  await confirmSlug(
    context,
    slug,
    flags['confirm'],
    `Destroying ${slug} of ${stack.owner} deletes ${bots} and all its data, at once and for good.`,
  );
  return settle(context, await platform.stacks.request(actor, slug, 'destroy'));
};

export function tenantCommands(program: Command, environment: Environment): void {
  const tenant = program.command('tenant').description('customers’ stacks');
  tenant
    .command('create')
    .description('make a stack for a user and wait until it runs')
    .requiredOption('--user <e-mail or name>', 'whose stack it is')
    .option('--name <text>', 'what the owner calls it')
    .option('--template <name>', 'kind of stack', 'standard')
    .action(handle(environment, OPERATION, create));
  tenant
    .command('list')
    .description('stacks, newest first')
    .option('--q <text>', 'part of slug, name or owner')
    .option('--state <state>', 'only those in this state')
    .option('--cursor <id>', 'go on after a page', pageCursor)
    .option('--limit <n>', 'rows a page, 50 at most', rows)
    .action(handle(environment, LIST, list));
  tenant
    .command('show <slug>')
    .description('all facts of one stack')
    .action(handle(environment, ONE, show));
  for (const [kind, about] of [
    ['start', 'start a stopped stack'],
    ['stop', 'stop a stack and keep its data'],
    ['restart', 'stop and start a stack'],
  ] as const) {
    tenant
      .command(`${kind} <slug>`)
      .description(about)
      .action(handle(environment, OPERATION, order(kind)));
  }
  tenant
    .command('destroy <slug>')
    .description('delete a stack and all its data')
    .option('--confirm <slug>', 'its name once more, where nobody can be asked')
    .action(handle(environment, OPERATION, destroy));
}
