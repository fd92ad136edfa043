import type { Alarm, StatusWord } from '#libs/contracts';
import { EmptyState, formatDuration, PageTitle, Panel, Since, StatusPill, Time } from '#libs/ui';
import { Button, Table } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useApi } from '../api/context.js';
import { alarmsQuery, keys } from '../api/queries.js';
import { overAlarms, openAlarms, unknownAlarms } from '../domain/alarms.js';
import { useT } from '../i18n/use-text.js';
import { Failure } from '../parts/failure.js';
import { Loaded } from '../parts/loaded.js';
import { Sentence } from '../parts/sentence.js';
import { SchedulesPanels } from './schedules.js';

const LOOKS: Record<Alarm['severity'] | 'over', Pick<StatusWord, 'tone' | 'icon'>> = {
  critical: { tone: 'bad', icon: 'CircleX' },
  warning: { tone: 'warn', icon: 'AlertTriangle' },
  over: { tone: 'off', icon: 'CircleCheck' },
};

function Severity({ of }: { of: keyof typeof LOOKS }) {
  const t = useT();
  const word = t(`alarms.severities.${of}`);
  return <StatusPill status={{ ...LOOKS[of], key: of, word }} word={word} size="sm" />;
}

function OpenAlarm({ alarm }: { alarm: Alarm }) {
  const t = useT();
  const api = useApi();
  const queries = useQueryClient();
  const { key, code, severity, message, since, seenAt, mailedAt, acknowledgedAt, acknowledgedBy } = alarm;
  const acknowledge = useMutation({
    mutationFn: () => api.operator.acknowledgeAlarm(key),
    onSettled: () => queries.invalidateQueries({ queryKey: keys.alarms }),
  });
  return (
    <li data-tone={LOOKS[severity].tone}>
      <div className="aw-alarm-main">
        <h3>{t(`alarms.kinds.${code}`)}</h3>
        <p>{message}</p>
        <p className="av-muted av-small aw-alarm-facts">
          <Severity of={severity} />
          <span>
            <Sentence text={(time) => t('alarms.since', { time })}>
              <Time value={since} />
            </Sentence>
          </span>
          <span>
            <Sentence text={(ago) => t('alarms.seen', { ago })}>
              <Since value={seenAt} />
            </Sentence>
          </span>
          {mailedAt === null ? null : (
            <span>
              <Sentence text={(time) => t('alarms.mailed', { time })}>
                <Time value={mailedAt} />
              </Sentence>
            </span>
          )}
          <span className="av-mono">{key}</span>
        </p>
        {acknowledgedAt === null ? null : (
          <p className="av-small">
            <Sentence text={(time) => t('alarms.acknowledged', { name: acknowledgedBy ?? '', time })}>
              <Time value={acknowledgedAt} />
            </Sentence>
          </p>
        )}
        {acknowledge.error === null ? null : (
          <Failure error={acknowledge.error} title={t('alarms.acknowledgeFailed')} />
        )}
      </div>
      {acknowledgedAt === null ? (
        <Button
          variant="default"
          size="xs"
          aria-label={t('alarms.acknowledgeThis', { key })}
          loading={acknowledge.isPending}
          onClick={() => acknowledge.mutate()}
        >
          {t('alarms.acknowledge')}
        </Button>
      ) : null}
    </li>
  );
}

function Over({ alarms }: { alarms: readonly Alarm[] }) {
  const t = useT();
  if (alarms.length === 0) {
    return <p className="av-muted aw-pad">{t('alarms.overNone')}</p>;
  }
  return (
    <Table className="aw-table aw-dense">
      <caption className="av-hidden">{t('alarms.overTitle')}</caption>
      <Table.Thead>
        <Table.Tr>
          <Table.Th>{t('alarms.what')}</Table.Th>
          <Table.Th>{t('alarms.from')}</Table.Th>
          <Table.Th>{t('alarms.to')}</Table.Th>
          <Table.Th className="aw-num">{t('alarms.lasted')}</Table.Th>
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {alarms.map(({ key, code, since, endedAt }) => (
          <Table.Tr key={key} className="aw-row">
            <Table.Td data-label={t('alarms.what')}>
              <span>
                {t(`alarms.kinds.${code}`)} <span className="av-mono av-muted av-small">{key}</span>
              </span>
            </Table.Td>
            <Table.Td data-label={t('alarms.from')}>
              <Time value={since} />
            </Table.Td>
            <Table.Td data-label={t('alarms.to')}>{endedAt === null ? null : <Time value={endedAt} />}</Table.Td>
            <Table.Td data-label={t('alarms.lasted')} className="aw-num">
              {endedAt === null ? null : formatDuration(Date.parse(endedAt) - Date.parse(since))}
            </Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}

/** What operators must know, and whether recurring work is done. */
export function AlarmsPage() {
  const t = useT();
  const query = useQuery(alarmsQuery(useApi()));
  return (
    <Loaded query={query} shape="page" failure={t('alarms.loadFailed')}>
      {({ items }) => {
        const open = openAlarms(items);
        const unknown = unknownAlarms(items).length;
        const worst = open.some(({ severity }) => severity === 'critical') ? 'bad' : 'warn';
        return (
          <>
            <PageTitle
              tone={open.length === 0 ? 'ok' : worst}
              facts={
                open.length === 0
                  ? t('alarms.none')
                  : [t('alarms.open', { count: open.length }), ...(unknown === 0 ? [t('alarms.allKnown')] : [])].join(
                      ' · ',
                    )
              }
            >
              {t('alarms.title')}
            </PageTitle>
            {open.length === 0 ? (
              <EmptyState title={t('alarms.none')}>{t('alarms.noneBody')}</EmptyState>
            ) : (
              <div className="aw-gap">
                <Panel title={t('alarms.openTitle')} flush>
                  <ul className="aw-needs aw-alarms">
                    {open.map((alarm) => (
                      <OpenAlarm key={alarm.key} alarm={alarm} />
                    ))}
                  </ul>
                </Panel>
              </div>
            )}
            <SchedulesPanels />
            <div className="aw-gap">
              <Panel title={t('alarms.overTitle')} flush>
                <Over alarms={overAlarms(items)} />
              </Panel>
            </div>
          </>
        );
      }}
    </Loaded>
  );
}
