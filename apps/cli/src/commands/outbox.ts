import { outboxMailSchema, type OutboxMail } from '#libs/contracts';
import type { Command } from 'commander';
import { handle, type Action, type Environment } from '../frame/command.js';
import { EXIT } from '../frame/exit-codes.js';
import { idOf, pageCursor, rows } from '../frame/flags.js';
import { CommandError } from '../frame/output.js';
import type { Platform } from '../frame/platform.js';

const LIST = 'aviary/outbox-list/1';
const ONE = 'aviary/outbox/1';
const STATES = outboxMailSchema.shape.state.options;

async function outboxOf(platform: Platform) {
  const { OutboxService } = await import('#libs/support');
  return new OutboxService({ database: platform.dataSource, queue: platform.queue, now: platform.now });
}

const list: Action = async (context, _args, flags) => {
  const { state, cursor, limit } = flags as { state?: string; cursor?: string; limit?: number };
  const wanted = STATES.find((one) => one === state);
  if (state !== undefined && wanted === undefined) {
    throw new CommandError(EXIT.usage, `--state is one of ${STATES.join(', ')}.`);
  }
  const platform = await context.platform();
  const outbox = await outboxOf(platform);
  const page = await outbox.list(await platform.operator(), { state: wanted, cursor, limit });
  context.output.list<OutboxMail>(LIST, page, [
    { head: 'mail', value: (mail) => mail.id },
    { head: 'state', value: (mail) => mail.state },
    { head: 'to', value: (mail) => mail.to },
    { head: 'created', value: (mail) => mail.createdAt },
    { head: 'subject', value: (mail) => mail.subject },
    { head: 'why', value: (mail) => mail.lastError ?? '' },
  ]);
};

const show: Action = async (context, [id]) => {
  const platform = await context.platform();
  const outbox = await outboxOf(platform);
  const mail = await outbox.get(await platform.operator(), idOf('outbox', id));
  const head = [
    `mail     ${mail.id}`,
    `state    ${mail.state}${mail.sentAt === null ? '' : ` at ${mail.sentAt}`}, ${mail.attempts} tries`,
    `to       ${mail.to}`,
    `subject  ${mail.subject}`,
    `created  ${mail.createdAt}`,
    ...(mail.lastError === null ? [] : [`why      ${mail.lastError}`]),
  ];
  context.output.result(ONE, mail, `${head.join('\n')}\n\n${mail.text}`);
};

const resend: Action = async (context, [id]) => {
  const platform = await context.platform();
  const outbox = await outboxOf(platform);
  const mail = await outbox.resend(await platform.operator(), idOf('outbox', id));
  context.output.result(ONE, mail, `✓ ${mail.id} waits to be sent to ${mail.to}`);
};

export function outboxCommands(program: Command, environment: Environment): void {
  const outbox = program.command('outbox').description('mails the platform wrote');
  outbox
    .command('list')
    .description('mails, newest first')
    .option('--state <state>', `only those ${STATES.join(', ')}`)
    .option('--cursor <id>', 'go on after a page', pageCursor)
    .option('--limit <n>', 'rows a page, 200 at most', rows)
    .action(handle(environment, LIST, list));
  outbox
    .command('show <id>')
    .description('one mail with its words')
    .action(handle(environment, ONE, show));
  outbox
    .command('resend <id>')
    .description('send one again')
    .action(handle(environment, ONE, resend));
}
