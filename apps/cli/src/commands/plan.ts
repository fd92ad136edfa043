import type { PlanSummary } from '#libs/contracts';
import type { Command } from 'commander';
import { handle, type Action, type Environment } from '../frame/command.js';

const LIST = 'aviary/plan-list/1';

const list: Action = async (context) => {
  const { PlanQuery } = await import('#libs/tenants');
  const platform = await context.platform();
  const page = await new PlanQuery(platform.dataSource).list(await platform.operator());
  context.output.list<PlanSummary>(LIST, page, [
    { head: 'plan', value: ({ code }) => code },
    { head: 'name', value: ({ name }) => name },
    { head: 'stacks', value: ({ stacks }) => String(stacks) },
    { head: 'cores', value: ({ limits }) => String(limits.cpus) },
    { head: 'memory (MB)', value: ({ limits }) => String(limits.memoryMb) },
    { head: 'disk (GB)', value: ({ limits }) => String(limits.diskGb) },
    { head: 'bots', value: ({ limits }) => String(limits.bots) },
    {
      head: 'backups (days, weeks, months)',
      value: ({ backups: { daily, weekly, monthly } }) => `${daily} ${weekly} ${monthly}`,
    },
    { head: 'newest at most (hours)', value: ({ backups }) => String(backups.maxAgeHours) },
  ]);
};

export function planCommands(program: Command, environment: Environment): void {
  const plan = program.command('plan').description('what stacks can be given the limits of');
  plan
    .command('list')
    .description('all plans, cheapest first')
    .action(handle(environment, LIST, list));
}
