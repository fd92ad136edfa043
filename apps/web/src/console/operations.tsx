import { PageTitle, Panel } from '#libs/ui';
import { useApi } from '../api/context.js';
import { groupByCode } from '../domain/fleet.js';
import { useT } from '../i18n/use-text.js';
import { StateChoice, type FilterProps, type OperationFilter } from '../pages/activity.js';
import { LinkButton } from '../parts/link-button.js';
import { OperationTable } from '../parts/operation-table.js';
import { PagedList } from '../parts/paged-list.js';

export function OperationsPage({ filter, onFilter }: FilterProps<OperationFilter>) {
  const t = useT();
  const api = useApi();
  const failed = filter.state === 'failed';
  return (
    <>
      <PageTitle actions={<StateChoice filter={filter} onFilter={onFilter} />}>{t('operations.title')}</PageTitle>
      <Panel flush>
        <PagedList
          queryKey={['operator', 'operations', filter]}
          load={(cursor) => api.operator.operations({ ...filter, cursor, limit: 50 })}
          failure={t('operations.loadFailed')}
          empty={
            filter.state === undefined && filter.slug === undefined
              ? { title: t('operations.empty'), body: t('operations.emptyBody') }
              : {
                  title: failed ? t('operations.noneFailed') : t('list.none'),
                  body: t('list.noneBody'),
                  action: (
                    <LinkButton to="/console/operations" variant="default" size="xs">
                      {t('list.clear')}
                    </LinkButton>
                  ),
                }
          }
        >
          {(items) => (
            <>
              {failed ? (
                <ul className="aw-codes" aria-label={t('operations.byCode')}>
                  {groupByCode(items).map((group) => (
                    <li key={group.code}>
                      <span className="av-mono">{group.code}</span> {t('operations.times', { count: group.count })}
                    </li>
                  ))}
                </ul>
              ) : null}
              <OperationTable operations={items} columns={['stack', 'by']} />
            </>
          )}
        </PagedList>
      </Panel>
    </>
  );
}
