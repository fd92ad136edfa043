import { DOMAIN_STATUS, DomainError, type DomainView } from '#libs/contracts';
import { DeadlineError, waitFor } from '#libs/async';
import type { Command } from 'commander';
import { handle, type Action, type CommandContext, type Environment } from '../frame/command.js';
import { EXIT } from '../frame/exit-codes.js';
import { CommandError } from '../frame/output.js';

const LIST = 'aviary/tenant-domain-list/1';
const ONE = 'aviary/tenant-domain/1';

const word = ({ state }: DomainView): string => DOMAIN_STATUS[state].word;

function lines(domain: DomainView): string[] {
  return [
    `${domain.domain}  ${word(domain)}${domain.checkedAt === null ? '' : `, checked ${domain.checkedAt}`}`,
    ...(domain.message === null ? [] : [`why        ${domain.message}`]),
    ...(domain.certificateUntil === null ? [] : [`until      ${domain.certificateUntil}`]),
    ...(domain.verifiedAt === null || domain.problem !== null ? domain.records : []).map(
      ({ purpose, type, name, value }) =>
        `${purpose === 'route_instead' ? 'or set     ' : 'set        '}${name}  ${type}  ${value}`,
    ),
  ];
}

const list: Action = async (context, [slug = '']) => {
  const platform = await context.platform();
  const page = await platform.domains.list(await platform.operator(), slug);
  context.output.list<DomainView>(LIST, page, [
    { head: 'domain', value: ({ domain }) => domain },
    { head: 'state', value: word },
    { head: 'until', value: ({ certificateUntil }) => certificateUntil ?? '' },
    { head: 'why', value: ({ message }) => message ?? '' },
  ]);
};

const add: Action = async (context, [slug = '', name = '']) => {
  const platform = await context.platform();
  const domain = await platform.domains.add(await platform.operator(), slug, name);
  context.output.result(ONE, domain, lines(domain).join('\n'));
};

/** What the agent found at its next look; it takes seconds, and a silent name server its time. */
async function looked(context: CommandContext, slug: string, before: DomainView): Promise<DomainView> {
  const platform = await context.platform();
  const actor = await platform.operator();
  try {
    return await waitFor(
      async () => {
        const { items } = await platform.domains.list(actor, slug);
        const domain = items.find((item) => item.domain === before.domain);
        if (!domain) {
          throw new DomainError('NOT_FOUND', { message: `${slug} has no domain ${before.domain} any more.` });
        }
        return domain.checkedAt !== before.checkedAt && domain.state !== 'issuing' ? domain : undefined;
      },
      {
        what: `a look at ${before.domain}`,
        deadlineMs: context.options.timeout * 1_000,
        intervalMs: 500,
        maxIntervalMs: 2_000,
        signal: context.interrupted,
      },
    );
  } catch (error) {
    if (error instanceof DeadlineError) {
      throw new CommandError(
        EXIT.unfinished,
        `${before.domain} was not looked at within the time given.`,
        'See: aviary doctor',
      );
    }
    throw error;
  }
}

const verify: Action = async (context, [slug = '', name = '']) => {
  const platform = await context.platform();
  const before = await platform.domains.verify(await platform.operator(), slug, name);
  const waits = before.problem === 'ORDER_FAILED' || before.problem === 'ORDER_LATER';
  const domain = context.options.detach || waits ? before : await looked(context, slug, before);
  context.output.result(ONE, domain, lines(domain).join('\n'));
  return domain.state === 'live' || context.options.detach ? EXIT.done : EXIT.failed;
};

const remove: Action = async (context, [slug = '', name = '']) => {
  const platform = await context.platform();
  await platform.domains.remove(await platform.operator(), slug, name);
  context.output.result(ONE, { slug, domain: name, removed: true }, `${name} is removed from ${slug}`);
};

export function domainCommands(tenant: Command, environment: Environment): void {
  const domain = tenant.command('domain').description('names of an owner’s own that lead to a stack’s dashboard');
  domain
    .command('list <slug>')
    .description('domains of a stack and what keeps them from being live')
    .action(handle(environment, LIST, list));
  domain
    .command('add <slug> <domain>')
    .description('add one, and show the DNS records to set')
    .action(handle(environment, ONE, add));
  domain
    .command('verify <slug> <domain>')
    .description('look at its DNS now; ends with 0 where it is live')
    .action(handle(environment, ONE, verify));
  domain
    .command('remove <slug> <domain>')
    .description('remove one and its certificate')
    .action(handle(environment, ONE, remove));
}
