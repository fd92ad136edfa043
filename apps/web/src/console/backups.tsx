import { BACKUP_STATUS, OPERATION_STATUS, type StackBackups, type StatusWord } from '#libs/contracts';
import { PageTitle, Panel, StatusPill, useErrorText, useTimeText } from '#libs/ui';
import { Table } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useApi } from '../api/context.js';
import { fleetBackupsQuery, keys } from '../api/queries.js';
import { useT } from '../i18n/use-text.js';
import { BackupPill, useAgeText } from '../parts/backup-words.js';
import { TextLink } from '../parts/link-button.js';
import { PagedList } from '../parts/paged-list.js';

function Counts() {
  const t = useT();
  const { data } = useQuery(fleetBackupsQuery(useApi()));
  if (data === undefined || data.counts.stacks === 0) {
    return null;
  }
  const { stacks, fresh, never, failed } = data.counts;
  return (
    <>
      <span>{fresh === stacks ? t('backups.allFresh', { count: stacks }) : t('backups.fresh', { fresh, stacks })}</span>
      {never === 0 ? null : <span>· {t('backups.never', { count: never })}</span>}
      {failed === 0 ? null : <span>· {t('backups.failedNow', { count: failed })}</span>}
    </>
  );
}

const STALE: StatusWord = { ...OPERATION_STATUS.overdue, key: 'backup.stale' };
const NEVER: StatusWord = { tone: 'warn', key: 'backup.never', word: '', icon: 'CircleDashed' };

/** Of when the data is that is certain to come back, and whether that is longer ago than the plan allows. */
function Safe({ of }: { of: Pick<StackBackups, 'verifiedUntil' | 'ageSeconds' | 'maxAgeSeconds'> }) {
  const t = useT();
  const time = useTimeText();
  const { verifiedUntil: until, ageSeconds, maxAgeSeconds } = of;
  const status = ageSeconds === null ? NEVER : ageSeconds > maxAgeSeconds ? STALE : BACKUP_STATUS.verified;
  return <StatusPill status={status} word={until === null ? t('backups.neverCell') : time(until)} size="sm" />;
}

function FleetTable({ items }: { items: readonly StackBackups[] }) {
  const t = useT();
  const errorText = useErrorText();
  const age = useAgeText();
  return (
    <Table className="aw-table aw-dense">
      <caption className="av-hidden">{t('backups.all')}</caption>
      <Table.Thead>
        <Table.Tr>
          <Table.Th>{t('stacks.name')}</Table.Th>
          <Table.Th>{t('backups.column.data')}</Table.Th>
          <Table.Th className="aw-num">{t('backups.age')}</Table.Th>
          <Table.Th className="aw-num">{t('backups.maxAge')}</Table.Th>
          <Table.Th>{t('backups.newest')}</Table.Th>
          <Table.Th>{t('stacks.owner')}</Table.Th>
          <Table.Th>{t('stacks.reason')}</Table.Th>
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {items.map(({ slug, name, owner, newest, ...safe }) => (
          <Table.Tr key={slug} className="aw-row">
            <Table.Td data-label={t('stacks.name')}>
              <TextLink
                to="/console/stacks/$slug/backups"
                params={{ slug }}
                className="av-mono av-nowrap"
                data-row-link
              >
                {slug}
              </TextLink>{' '}
              <span className="av-muted">{name}</span>
            </Table.Td>
            <Table.Td data-label={t('backups.column.data')}>
              <Safe of={safe} />
            </Table.Td>
            <Table.Td data-label={t('backups.age')} className="aw-num">
              {safe.ageSeconds === null ? '–' : age(safe.ageSeconds * 1_000)}
            </Table.Td>
            <Table.Td data-label={t('backups.maxAge')} className="aw-num">
              {age(safe.maxAgeSeconds * 1_000)}
            </Table.Td>
            <Table.Td data-label={t('backups.newest')}>
              {newest === null ? '–' : <BackupPill backup={newest} openOperation={newest.operationId} />}
            </Table.Td>
            <Table.Td data-label={t('stacks.owner')}>{owner}</Table.Td>
            <Table.Td data-label={t('stacks.reason')} className="aw-reason">
              {newest === null || newest.error === null ? '' : errorText(newest.error)}
            </Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}

/** Every stack with how old its checked backup is, what is least safe first. */
export function FleetBackupsPage() {
  const t = useT();
  const api = useApi();
  return (
    <>
      <PageTitle facts={<Counts />}>{t('backups.all')}</PageTitle>
      <Panel flush>
        <PagedList
          queryKey={keys.fleetBackups}
          load={(cursor) => api.operator.backups({ cursor, limit: 50 })}
          failure={t('backups.allLoadFailed')}
          empty={{ title: t('fleet.empty'), body: t('fleet.emptyBody') }}
        >
          {(items) => <FleetTable items={items} />}
        </PagedList>
      </Panel>
    </>
  );
}
