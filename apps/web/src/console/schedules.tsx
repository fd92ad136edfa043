import type { QueueView, ScheduleView, StatusWord } from '#libs/contracts';
import { EmptyState, formatDuration, Panel, StatusPill, Time } from '#libs/ui';
import { Table } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useApi } from '../api/context.js';
import { keys, POLL_MS } from '../api/queries.js';
import { en } from '../i18n/en.js';
import { useT } from '../i18n/use-text.js';
import { Loaded } from '../parts/loaded.js';
import { Sentence } from '../parts/sentence.js';

type Known = keyof typeof en.schedules.names;
const isKnown = (name: string): name is Known => Object.hasOwn(en.schedules.names, name);

const LOOKS: Record<ScheduleView['state'], Pick<StatusWord, 'tone' | 'icon'>> = {
  done: { tone: 'ok', icon: 'CircleCheck' },
  waits: { tone: 'off', icon: 'Hourglass' },
  missed: { tone: 'bad', icon: 'ClockExclamation' },
};

function Schedule({ schedule }: { schedule: ScheduleView }) {
  const t = useT();
  const { name, cron, state, doneFor, finishedAt, expectedAt, nextAt, missed, lateLastDay } = schedule;
  const word = t(`schedules.states.${state}`);
  return (
    <Table.Tr className="aw-row" data-tone={LOOKS[state].tone}>
      <Table.Td data-label={t('schedules.what')}>
        <span>
          {isKnown(name) ? t(`schedules.names.${name}`) : name}{' '}
          <span className="av-mono av-muted av-small">
            {name} {cron}
          </span>
        </span>
      </Table.Td>
      <Table.Td data-label={t('schedules.state')}>
        <span>
          <StatusPill status={{ ...LOOKS[state], key: state, word }} word={word} size="sm" />
          {state === 'missed' && expectedAt !== null ? (
            <span className="av-small aw-below">
              <Sentence text={(time) => t('schedules.missedSince', { time })}>
                <Time value={expectedAt} />
              </Sentence>
            </span>
          ) : null}
        </span>
      </Table.Td>
      <Table.Td data-label={t('schedules.last')}>
        {doneFor === null ? t('schedules.never') : <Time value={finishedAt ?? doneFor} style="datetime" />}
      </Table.Td>
      <Table.Td data-label={t('schedules.next')}>{nextAt === null ? '–' : <Time value={nextAt} />}</Table.Td>
      <Table.Td data-label={t('schedules.missed')} className="aw-num">
        {missed}
      </Table.Td>
      <Table.Td data-label={t('schedules.late')} className="aw-num">
        {lateLastDay}
      </Table.Td>
    </Table.Tr>
  );
}

function Queue({ queue }: { queue: QueueView }) {
  const t = useT();
  const { name, waiting, running, oldestWaitingSeconds, stalled } = queue;
  const state = stalled ? 'stalled' : 'ok';
  const word = t(`schedules.queueStates.${state}`);
  const look = stalled ? LOOKS.missed : LOOKS.done;
  return (
    <Table.Tr className="aw-row" data-tone={look.tone}>
      <Table.Td data-label={t('schedules.queue')}>
        <span className="av-mono">{name}</span>
      </Table.Td>
      <Table.Td data-label={t('schedules.state')}>
        <StatusPill status={{ ...look, key: state, word }} word={word} size="sm" />
      </Table.Td>
      <Table.Td data-label={t('schedules.waiting')} className="aw-num">
        {waiting}
      </Table.Td>
      <Table.Td data-label={t('schedules.oldest')} className="aw-num">
        {oldestWaitingSeconds === null ? '–' : formatDuration(oldestWaitingSeconds * 1_000)}
      </Table.Td>
      <Table.Td data-label={t('schedules.running')} className="aw-num">
        {running}
      </Table.Td>
    </Table.Tr>
  );
}

/** Recurring work and queues: what is expected, what was done, what was missed. */
export function SchedulesPanels() {
  const t = useT();
  const api = useApi();
  const query = useQuery({ queryKey: keys.schedules, queryFn: api.operator.schedules, refetchInterval: POLL_MS });
  return (
    <>
      <div className="aw-gap">
        <Panel title={t('schedules.title')} flush>
          <Loaded query={query} failure={t('schedules.loadFailed')}>
            {({ schedules }) =>
              schedules.length === 0 ? (
                <EmptyState title={t('schedules.empty')}>{t('schedules.emptyBody')}</EmptyState>
              ) : (
                <Table className="aw-table aw-dense">
                  <caption className="av-hidden">{t('schedules.caption')}</caption>
                  <Table.Thead>
                    <Table.Tr>
                      <Table.Th>{t('schedules.what')}</Table.Th>
                      <Table.Th>{t('schedules.state')}</Table.Th>
                      <Table.Th>{t('schedules.last')}</Table.Th>
                      <Table.Th>{t('schedules.next')}</Table.Th>
                      <Table.Th className="aw-num">{t('schedules.missed')}</Table.Th>
                      <Table.Th className="aw-num">{t('schedules.late')}</Table.Th>
                    </Table.Tr>
                  </Table.Thead>
                  <Table.Tbody>
                    {schedules.map((schedule) => (
                      <Schedule key={schedule.name} schedule={schedule} />
                    ))}
                  </Table.Tbody>
                </Table>
              )
            }
          </Loaded>
        </Panel>
      </div>
      <div className="aw-gap">
        <Panel title={t('schedules.queues')} flush>
          <Loaded query={query} failure={t('schedules.loadFailed')}>
            {({ queues }) =>
              queues.length === 0 ? (
                <p className="av-muted aw-pad">{t('schedules.queuesNone')}</p>
              ) : (
                <Table className="aw-table aw-dense">
                  <caption className="av-hidden">{t('schedules.queues')}</caption>
                  <Table.Thead>
                    <Table.Tr>
                      <Table.Th>{t('schedules.queue')}</Table.Th>
                      <Table.Th>{t('schedules.state')}</Table.Th>
                      <Table.Th className="aw-num">{t('schedules.waiting')}</Table.Th>
                      <Table.Th className="aw-num">{t('schedules.oldest')}</Table.Th>
                      <Table.Th className="aw-num">{t('schedules.running')}</Table.Th>
                    </Table.Tr>
                  </Table.Thead>
                  <Table.Tbody>
                    {queues.map((queue) => (
                      <Queue key={queue.name} queue={queue} />
                    ))}
                  </Table.Tbody>
                </Table>
              )
            }
          </Loaded>
        </Panel>
      </div>
    </>
  );
}
