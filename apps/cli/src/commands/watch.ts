import type { Alarm, Duties, ScheduleView } from '#libs/contracts';
import type { Command } from 'commander';
import { handle, type Action, type CommandContext, type Environment } from '../frame/command.js';
import { EXIT } from '../frame/exit-codes.js';
import { CommandError } from '../frame/output.js';

const DUTIES = 'aviary/duties/1';
const ALARMS = 'aviary/alarm-list/1';
const ALARM = 'aviary/alarm/1';

const schedules: Action = async (context) => {
  const { readDuties } = await import('#libs/jobs');
  const platform = await context.platform();
  const duties = await readDuties(platform.dataSource, platform.now());
  const missed = duties.schedules.filter(({ state }) => state === 'missed').map(({ name }) => name);
  const stalled = duties.queues.filter((queue) => queue.stalled).map(({ name }) => name);
  if (!context.output.options.json) {
    table(context, duties);
  }
  if (missed.length + stalled.length > 0) {
    const problem = new CommandError(
      EXIT.problems,
      `Not done: ${[...missed, ...stalled.map((name) => `queue ${name}`)].join(', ')}. Why is told by: aviary alarm list`,
    );
    return context.output.failure(DUTIES, problem, duties);
  }
  if (context.output.options.json) {
    context.output.result(DUTIES, duties, '');
  }
  return EXIT.done;
};

function table({ output }: CommandContext, duties: Duties): void {
  output.list<ScheduleView>(DUTIES, { items: duties.schedules, next: null }, [
    { head: 'schedule', value: ({ name }) => name },
    { head: 'state', value: ({ state }) => state },
    { head: 'due (UTC)', value: ({ cron }) => cron },
    { head: 'expected', value: ({ expectedAt }) => expectedAt ?? '' },
    { head: 'done for', value: ({ doneFor }) => doneFor ?? '' },
    { head: 'ended', value: ({ finishedAt }) => finishedAt ?? '' },
    { head: 'missed', value: ({ missed }) => String(missed) },
    { head: 'next', value: ({ nextAt }) => nextAt ?? '' },
  ]);
  for (const { name, waiting, running, oldestWaitingSeconds, stalled } of duties.queues) {
    const oldest = oldestWaitingSeconds === null ? '' : `, the oldest for ${Math.round(oldestWaitingSeconds)} s`;
    output.say(`queue ${name}: ${running} run, ${waiting} wait${oldest}${stalled ? ': stalled' : ''}`);
  }
}

const alarms: Action = async (context) => {
  const { listAlarms } = await import('#libs/jobs');
  const platform = await context.platform();
  const items = await listAlarms(platform.dataSource, platform.now());
  context.output.list<Alarm>(ALARMS, { items, next: null }, [
    { head: 'alarm', value: ({ key }) => key },
    { head: 'severity', value: ({ severity, endedAt }) => (endedAt === null ? severity : 'over') },
    { head: 'since', value: ({ since }) => since },
    { head: 'known to', value: ({ acknowledgedBy }) => acknowledgedBy ?? '' },
    { head: 'what', value: ({ message }) => message },
  ]);
};

const acknowledge: Action = async (context, [key]) => {
  const { acknowledgeAlarm } = await import('#libs/support');
  const platform = await context.platform();
  const input = { key: String(key), now: platform.now() };
  const alarm = await acknowledgeAlarm(platform.dataSource, await platform.operator(), input);
  context.output.result(ALARM, alarm, `✓ ${alarm.key} is acknowledged: no mail until it is over or gets worse`);
};

export function watchCommands(program: Command, environment: Environment): void {
  program
    .command('schedule')
    .description('recurring work')
    .command('list')
    .description('what is expected, what was done, what was missed; exit 8 when something was')
    .action(handle(environment, DUTIES, schedules));
  const alarm = program.command('alarm').description('what operators must know');
  alarm
    .command('list')
    .description('open alarms, and those that ended within a week')
    .action(handle(environment, ALARMS, alarms));
  alarm
    .command('acknowledge <key>')
    .description('say that you know of it')
    .action(handle(environment, ALARM, acknowledge));
}
