import { type StackStatus, type StackView } from '#libs/contracts';
import { PageTitle, Panel, Since, Time } from '#libs/ui';
import { Table } from '@mantine/core';
import { useApi } from '../api/context.js';
import { STATUS_ORDER } from '../domain/fleet.js';
import { useT } from '../i18n/use-text.js';
import { LinkButton, TextLink } from '../parts/link-button.js';
import { Choice, SearchField } from '../parts/list-tools.js';
import { PagedList } from '../parts/paged-list.js';
import { StackPill, useFleetText, useStackReason, useWarningText } from '../parts/stack-words.js';

export interface StackFilter {
  q?: string | undefined;
  status?: StackStatus | undefined;
}

function StackTable({ stacks }: { stacks: readonly StackView[] }) {
  const t = useT();
  const why = useStackReason();
  const warn = useWarningText();
  return (
    <Table className="aw-table aw-dense">
      <caption className="av-hidden">{t('stacks.caption')}</caption>
      <Table.Thead>
        <Table.Tr>
          <Table.Th>{t('stacks.name')}</Table.Th>
          <Table.Th>{t('stacks.status')}</Table.Th>
          <Table.Th>{t('stacks.since')}</Table.Th>
          <Table.Th>{t('stacks.owner')}</Table.Th>
          <Table.Th>{t('stacks.release')}</Table.Th>
          <Table.Th>{t('stacks.checked')}</Table.Th>
          <Table.Th>{t('stacks.reason')}</Table.Th>
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {stacks.map((stack) => (
          <Table.Tr key={stack.id} className="aw-row">
            <Table.Td data-label={t('stacks.name')}>
              <TextLink to="/console/stacks/$slug" params={{ slug: stack.slug }} className="av-mono" data-row-link>
                {stack.slug}
              </TextLink>{' '}
              <span className="av-muted">{stack.name}</span>
            </Table.Td>
            <Table.Td data-label={t('stacks.status')}>
              <StackPill stack={stack} size="sm" />
            </Table.Td>
            <Table.Td data-label={t('stacks.since')}>
              <Time value={stack.since} />
            </Table.Td>
            <Table.Td data-label={t('stacks.owner')}>{stack.owner}</Table.Td>
            <Table.Td data-label={t('stacks.release')}>{stack.release}</Table.Td>
            <Table.Td data-label={t('stacks.checked')}>
              {stack.checkedAt === null ? '–' : <Since value={stack.checkedAt} />}
            </Table.Td>
            <Table.Td data-label={t('stacks.reason')} className="aw-reason">
              {why(stack) ?? stack.warnings.map((warning) => warn(warning)).join(' ')}
            </Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}

export interface StacksPageProps {
  filter: StackFilter;
  onFilter: (filter: StackFilter) => void;
}

export function StacksPage({ filter, onFilter }: StacksPageProps) {
  const t = useT();
  const fleetText = useFleetText();
  const api = useApi();
  const filtered = filter.q !== undefined || filter.status !== undefined;
  return (
    <>
      <PageTitle
        actions={
          <>
            <SearchField
              key={filter.q ?? ''}
              label={t('list.search')}
              value={filter.q ?? ''}
              onChange={(q) => onFilter({ ...filter, q: q === '' ? undefined : q })}
            />
            <Choice
              label={t('list.status')}
              any={t('list.anyStatus')}
              value={filter.status}
              options={STATUS_ORDER.map((value) => ({
                value,
                label: fleetText(value),
              }))}
              onChange={(status) => onFilter({ ...filter, status })}
            />
          </>
        }
      >
        {t('stacks.title')}
      </PageTitle>
      <Panel flush>
        <PagedList
          queryKey={['operator', 'stacks', filter]}
          load={(cursor) => api.operator.stacks({ ...filter, cursor, limit: 50 })}
          failure={t('stacks.loadFailed')}
          empty={
            filtered
              ? {
                  title: t('list.none'),
                  body: t('list.noneBody'),
                  action: (
                    <LinkButton to="/console/stacks" variant="default" size="xs">
                      {t('list.clear')}
                    </LinkButton>
                  ),
                }
              : { title: t('fleet.empty'), body: t('fleet.emptyBody') }
          }
        >
          {(items) => <StackTable stacks={items} />}
        </PagedList>
      </Panel>
    </>
  );
}
