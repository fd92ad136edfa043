import type { Alarm, Duties, ScheduleView } from '#libs/contracts';
import type { Command } from 'commander';
import { handle, type Action, type CommandContext, type Environment } from '../frame/command.js';
import { looked } from '../frame/problems.js';

const DUTIES = 'aviary/duties/1';
const ALARMS = 'aviary/alarm-list/1';
const ALARM = 'aviary/alarm/1';

const schedules: Action = async (context) => {
  const { readDuties } = await import('#libs/jobs');
  const platform = await context.platform();
  const duties = await readDuties(platform.dataSource, platform.now());
  const missed = duties.schedules.filter(({ state }) => state === 'missed').map(({ name }) => name);
  const stalled = duties.queues.filter((queue) => queue.stalled).map(({ name }) => name);
  const undone = [...missed, ...stalled.map((name) => `queue ${name}`)].join(', ');
  return looked(context, {
    schema: DUTIES,
    data: duties,
    print: () => table(context, duties),
    wrong: undone === '' ? null : `Not done: ${undone}. Why is told by: aviary alarm list`,
  });
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
  const critical = items.filter(
    ({ severity, endedAt, acknowledgedAt }) => severity === 'critical' && endedAt === null && acknowledgedAt === null,
  );
  const page = { items, next: null };
  return looked(context, {
    schema: ALARMS,
    data: page,
    print: () =>
      context.output.list<Alarm>(ALARMS, page, [
        { head: 'alarm', value: ({ key }) => key },
        { head: 'severity', value: ({ severity, endedAt }) => (endedAt === null ? severity : 'over') },
        { head: 'since', value: ({ since }) => since },
        { head: 'known to', value: ({ acknowledgedBy }) => acknowledgedBy ?? '' },
        { head: 'what', value: ({ message }) => message },
      ]),
    wrong: critical.length === 0 ? null : `Critical: ${critical.map(({ key }) => key).join(', ')}.`,
  });
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
    .description(
      'open alarms, and those that ended within a week; exit 8 while a critical one is open that nobody acknowledged',
    )
    .action(handle(environment, ALARMS, alarms));
  alarm
    .command('acknowledge <key>')
    .description('say that you know of it')
    .action(handle(environment, ALARM, acknowledge));
}
