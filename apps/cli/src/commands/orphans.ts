import type { Orphan } from '#libs/contracts';
import type { Command } from 'commander';
import { handle, type Action, type Environment } from '../frame/command.js';

const LIST = 'aviary/orphans-list/1';

const WHY = { no_stack: 'its stack is gone', not_wanted: 'its stack has no use for it' };

const list: Action = async (context) => {
  const { OrphanService } = await import('#libs/tenants');
  const platform = await context.platform();
  const page = await new OrphanService(platform.dataSource).list(await platform.operator());
  context.output.list<Orphan>(LIST, page, [
    { head: 'kind', value: ({ kind }) => kind },
    { head: 'name', value: ({ name }) => name },
    { head: 'engine', value: ({ engine }) => engine },
    { head: 'since', value: ({ firstSeenAt }) => firstSeenAt },
    { head: 'removed from', value: ({ removeAt }) => removeAt ?? 'kept' },
    { head: 'why', value: ({ why }) => WHY[why] },
  ]);
};

export function orphanCommands(program: Command, environment: Environment): void {
  const orphans = program.command('orphans').description('objects on the engine that no stack wants');
  orphans
    .command('list')
    .description('all there are, oldest first')
    .action(handle(environment, LIST, list));
}
