import { Panel, Time } from '#libs/ui';
import { Table } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useApi } from '../api/context.js';
import { keys, POLL_MS } from '../api/queries.js';
import { useT } from '../i18n/use-text.js';
import { Loaded } from '../parts/loaded.js';

/** What carries the platform's labels on an engine and no stack wants. Nothing is shown while there is none. */
export function OrphansPanel() {
  const t = useT();
  const api = useApi();
  const query = useQuery({ queryKey: keys.orphans, queryFn: api.operator.orphans, refetchInterval: POLL_MS });
  if (query.data?.items.length === 0) {
    return null;
  }
  return (
    <Panel title={t('orphans.title')} flush>
      <Loaded query={query} failure={t('orphans.loadFailed')}>
        {({ items }) => (
          <Table className="aw-table">
            <caption className="av-hidden">{t('orphans.title')}</caption>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{t('orphans.name')}</Table.Th>
                <Table.Th>{t('orphans.since')}</Table.Th>
                <Table.Th>{t('orphans.removed')}</Table.Th>
                <Table.Th>{t('orphans.why')}</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {items.map(({ engine, kind, name, firstSeenAt, removeAt, why }) => (
                <Table.Tr key={`${engine} ${kind} ${name}`} className="aw-row" data-tone="warn">
                  <Table.Td data-label={t('orphans.name')}>{`${t(`orphans.kinds.${kind}`)} ${name}`}</Table.Td>
                  <Table.Td data-label={t('orphans.since')}>
                    <Time value={firstSeenAt} />
                  </Table.Td>
                  <Table.Td data-label={t('orphans.removed')}>
                    {removeAt === null ? t('orphans.kept') : <Time value={removeAt} />}
                  </Table.Td>
                  <Table.Td data-label={t('orphans.why')}>{t(`orphans.reasons.${why}`)}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        )}
      </Loaded>
    </Panel>
  );
}
