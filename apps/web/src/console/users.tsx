import type { Me, StatusWord } from '#libs/contracts';
import { PageTitle, Panel, StatusPill, Time } from '#libs/ui';
import { Table } from '@mantine/core';
import { useApi } from '../api/context.js';
import type { FilterProps } from '../pages/activity.js';
import { useT } from '../i18n/use-text.js';
import { SearchField } from '../parts/list-tools.js';
import { PagedList } from '../parts/paged-list.js';

const LOOKS: Record<Me['state'], Pick<StatusWord, 'tone' | 'icon'>> = {
  pending: { tone: 'work', icon: 'Hourglass' },
  pending_api: { tone: 'work', icon: 'Hourglass' },
  pending_approval: { tone: 'work', icon: 'Hourglass' },
  rejected: { tone: 'off', icon: 'Ban' },
  active: { tone: 'ok', icon: 'CircleCheck' },
  suspended: { tone: 'warn', icon: 'Lock' },
  banned: { tone: 'bad', icon: 'Ban' },
};

function UserPill({ state }: { state: Me['state'] }) {
  const t = useT();
  const word = t(`users.states.${state}`);
  return <StatusPill status={{ ...LOOKS[state], key: state, word }} word={word} size="sm" />;
}

export interface UserFilter {
  q?: string | undefined;
}

export function UsersPage({ filter, onFilter }: FilterProps<UserFilter>) {
  const t = useT();
  const api = useApi();
  return (
    <>
      <PageTitle
        actions={
          <SearchField
            key={filter.q ?? ''}
            label={t('list.searchUsers')}
            value={filter.q ?? ''}
            onChange={(q) => onFilter({ q: q === '' ? undefined : q })}
          />
        }
      >
        {t('users.title')}
      </PageTitle>
      <Panel flush>
        <PagedList
          queryKey={['operator', 'users', filter]}
          load={(cursor) => api.operator.users({ ...filter, cursor, limit: 50 })}
          failure={t('users.loadFailed')}
          empty={
            filter.q === undefined
              ? { title: t('users.empty'), body: t('users.emptyBody') }
              : { title: t('list.none'), body: t('list.noneBody') }
          }
        >
          {(items) => (
            <Table className="aw-table aw-dense">
              <caption className="av-hidden">{t('users.caption')}</caption>
              <Table.Thead>
                <Table.Tr>
                  <Table.Th>{t('users.username')}</Table.Th>
                  <Table.Th>{t('users.email')}</Table.Th>
                  <Table.Th>{t('users.state')}</Table.Th>
                  <Table.Th>{t('users.role')}</Table.Th>
                  <Table.Th>{t('users.plan')}</Table.Th>
                  <Table.Th>{t('users.trial')}</Table.Th>
                  <Table.Th>{t('users.created')}</Table.Th>
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {items.map((user) => (
                  <Table.Tr key={user.id} className="aw-row">
                    <Table.Td data-label={t('users.username')}>{user.username}</Table.Td>
                    <Table.Td data-label={t('users.email')}>{user.email}</Table.Td>
                    <Table.Td data-label={t('users.state')}>
                      <UserPill state={user.state} />
                    </Table.Td>
                    <Table.Td data-label={t('users.role')}>{t(`users.roles.${user.role}`)}</Table.Td>
                    <Table.Td data-label={t('users.plan')}>{user.plan}</Table.Td>
                    <Table.Td data-label={t('users.trial')}>
                      {user.trialEndsAt === null ? '–' : <Time value={user.trialEndsAt} style="date" />}
                    </Table.Td>
                    <Table.Td data-label={t('users.created')}>
                      <Time value={user.createdAt} style="date" />
                    </Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          )}
        </PagedList>
      </Panel>
    </>
  );
}
