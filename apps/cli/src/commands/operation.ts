import { OPERATION_STATES, type OperationView } from '#libs/contracts';
import type { Command } from 'commander';
import { handle, type Action, type Environment } from '../frame/command.js';
import { EXIT } from '../frame/exit-codes.js';
import { idOf, pageCursor } from '../frame/flags.js';
import { followOperation, isOver, operationError } from '../frame/follow.js';
import { CommandError } from '../frame/output.js';

const LIST = 'aviary/operation-list/1';
const ONE = 'aviary/operation/1';

const list: Action = async (context, _args, flags) => {
  const { slug, state, cursor } = flags as { slug?: string; state?: string; cursor?: string };
  if (state !== undefined && !(OPERATION_STATES as readonly string[]).includes(state)) {
    throw new CommandError(EXIT.usage, `--state is one of ${OPERATION_STATES.join(', ')}.`);
  }
  const platform = await context.platform();
  const page = await platform.operations.list(await platform.operator(), {
    ...(slug === undefined ? {} : { slug }),
    ...(state === undefined ? {} : { state }),
    ...(cursor === undefined ? {} : { cursor }),
  });
  context.output.list<OperationView>(LIST, page, [
    { head: 'operation', value: ({ id }) => id },
    { head: 'tenant', value: (operation) => operation.slug },
    { head: 'kind', value: ({ kind }) => kind },
    { head: 'state', value: (operation) => (operation.overdue ? 'overdue' : operation.state) },
    { head: 'created', value: ({ createdAt }) => createdAt },
    { head: 'by', value: ({ requestedBy }) => requestedBy },
    { head: 'why', value: ({ error }) => (error === null ? '' : `${error.code}: ${error.message}`) },
  ]);
};

const watch: Action = async (context, [id]) => {
  const { output } = context;
  const { view, code } = await followOperation(context, idOf('operation', id), (each) => {
    // The last line is the result, which may be a failure.
    if (output.options.json && !isOver(each)) {
      output.line(ONE, each);
    }
  });
  if (code !== EXIT.done) {
    return output.failure(ONE, operationError(view), view);
  }
  output.result(ONE, view, `✓ ${view.kind} of ${view.slug}: ${view.state}`);
  return code;
};

const cancel: Action = async (context, [id]) => {
  const platform = await context.platform();
  const view = await platform.operations.cancel(await platform.operator(), idOf('operation', id));
  context.output.result(
    ONE,
    view,
    view.state === 'cancelled'
      ? `${view.kind} of ${view.slug} cancelled`
      : `${view.kind} of ${view.slug} ends at its next safe point`,
  );
};

export function operationCommands(program: Command, environment: Environment): void {
  const operation = program.command('operation').description('what was done to stacks, and what is being done');
  operation
    .command('list')
    .description('operations, newest first')
    .option('--slug <slug>', 'only of this stack')
    .option('--state <state>', 'only those in this state')
    .option('--cursor <id>', 'go on after a page', pageCursor)
    .action(handle(environment, LIST, list));
  operation
    .command('watch <id>')
    .description('follow one to its end')
    .action(handle(environment, ONE, watch));
  operation
    .command('cancel <id>')
    .description('end one where that is safe')
    .action(handle(environment, ONE, cancel));
}
