import { ROLLOUT_STATUS, type RolloutCounts, type RolloutView, type RolloutWait } from '#libs/contracts';
import { Panel, StatusPill, Time, useTimeText } from '#libs/ui';
import { Table } from '@mantine/core';
import { useApi } from '../api/context.js';
import { keys } from '../api/queries.js';
import { useT } from '../i18n/use-text.js';
import { TextLink } from '../parts/link-button.js';
import { PagedList } from '../parts/paged-list.js';

const RESULTS = [
  'open',
  'unwell',
  'rolledBack',
  'failed',
  'skipped',
  'waiting',
] as const satisfies readonly (keyof RolloutCounts)[];

/** What became of stacks besides those that went well; nothing that did not happen. */
export function useResultText(): (counts: RolloutCounts) => string {
  const t = useT();
  return (counts) =>
    RESULTS.filter((of) => counts[of] > 0)
      .map((of) => t(`rollouts.result.${of}`, { count: counts[of] }))
      .join(', ');
}

export function useUpgradedText(): (counts: RolloutCounts) => string {
  const t = useT();
  return ({ done, total, skipped }) => t('rollouts.upgraded', { done, total: total - skipped });
}

export function useWaitText(): (waits: RolloutWait | null) => string {
  const t = useT();
  const time = useTimeText();
  return (waits) =>
    waits === null
      ? ''
      : [
          t(`rollouts.waits.${waits.for}`),
          ...(waits.until === null ? [] : [t('rollouts.until', { time: time(waits.until) })]),
        ].join(' ');
}

function Rollouts({ rollouts }: { rollouts: readonly RolloutView[] }) {
  const t = useT();
  const result = useResultText();
  const upgraded = useUpgradedText();
  const wait = useWaitText();
  return (
    <Table className="aw-table aw-dense">
      <caption className="av-hidden">{t('rollouts.caption')}</caption>
      <Table.Thead>
        <Table.Tr>
          <Table.Th>{t('rollouts.column.release')}</Table.Th>
          <Table.Th>{t('rollouts.column.state')}</Table.Th>
          <Table.Th>{t('rollouts.column.upgraded')}</Table.Th>
          <Table.Th>{t('rollouts.column.result')}</Table.Th>
          <Table.Th>{t('rollouts.column.since')}</Table.Th>
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {rollouts.map((rollout) => (
          <Table.Tr key={rollout.id} className="aw-row">
            <Table.Td data-label={t('rollouts.column.release')}>
              <TextLink
                to="/console/releases/rollouts/$id"
                params={{ id: rollout.id }}
                className="av-mono av-nowrap"
                data-row-link
              >
                {rollout.release}
              </TextLink>
            </Table.Td>
            <Table.Td data-label={t('rollouts.column.state')}>
              <span className="aw-lines">
                <StatusPill status={ROLLOUT_STATUS[rollout.state]} size="sm" />
                {rollout.waits === null ? null : <span className="av-muted av-small">{wait(rollout.waits)}</span>}
              </span>
            </Table.Td>
            <Table.Td data-label={t('rollouts.column.upgraded')}>{upgraded(rollout.counts)}</Table.Td>
            <Table.Td data-label={t('rollouts.column.result')} className="aw-reason">
              {result(rollout.counts)}
            </Table.Td>
            <Table.Td data-label={t('rollouts.column.since')}>
              <Time value={rollout.since} />
            </Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}

/** Upgrades of the fleet, below the releases they lead to. */
export function RolloutsPanel() {
  const t = useT();
  const api = useApi();
  return (
    <Panel title={t('rollouts.title')} flush>
      <PagedList
        queryKey={[...keys.rollouts, 'list']}
        load={(cursor) => api.operator.rollouts({ cursor })}
        failure={t('rollouts.loadFailed')}
        empty={{ title: t('rollouts.empty'), body: t('rollouts.emptyBody') }}
      >
        {(rollouts) => <Rollouts rollouts={rollouts} />}
      </PagedList>
    </Panel>
  );
}
