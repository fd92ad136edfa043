import { USAGE_RANGES, type UsageRange } from '#libs/contracts';
import { Option, type Command } from 'commander';
import { handle, type Action, type Environment } from '../frame/command.js';
import { hostUsageLines } from './usage-lines.js';

const USAGE = 'aviary/host-usage/1';

const usage: Action = async (context, _args, flags) => {
  const { range } = flags as { range: UsageRange };
  const platform = await context.platform();
  const use = await platform.usage.ofHosts(await platform.operator(), range);
  const words = use.items.map((host) => hostUsageLines(host).join('\n')).join('\n\n');
  context.output.result(USAGE, use, words === '' ? 'no host was ever seen: does the agent run? aviary doctor' : words);
};

export function hostCommands(program: Command, environment: Environment): void {
  const host = program.command('host').description('machines that stacks run on');
  host
    .command('usage')
    .description('what the hosts use of processor, memory, disk and network')
    .addOption(new Option('--range <range>', 'how far back').choices(USAGE_RANGES).default('day'))
    .action(handle(environment, USAGE, usage));
}
