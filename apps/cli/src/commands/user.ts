import { emailSchema, passwordSchema, usernameSchema, type Actor } from '#libs/contracts';
import type { Command } from 'commander';
import { z } from 'zod';
import { handle, type Action, type CommandContext, type Environment } from '../frame/command.js';
import { EXIT } from '../frame/exit-codes.js';
import { pageCursor, rows } from '../frame/flags.js';
import { CommandError } from '../frame/output.js';
import type { Platform } from '../frame/platform.js';
import { firstLineOfStdin } from '../frame/stdin.js';

const LIST = 'aviary/user-list/1';
const ONE = 'aviary/user/1';

async function accountsOf(platform: Platform) {
  const { AccountService, Passwords } = await import('#libs/accounts');
  return new AccountService({ database: platform.dataSource, passwords: new Passwords(), now: platform.now });
}

/** The first operator of a platform is made by nobody; every later account by a named operator. */
async function creator(context: CommandContext, platform: Platform): Promise<Actor> {
  const accounts = await accountsOf(platform);
  if (context.options.as === undefined && (await accounts.operator(null)) === null) {
    return { kind: 'system', name: 'cli' };
  }
  return platform.operator();
}

/** 20 base32 digits in groups: 100 bits, and readable aloud. */
async function newPassword(): Promise<string> {
  const { randomBase32 } = await import('#libs/crypto');
  return Array.from({ length: 4 }, () => randomBase32(5)).join('-');
}

const newUser = z.object({ email: emailSchema, username: usernameSchema, password: passwordSchema });

const create: Action = async (context, _args, flags) => {
  const { email, username, operator, passwordStdin } = flags as {
    email: string;
    username: string;
    operator?: boolean;
    passwordStdin?: boolean;
  };
  const password = passwordStdin ? await firstLineOfStdin() : await newPassword();
  const input = newUser.safeParse({ email, username, password });
  if (!input.success) {
    const problems = input.error.issues.map((issue) =>
      issue.path[0] === 'password'
        ? `password on stdin: ${issue.message}`
        : `--${issue.path.join('.')}: ${issue.message}`,
    );
    throw new CommandError(EXIT.usage, problems.join(' '));
  }
  const platform = await context.platform();
  const accounts = await accountsOf(platform);
  const user = await accounts.create(await creator(context, platform), {
    ...input.data,
    role: operator ? 'operator' : 'subscriber',
  });
  // A password that came from outside is known there; repeating it would only put it into a log.
  const told = passwordStdin ? {} : { password };
  const lines = [
    `✓ ${user.role} ${user.username} (${user.email})`,
    ...(passwordStdin ? [] : [`password  ${password}`]),
  ];
  context.output.result(ONE, { ...user, ...told }, lines.join('\n'));
  if (!passwordStdin) {
    context.output.say('The password is shown this once.');
  }
};

const list: Action = async (context, _args, flags) => {
  const { q, cursor, limit } = flags as { q?: string; cursor?: string; limit?: number };
  const platform = await context.platform();
  const accounts = await accountsOf(platform);
  const page = await accounts.list(await platform.operator(), { q, cursor, limit });
  context.output.list(LIST, page, [
    { head: 'user', value: (user) => user.username },
    { head: 'e-mail', value: (user) => user.email },
    { head: 'role', value: (user) => user.role },
    { head: 'state', value: (user) => user.state },
    { head: 'plan', value: (user) => user.plan },
    { head: 'since', value: (user) => user.createdAt },
  ]);
};

export function userCommands(program: Command, environment: Environment): void {
  const user = program.command('user').description('people: customers and operators');
  user
    .command('create')
    .description('make an active account; prints its password unless given one')
    .requiredOption('--email <address>', 'where mails go')
    .requiredOption('--username <name>', '3 to 32 of a-z, 0-9, _ and -')
    .option('--operator', 'may operate the platform')
    .option('--password-stdin', 'read the password from the first line of standard input')
    .action(handle(environment, ONE, create));
  user
    .command('list')
    .description('accounts, newest first')
    .option('--q <text>', 'part of e-mail address or name')
    .option('--cursor <id>', 'go on after a page', pageCursor)
    .option('--limit <n>', 'rows a page, 200 at most', rows)
    .action(handle(environment, LIST, list));
}
