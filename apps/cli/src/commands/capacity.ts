import type { CapacityItem } from '#libs/contracts';
import type { Command } from 'commander';
import { handle, type Action, type Environment } from '../frame/command.js';
import { looked } from '../frame/problems.js';
import { formatPlain, formatTable, type Column } from '../frame/table.js';

const SCHEMA = 'aviary/capacity/1';
type Row = CapacityItem & { engine: string; seenAt: string };

const COLUMNS: readonly Column<Row>[] = [
  { head: 'engine', value: ({ engine }) => engine },
  { head: 'resource', value: ({ resource }) => resource },
  { head: 'state', value: ({ level }) => level },
  { head: 'used', value: ({ share }) => (share === null ? '' : `${Math.round(share * 100)} %`) },
  { head: 'promised', value: ({ used, limit, unit }) => `${used}${limit === null ? '' : ` of ${limit}`} ${unit}` },
  { head: 'todo', value: ({ todo }) => todo ?? '' },
  { head: 'seen', value: ({ seenAt }) => seenAt },
];

/** Tells; what refuses a stack for want of room is the service that makes it. */
const show: Action = async (context) => {
  const platform = await context.platform();
  const view = await platform.capacity.read(await platform.operator());
  const rows = view.engines.flatMap(({ engine, seenAt, items }) => items.map((item) => ({ ...item, engine, seenAt })));
  const { output } = context;
  const short = rows.filter(({ level }) => level === 'bad').map(({ engine, resource }) => `${resource} of ${engine}`);
  return looked(context, {
    schema: SCHEMA,
    data: view,
    print: () =>
      output.result(SCHEMA, view, output.options.plain ? formatPlain(rows, COLUMNS) : formatTable(rows, COLUMNS, 0)),
    wrong: short.length === 0 ? null : `Runs out: ${short.join(', ')}. What makes room stands under todo.`,
  });
};

export function capacityCommand(program: Command, environment: Environment): void {
  program
    .command('capacity')
    .description('what hosts have, and what of it is promised; exit 8 where 95 % of a thing is')
    .action(handle(environment, SCHEMA, show));
}
