import {
  createStackSchema,
  LAYER_STATUS,
  STACK_STATUS,
  suspendStackSchema,
  USAGE_RANGES,
  type Accepted,
  type StackNext,
  type StackView,
  type UsageRange,
} from '#libs/contracts';
import { Option, type Command } from 'commander';
import { confirmSlug, handle, type Action, type CommandContext, type Environment } from '../frame/command.js';
import { EXIT, type ExitCode } from '../frame/exit-codes.js';
import { followOperation, operationError } from '../frame/follow.js';
import { logTail, pageCursor, rows } from '../frame/flags.js';
import { CommandError } from '../frame/output.js';
import { domainCommands } from './tenant-domain.js';
import { logs, LOGS } from './tenant-logs.js';
import { usageLines } from './usage-lines.js';

const LIST = 'aviary/tenant-list/1';
const ONE = 'aviary/tenant/1';
const OPERATION = 'aviary/operation/1';
const USAGE = 'aviary/tenant-usage/1';

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
  const away = view.outageMs === null ? '' : `; its address was away for ${(view.outageMs / 1_000).toFixed(1)} s`;
  const end = {
    provision: `runs${took}: ${stack.dashboardUrl}   Next: aviary tenant show ${stack.slug}`,
    start: `runs${took}: ${stack.dashboardUrl}`,
    clone: `runs${took}: ${stack.dashboardUrl}; nothing of it trades until: aviary tenant allow-trading ${stack.slug}`,
    undo_restore: `has the data of before the restore again${took}`,
    prune: `has no backups any more that its plan does not keep${took}`,
    restart: `runs again${took}${away}: ${stack.dashboardUrl}`,
    stop: `is stopped${took}; its data is kept`,
    destroy: `is destroyed${took}; nothing of it is left`,
    suspend: `is suspended${took}; its data is kept. Next: aviary tenant resume ${stack.slug}`,
    resume: `is no longer held by an operator${took}   Next: aviary tenant show ${stack.slug}`,
    hibernate: `is asleep${took}; its owner’s visit or a program’s valid token wakes it`,
    wake: `is awake${took}: ${stack.dashboardUrl}`,
    resize: `has its new limits${took}`,
    rotate_secrets: `has new passwords and keys${took}`,
    repair: `is as wanted again${took}`,
    backup: `is backed up${took}`,
    upgrade: `is on its new release${took}${away}; the one before is kept to go back to`,
    rollback: `is on its release before again${took}${away}`,
    restore: `has the data of its backup again${took}${away}`,
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
    { head: 'reason', value: (stack) => stack.reason ?? stack.warnings.map(({ code }) => code).join(', ') },
  ]);
};

const allowTrading: Action = async (context, [slug = ''], flags) => {
  const platform = await context.platform();
  const actor = await platform.operator();
  const stack = await platform.stacks.get(actor, slug);
  if (stack.tradingHeldSince !== null) {
    await confirmSlug(
      context,
      slug,
      flags['confirm'],
      `${slug} of ${stack.owner} is a copy of ${stack.clonedFrom?.slug ?? 'another stack'}: once it may trade, both do, and where they have the same exchange account both trade on it. It restarts; its bots stay paused, and their stop-loss and take-profit do nothing, until each is resumed.`,
    );
  }
  return settle(context, await platform.stacks.allowTrading(actor, slug, { confirm: slug }));
};

const NEXT: Record<StackNext['kind'], string> = {
  repair: 'repaired by itself',
  person: 'nothing more is tried; start it once the cause is gone',
  route: 'the platform’s own way to it is seen to; the stack itself works and is not restarted',
  look: 'looked at again by itself',
  visit: 'woken by a visit of its owner',
  start: 'nothing until it is started',
  resume: 'nothing until it is resumed',
};
const nextWords = ({ kind, at, attempt }: StackNext): string =>
  `${NEXT[kind]}${at === null ? '' : ` at ${at}`}${attempt === null ? '' : `, attempt ${attempt.number} of ${attempt.of}`}`;

const show: Action = async (context, [slug = '']) => {
  const platform = await context.platform();
  const stack = await platform.stacks.get(await platform.operator(), slug);
  const { limits, heartbeat } = stack;
  const known = stack.layers.some(({ state }) => state !== 'unknown')
    ? stack.layers.map(({ layer, state }) => `${layer} ${LAYER_STATUS[state].word.toLowerCase()}`)
    : [];
  const lines = [
    `${stack.slug}  ${word(stack)} since ${stack.since}${stack.checkedAt === null ? '' : `, checked ${stack.checkedAt}`}`,
    `name       ${stack.name}`,
    `owner      ${stack.owner}`,
    `dashboard  ${stack.dashboardUrl}`,
    `api        ${stack.apiUrl}`,
    `release    ${stack.template} ${stack.release}`,
    `services   ${stack.services.join(', ')}`,
    `engine     ${stack.engine}`,
    `wanted     ${stack.desired}${stack.holds.length > 0 ? `, held by ${stack.holds.join(', ')}` : ''}`,
    ...(stack.holdNote === null ? [] : [`held       ${stack.holdNote}`]),
    `limits     ${limits.cpus} CPU, ${limits.memoryMb} MB memory, ${limits.diskGb} GB disk, ${limits.pids} processes, ${limits.bots} bots`,
    `bots       ${heartbeat === null ? 'no report yet' : `${heartbeat.runningBots} of ${heartbeat.bots} running, ${heartbeat.openOrders} open orders, equity ${heartbeat.equity} (${heartbeat.at})`}`,
    ...(stack.clonedFrom === null
      ? []
      : [`copy of    ${stack.clonedFrom.slug}, its data of ${stack.clonedFrom.takenAt}`]),
    ...(stack.tradingHeldSince === null
      ? []
      : [`trading    off since ${stack.tradingHeldSince}; let it: aviary tenant allow-trading ${stack.slug}`]),
    ...(stack.reason === null ? [] : [`reason     ${stack.reason}`]),
    ...(known.length === 0 ? [] : [`layers     ${known.join(', ')}`]),
    ...(stack.next === null ? [] : [`next       ${nextWords(stack.next)}`]),
    ...stack.warnings.map(
      ({ level, message, since, heldSince }) =>
        `${level === 'bad' ? '!!' : '!'}          ${message} Since ${since}.${heldSince === null ? '' : ` Held since ${heldSince}.`}`,
    ),
    ...(stack.openOperation === null
      ? []
      : [
          `operation  ${stack.openOperation.kind} ${stack.openOperation.state}: aviary operation watch ${stack.openOperation.id}`,
        ]),
  ];
  context.output.result(ONE, stack, lines.join('\n'));
};

const usage: Action = async (context, [slug = ''], flags) => {
  const { range } = flags as { range: UsageRange };
  const platform = await context.platform();
  const use = await platform.usage.ofStack(await platform.operator(), slug, range);
  context.output.result(USAGE, use, usageLines(use).join('\n'));
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
    `Destroying ${slug} of ${stack.owner} deletes ${bots}, all its data and its backups, at once and for good. Keep a backup of it first: aviary backup export ${slug}.`,
  );
  return settle(context, await platform.stacks.request(actor, slug, 'destroy'));
};

const sleep =
  (kind: 'hibernate' | 'wake'): Action =>
  async (context, [slug = '']) => {
    const platform = await context.platform();
    return settle(context, await platform.sleep[kind](await platform.operator(), slug));
  };

const resize: Action = async (context, [slug = ''], flags) => {
  const platform = await context.platform();
  return settle(context, await platform.resize.resize(await platform.operator(), slug, String(flags['plan'])));
};

const upgrade: Action = async (context, [slug = '', release]) => {
  const platform = await context.platform();
  return settle(
    context,
    await platform.upgrades.upgrade(await platform.operator(), slug, release === undefined ? {} : { release }),
  );
};

const rotateSecrets: Action = async (context, [slug = '']) => {
  const platform = await context.platform();
  return settle(context, await platform.resize.rotateSecrets(await platform.operator(), slug));
};

const suspend: Action = async (context, [slug = ''], flags) => {
  const input = suspendStackSchema.safeParse({ note: flags['note'] });
  if (!input.success) {
    throw new CommandError(EXIT.usage, `--note: ${input.error.issues.map(({ message }) => message).join(' ')}`);
  }
  const platform = await context.platform();
  const actor = await platform.operator();
  const stack = await platform.stacks.get(actor, slug);
  const bots = stack.heartbeat === null ? 'whatever bots it has' : `${stack.heartbeat.runningBots} running bots`;
  await confirmSlug(
    context,
    slug,
    flags['confirm'],
    `Suspending ${slug} of ${stack.owner} stops ${bots} until it is resumed; its owner reads: ${input.data.note}`,
  );
  return settle(context, await platform.holds.suspend(actor, slug, input.data.note));
};

const resume: Action = async (context, [slug = '']) => {
  const platform = await context.platform();
  return settle(context, await platform.holds.resume(await platform.operator(), slug));
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
  tenant
    .command('logs <slug>')
    .description('what a service of a stack writes; a search looks through the last 5 000 lines')
    .option('--service <name>', 'one of those aviary tenant show names; the first of them unless named')
    .option('--tail <n>', 'that many of the last lines', logTail, 200)
    .option('--q <text>', 'only lines that contain it')
    .option('--follow', 'go on with what is written from now on, until Ctrl-C or, without a terminal, --timeout', false)
    .action(handle(environment, LOGS, logs));
  tenant
    .command('usage <slug>')
    .description('what a stack uses of processor, memory, disk and network')
    .addOption(new Option('--range <range>', 'how far back').choices(USAGE_RANGES).default('day'))
    .action(handle(environment, USAGE, usage));
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
  for (const [kind, about] of [
    ['hibernate', 'put a stack to sleep in which no bot runs'],
    ['wake', 'wake a stack that sleeps'],
  ] as const) {
    tenant
      .command(`${kind} <slug>`)
      .description(about)
      .action(handle(environment, OPERATION, sleep(kind)));
  }
  domainCommands(tenant, environment);
  tenant
    .command('resize <slug>')
    .description('give a stack the limits of a plan; it restarts only if the number of bots changes')
    .requiredOption('--plan <code>', 'such as pro')
    .action(handle(environment, OPERATION, resize));
  tenant
    .command('upgrade <slug> [release]')
    .description(
      'bring a stack to a release, the newest stable one unless told; it is backed up first, and rolled back by itself',
    )
    .action(handle(environment, OPERATION, upgrade));
  tenant
    .command('allow-trading <slug>')
    .description('let a stack trade that was made as a copy of another')
    .option('--confirm <slug>', 'the stack’s name once more, where nobody can be asked')
    .action(handle(environment, OPERATION, allowTrading));
  tenant
    .command('rotate-secrets <slug>')
    .description('give a stack new passwords and keys, and restart it with them')
    .action(handle(environment, OPERATION, rotateSecrets));
  tenant
    .command('suspend <slug>')
    .description('stop a stack and keep it from running until it is resumed')
    .requiredOption('--note <text>', 'why; its owner reads it')
    .option('--confirm <slug>', 'its name once more, where nobody can be asked')
    .action(handle(environment, OPERATION, suspend));
  tenant
    .command('resume <slug>')
    .description('let go of a suspended stack')
    .action(handle(environment, OPERATION, resume));
  tenant
    .command('destroy <slug>')
    .description('delete a stack and all its data')
    .option('--confirm <slug>', 'its name once more, where nobody can be asked')
    .action(handle(environment, OPERATION, destroy));
}
