import { DeadlineError, waitFor } from '#libs/async';
import type { PortalBackups, PortalBackupView, RecoveredStack, Recovery } from '#libs/contracts';
import type { Command } from 'commander';
import { handle, type Action, type CommandContext, type Environment } from '../frame/command.js';
import { EXIT } from '../frame/exit-codes.js';
import { CommandError } from '../frame/output.js';
import { looked } from '../frame/problems.js';

const BACKUP = 'aviary/portal-backup/1';
const BACKUPS = 'aviary/portal-backup-list/1';
const RECOVERY = 'aviary/recovery/1';
const LOOK_MS = 500;

const megabytes = (bytes: number | null): string => (bytes === null ? '' : `${(bytes / 1e6).toFixed(1)} MB`);

const WORDS: Record<PortalBackupView['state'], string> = {
  asked: 'waiting for an agent to begin',
  taking: 'writing the database out into its repository',
  stored: 'stored; restoring it beside and comparing every table',
  verified: 'restored and checked',
  failed: 'failed',
};

/** Ctrl-C and --timeout leave it going on and say how to come back. */
async function follow(context: CommandContext, id: string): Promise<PortalBackupView> {
  const { output, options, interrupted } = context;
  const platform = await context.platform();
  const operator = await platform.operator();
  let told = '';
  try {
    return await waitFor(
      async () => {
        const backup = await platform.portalBackups.get(operator, id);
        const says = WORDS[backup.state];
        if (says !== told) {
          output.say(says);
          told = says;
        }
        return backup.state === 'verified' || backup.state === 'failed' ? backup : undefined;
      },
      {
        what: 'the backup of the portal',
        deadlineMs: Math.min(options.timeout * 1_000, 2 ** 31 - 1),
        intervalMs: LOOK_MS,
        signal: interrupted,
      },
    );
  } catch (error) {
    const back = 'It goes on. Follow it with: aviary portal backup';
    if (interrupted.aborted) {
      throw new CommandError(EXIT.interrupted, 'Interrupted.', back);
    }
    throw error instanceof DeadlineError
      ? new CommandError(EXIT.unfinished, `Not done within ${options.timeout} s.`, back)
      : error;
  }
}

const backup: Action = async (context) => {
  const { output, options } = context;
  const platform = await context.platform();
  const asked = await platform.portalBackups.take(await platform.operator());
  if (options.detach) {
    output.result(BACKUP, asked, 'The backup of the portal is asked for. Follow it with: aviary portal backup');
    return EXIT.done;
  }
  const ended = await follow(context, asked.id);
  if (ended.state === 'failed') {
    const why = ended.error === null ? '' : ` ${ended.error.code}: ${ended.error.message}`;
    return output.failure(
      BACKUP,
      new CommandError(EXIT.failed, `The portal could not be backed up.${why}`, 'Earlier ones: aviary portal backups'),
      ended,
    );
  }
  output.result(
    BACKUP,
    ended,
    `✓ the portal is backed up, restored and checked: ${megabytes(ended.bytes)}, ${ended.rows ?? 0} rows in ${ended.tables ?? 0} tables, data of ${ended.takenAt ?? ended.askedAt}. With its repository and the master key a lost host comes back: docs/operate.md, “A lost host”.`,
  );
  return EXIT.done;
};

const backups: Action = async (context) => {
  const platform = await context.platform();
  const page: PortalBackups = await platform.portalBackups.list(await platform.operator());
  return looked(context, {
    schema: BACKUPS,
    data: page,
    print: () =>
      context.output.list<PortalBackupView>(BACKUPS, page, [
        { head: 'backup', value: ({ id }) => id },
        { head: 'data of', value: ({ takenAt, askedAt }) => takenAt ?? askedAt },
        { head: 'state', value: ({ state }) => state },
        { head: 'checked', value: ({ verifiedAt }) => verifiedAt ?? '' },
        { head: 'size', value: ({ bytes }) => megabytes(bytes) },
        { head: 'added', value: ({ addedBytes }) => megabytes(addedBytes) },
        { head: 'reason', value: ({ reason }) => reason },
        { head: 'master key', value: ({ masterKey }) => masterKey ?? '' },
        { head: 'why', value: ({ error }) => (error === null ? '' : `${error.code}: ${error.message}`) },
      ]),
    wrong: page.problems.length === 0 ? null : page.problems.join(' '),
  });
};

const recovery: Action = async (context) => {
  const { output } = context;
  const platform = await context.platform();
  const now: Recovery = await platform.recovery.newest(await platform.operator());
  const count = (...states: RecoveredStack['state'][]): number =>
    now.stacks.filter(({ state }) => states.includes(state)).length;
  const under = count('waiting', 'restoring', 'destroying');
  const missing = now.stacks.filter(({ state, lost }) => state === 'failed' || lost).map(({ slug }) => slug);
  return looked(context, {
    schema: RECOVERY,
    data: now,
    print: () => {
      output.say(
        `the portal's data is of ${now.takenAt}; of ${now.stacks.length} stacks ${count('restored')} are put back, ${under} under way, ${count('failed')} failed, of ${count('nothing')} nothing is put back`,
      );
      output.list<RecoveredStack>(RECOVERY, { items: now.stacks, next: null }, [
        { head: 'tenant', value: ({ slug }) => slug },
        { head: 'state', value: ({ state }) => state },
        { head: 'data of', value: ({ takenAt }) => takenAt ?? '' },
        { head: 'operation', value: ({ operationId }) => operationId ?? '' },
        { head: 'why', value: ({ why }) => why ?? '' },
      ]);
    },
    wrong:
      missing.length === 0
        ? null
        : `Not put back: ${missing.join(', ')}. Mend what stands there, then: aviary backup restore <stack> <backup>. What is lost for good is given up with: aviary tenant destroy <stack>`,
    unfinished: under === 0 ? null : `Of ${under} stacks it is under way or tried again. Look again in a while.`,
  });
};

export function portalCommands(program: Command, environment: Environment): void {
  const portal = program.command('portal').description('the portal’s own database: its backups, and how it came back');
  portal
    .command('backup')
    .description('back the portal’s database up now, or follow the one under way, until it is restored and checked')
    .action(handle(environment, BACKUP, backup));
  portal
    .command('backups')
    .description('its backups, newest first; exit 8 where the newest that counts is too old')
    .action(handle(environment, BACKUPS, backups));
  portal
    .command('recovery')
    .description(
      'after a recovery on a new host: what became of each stack; exit 8 where one could not be put back, 7 while any is under way',
    )
    .action(handle(environment, RECOVERY, recovery));
}
