import {
  cloneStackSchema,
  DomainError,
  type BackupView,
  type ExpiredBackups,
  type OperationView,
  type RestoreLoss,
  type StackBackups,
} from '#libs/contracts';
import { Option, type Command } from 'commander';
import { confirmSlug, handle, type Action, type CommandContext, type Environment } from '../frame/command.js';
import { CommandError } from '../frame/output.js';
import { EXIT, type ExitCode } from '../frame/exit-codes.js';
import { idOf, pageCursor, rows } from '../frame/flags.js';
import { followOperation, operationError } from '../frame/follow.js';
import { EXPORT, exportBackup } from './backup-export.js';
import { PASSWORD, showPassword } from './backup-password.js';
import { EXPORT_VIEW, stopExport } from './backup-stop-export.js';

const LIST = 'aviary/backup-list/1';
const FLEET = 'aviary/backup-fleet/1';
const OPERATION = 'aviary/operation/1';
const EXPIRED = 'aviary/backup-expired/1';

const megabytes = (bytes: number | null): string => (bytes === null ? '' : `${(bytes / 1e6).toFixed(1)} MB`);
const why = ({ error }: Pick<BackupView, 'error'>): string => (error === null ? '' : `${error.code}: ${error.message}`);

/** How much a restore loses, and whether that is counted as of now. */
function lostText({ lost, countedAt, now }: RestoreLoss): string {
  const what =
    lost.map((one) => `${one.count} ${one.count === 1 ? one.what.replace(/s$/, '') : one.what}`).join(', ') ||
    'no fills, orders or bots';
  if (countedAt === null) {
    return 'How much that is could not be counted.';
  }
  return now
    ? `Among it, counted just now: ${what}.`
    : `Among it, as the newest backup of ${countedAt} counts: ${what}; what came after that backup could not be counted.`;
}

/** Waits for the end unless told not to, and prints `told` then; `beside` stands in the JSON with the operation. */
async function settle(
  context: CommandContext,
  operation: OperationView,
  told: (view: OperationView) => Promise<string> | string,
  beside: object = {},
): Promise<ExitCode> {
  const { output, options } = context;
  if (options.detach) {
    output.result(
      OPERATION,
      { ...operation, ...beside },
      `${operation.slug}: ${operation.kind} accepted. Follow it with: aviary operation watch ${operation.id}`,
    );
    return EXIT.done;
  }
  const { view, code } = await followOperation(context, operation.id);
  if (code !== EXIT.done) {
    return output.failure(OPERATION, operationError(view), { ...view, ...beside });
  }
  output.result(OPERATION, { ...view, ...beside }, `✓ ${view.slug} ${await told(view)}`);
  return EXIT.done;
}

const paged = (flags: Readonly<Record<string, unknown>>): { cursor?: string; limit?: number } => {
  const { cursor, limit } = flags as { cursor?: string; limit?: number };
  return { ...(cursor === undefined ? {} : { cursor }), ...(limit === undefined ? {} : { limit }) };
};

const fleet = async (context: CommandContext, flags: Readonly<Record<string, unknown>>): Promise<void> => {
  const platform = await context.platform();
  const page = await platform.backups.fleet(await platform.operator(), paged(flags));
  const { stacks, fresh, never, failed } = page.counts;
  context.output.say(
    `${fresh} of ${stacks} stacks are safe in a checked backup as lately as their plans ask; ${never} have none, the newest try failed of ${failed}`,
  );
  context.output.list<StackBackups>(FLEET, page, [
    { head: 'tenant', value: ({ slug }) => slug },
    { head: 'data of', value: ({ verifiedUntil }) => verifiedUntil ?? 'never' },
    {
      head: 'too old',
      value: ({ ageSeconds, maxAgeSeconds }) => (ageSeconds !== null && ageSeconds > maxAgeSeconds ? 'yes' : ''),
    },
    { head: 'newest', value: ({ newest }) => newest?.state ?? '' },
    { head: 'owner', value: ({ owner }) => owner },
    { head: 'why', value: ({ newest }) => (newest === null ? '' : why(newest)) },
    { head: 'checked', value: ({ verifiedAt }) => verifiedAt ?? '' },
  ]);
};

const list: Action = async (context, [slug], flags) => {
  if (slug === undefined) {
    return fleet(context, flags);
  }
  const platform = await context.platform();
  const page = await platform.backups.list(await platform.operator(), slug, paged(flags));
  context.output.list<BackupView>(LIST, page, [
    { head: 'backup', value: ({ id }) => id },
    { head: 'data of', value: ({ takenAt, begunAt }) => takenAt ?? begunAt },
    { head: 'state', value: ({ state }) => state },
    { head: 'size', value: ({ bytes }) => megabytes(bytes) },
    { head: 'added', value: ({ addedBytes }) => megabytes(addedBytes) },
    { head: 'reason', value: ({ reason }) => reason },
    { head: 'release', value: ({ release }) => release },
    { head: 'why', value: why },
    { head: 'same until', value: ({ sameUntil }) => sameUntil ?? '' },
    // Behind what was there before, for who cuts columns.
    { head: 'checked', value: ({ verifiedAt }) => verifiedAt ?? '' },
  ]);
  if (page.open !== null) {
    context.output.say(`a ${page.open.kind} is ${page.open.state}: aviary operation watch ${page.open.id}`);
  }
  return undefined;
};

const take: Action = async (context, [slug = ''], flags) => {
  const platform = await context.platform();
  const actor = await platform.operator();
  const { operation } = await platform.backups.take(actor, slug, { logs: flags['withLogs'] === true });
  return settle(context, operation, async ({ id }) => {
    const { items } = await platform.backups.list(actor, slug, { limit: 1 });
    const made = items.find(({ operationId }) => operationId === id);
    return made === undefined
      ? 'is backed up'
      : `is backed up, restored and checked: ${megabytes(made.bytes)}, data of ${made.takenAt ?? made.begunAt}. Put it back with: aviary backup restore ${slug} ${made.id}`;
  });
};

const restore: Action = async (context, [slug = '', given], flags) => {
  const backup = idOf('backup', given);
  const platform = await context.platform();
  const actor = await platform.operator();
  const stack = await platform.stacks.get(actor, slug);
  const chosen = await platform.backups.get(actor, slug, backup);
  const loss = await platform.losses.read(actor, slug, backup);
  const { safeguards } = await platform.backups.list(actor, slug, { limit: 1 });
  const at = chosen.takenAt ?? chosen.begunAt;
  const guarded = safeguards
    ? 'What is there now is backed up first.'
    : 'What is there now cannot be backed up first; its volumes are kept until the next good backup.';
  await confirmSlug(
    context,
    slug,
    flags['confirm'],
    `Restoring ${slug} of ${stack.owner} puts its data of ${at} back: everything since then is lost to it, fills and edits of bots among them. ${lostText(loss)} ${guarded}`,
  );
  const { operation } = await platform.backups.restore(actor, slug, { backup, confirm: slug });
  return settle(
    context,
    operation,
    () => `has its data of ${at} again; the data before is kept until the next good backup`,
    { loss },
  );
};

const clone: Action = async (context, [slug = '', given], flags) => {
  const backup = idOf('backup', given);
  const platform = await context.platform();
  const { name, engine } = flags as { name?: string; engine?: string };
  const input = cloneStackSchema.safeParse({ backup, name, engine });
  if (!input.success) {
    throw new CommandError(
      EXIT.usage,
      input.error.issues.map(({ path, message }) => `--${path.join('.')}: ${message}`).join(' '),
    );
  }
  const { stack, operation } = await platform.stacks.clone(await platform.operator(), slug, input.data);
  return settle(
    context,
    operation,
    () =>
      `runs on a copy of ${slug}: ${stack.dashboardUrl}. Nothing of it trades until: aviary tenant allow-trading ${stack.slug}`,
  );
};

const undo: Action = async (context, [slug = ''], flags) => {
  const platform = await context.platform();
  const actor = await platform.operator();
  const stack = await platform.stacks.get(actor, slug);
  const { kept } = await platform.backups.list(actor, slug, { limit: 1 });
  const back = kept?.comesBack.map(({ what, count }) => `${count} ${what}`) ?? [];
  const counted = back.length === 0 ? '' : ` What the restore took away comes back, ${back.join(', ')} among it.`;
  if (kept !== null) {
    await confirmSlug(
      context,
      slug,
      flags['confirm'],
      `Undoing the restore of ${slug} of ${stack.owner} loses everything since ${kept.since}, fills and edits of bots among them.${counted} What is there now is kept until the next good backup.`,
    );
  }
  const { operation } = await platform.backups.undoRestore(actor, slug, { confirm: slug });
  return settle(context, operation, () => 'has the data of before the restore again');
};

const prune: Action = async (context, [slug], flags) => {
  const platform = await context.platform();
  const actor = await platform.operator();
  const gone = await platform.retention.expired(actor, slug);
  if (flags['dryRun'] === true) {
    context.output.list<ExpiredBackups['items'][number]>(EXPIRED, gone, [
      { head: 'tenant', value: (one) => one.slug },
      { head: 'backup', value: ({ id }) => id },
      { head: 'data of', value: ({ at }) => at },
      { head: 'state', value: ({ state }) => state },
      { head: 'reason', value: ({ reason }) => reason },
      { head: 'added', value: ({ addedBytes }) => megabytes(addedBytes) },
    ]);
    return undefined;
  }
  if (slug === undefined) {
    throw new DomainError('VALIDATION_FAILED', {
      message: 'Name a stack, or look at what the night will remove of all of them: aviary backup prune --dry-run.',
    });
  }
  const count = gone.items.length;
  await confirmSlug(
    context,
    slug,
    flags['confirm'],
    `This removes ${count} ${count === 1 ? 'backup' : 'backups'} of ${slug} for ever, as its plan keeps ${count === 1 ? 'it' : 'them'} no longer; the newest that counts stays.`,
  );
  return settle(context, await platform.retention.prune(actor, slug), () => `is pruned: ${count} removed`);
};

export function backupCommands(program: Command, environment: Environment): void {
  const backup = program.command('backup').description('backups of stacks, and putting them back');
  backup
    .command('list [slug]')
    .description('backups of a stack, newest first; without one every stack, the oldest backup first')
    .option('--cursor <id>', 'go on after a page', pageCursor)
    .option('--limit <n>', 'rows a page, 50 at most', rows)
    .action(handle(environment, LIST, list));
  backup
    .command('take <slug>')
    .description('back a running stack up now, and wait until it is restored and checked')
    .option('--with-logs', 'with the last 16 MiB that each of its services logged, for reading')
    .action(handle(environment, OPERATION, take));
  backup
    .command('clone <slug> <backup>')
    .description('make a new stack of the same owner out of a backup; nothing of it trades until that is allowed')
    .option('--name <name>', 'what it is called')
    .option('--engine <id>', 'on which engine; that of the stack unless given')
    .action(handle(environment, OPERATION, clone));
  backup
    .command('export <slug>')
    .description('download a backup as an archive that `age` opens; makes a passphrase and prints it unless given one')
    .option('--backup <id>', 'which; the newest that counts unless told')
    .option('--output <file>', 'where to, “-” for standard output; <slug>.tar.age unless told')
    .option('--passphrase-file <file>', 'read the passphrase from the first line of a file')
    .option('--passphrase-stdin', 'read it from the first line of standard input')
    .addOption(new Option('--held-by-stdin', 'with “--output -”: break off where standard input ends').hideHelp())
    .action(handle(environment, EXPORT, exportBackup));
  backup
    .command('stop-export <slug>')
    .description('end the download that is under way, so that what waits for it can go on')
    .action(handle(environment, EXPORT_VIEW, stopExport));
  backup
    .command('password <slug>')
    .description('the password of a stack’s repository, for restic itself; on a terminal, or to a file')
    .option('--to <file>', 'write it to a new file that only you may read, “-” for standard output')
    .option('--confirm <slug>', 'the stack’s name once more, where nobody can be asked')
    .action(handle(environment, PASSWORD, showPassword));
  backup
    .command('undo-restore <slug>')
    .description('go back to what a restore took the place of, which is kept until the next good backup')
    .option('--confirm <slug>', 'the stack’s name once more, where nobody can be asked')
    .action(handle(environment, OPERATION, undo));
  backup
    .command('prune [slug]')
    .description('remove backups that the plan keeps no longer, as each night from 03:00 on does by itself')
    .option('--dry-run', 'only list them; without a stack, those of all')
    .option('--confirm <slug>', 'the stack’s name once more, where nobody can be asked')
    .action(handle(environment, EXPIRED, prune));
  backup
    .command('restore <slug> <backup>')
    .description('put the data of a backup in the place of a stack’s; what came after it is lost')
    .option('--confirm <slug>', 'the stack’s name once more, where nobody can be asked')
    .action(handle(environment, OPERATION, restore));
}
