import { open, rm } from 'node:fs/promises';
import type { Action, CommandContext } from '../frame/command.js';
import { confirmSlug } from '../frame/command.js';
import { EXIT, type ExitCode } from '../frame/exit-codes.js';
import { CommandError, type Output } from '../frame/output.js';

export const PASSWORD = 'aviary/backup-password/1';

/** The password of a stack's repository, to a file of its own or to the terminal of who asks. */
export const showPassword: Action = async (context, [slug = ''], flags) => {
  const { to } = flags as { to?: string };
  if (to === undefined) {
    return toTerminal(context, slug, flags['confirm']);
  }
  // What is said of it stands beside the password where that goes to standard output.
  const said = to === '-' ? context.output.aside() : context.output;
  try {
    return await toFile(context, { slug, to, said });
  } catch (error) {
    return said.failure(PASSWORD, error);
  }
};

async function toTerminal(context: CommandContext, slug: string, confirmed: unknown): Promise<ExitCode> {
  const { output, options } = context;
  if (options.json || !output.isRead) {
    throw new CommandError(
      EXIT.usage,
      'The password is shown on a terminal, or written to a file of its own with mode 600: --to <file>.',
    );
  }
  await confirmSlug(
    context,
    slug,
    confirmed,
    `This shows the password of the repository of ${slug}: who has it and the repository reads all backups of it, and the audit says that you asked.`,
  );
  const { password, repository } = await read(context, slug);
  output.result(PASSWORD, null, password);
  output.say(told(slug, repository));
  return EXIT.done;
}

async function toFile(
  context: CommandContext,
  { slug, to, said }: { slug: string; to: string; said: Output },
): Promise<ExitCode> {
  if (to === '-') {
    const { password, repository } = await read(context, slug);
    process.stdout.write(`${password}\n`);
    said.result(PASSWORD, { slug, repository, file: null }, told(slug, repository));
    return EXIT.done;
  }
  // Made before it is asked for, so that nothing is given out that cannot be kept.
  const file = await open(to, 'wx', 0o600).catch((error: Error) => {
    throw new CommandError(EXIT.usage, `The password cannot be written: ${error.message}`);
  });
  try {
    const { password, repository } = await read(context, slug);
    await file.writeFile(`${password}\n`);
    await file.sync();
    said.result(PASSWORD, { slug, repository, file: to }, `${told(slug, repository)} Its password is in ${to}.`);
    return EXIT.done;
  } catch (error) {
    await rm(to, { force: true });
    throw error;
  } finally {
    await file.close();
  }
}

async function read(context: CommandContext, slug: string) {
  const platform = await context.platform();
  return platform.passwords.read(await platform.operator(), slug, context.interrupted);
}

const told = (slug: string, repository: string): string =>
  `The repository of ${slug} is ${repository}, below AVIARY_BACKUP_URL. docs/operate.md says how restic and pg_restore bring its data back.`;
