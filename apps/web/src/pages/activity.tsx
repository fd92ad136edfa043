import { OPERATION_STATES, OPERATION_STATUS, type OperationState } from '#libs/contracts';
import { PageTitle, Panel, useStatusText } from '#libs/ui';
import { useApi } from '../api/context.js';
import type { OperationQuery } from '../api/endpoints.js';
import { useT } from '../i18n/use-text.js';
import { LinkButton } from '../parts/link-button.js';
import { Choice } from '../parts/list-tools.js';
import { OperationTable } from '../parts/operation-table.js';
import { PagedList } from '../parts/paged-list.js';

export interface OperationFilter {
  slug?: string | undefined;
  state?: OperationState | undefined;
}

export interface FilterProps<F> {
  filter: F;
  onFilter: (filter: F) => void;
}

export function StateChoice({ filter, onFilter }: FilterProps<OperationFilter>) {
  const t = useT();
  const statusText = useStatusText();
  return (
    <Choice
      label={t('list.state')}
      any={t('list.anyState')}
      value={filter.state}
      options={OPERATION_STATES.map((value) => ({
        value,
        label: statusText(OPERATION_STATUS[value]),
      }))}
      onChange={(state) => onFilter({ ...filter, state })}
    />
  );
}

/** What happened to my stacks. */
export function ActivityPage({ filter, onFilter }: FilterProps<OperationFilter>) {
  const t = useT();
  const api = useApi();
  const filtered = filter.state !== undefined || filter.slug !== undefined;
  const query: OperationQuery = { ...filter, limit: 50 };
  return (
    <>
      <PageTitle actions={<StateChoice filter={filter} onFilter={onFilter} />}>
        {t('activity.title')}{' '}
        {filter.slug === undefined ? null : <span className="av-mono aw-title-slug">{filter.slug}</span>}
      </PageTitle>
      <Panel flush>
        <PagedList
          queryKey={['operations', 'all', query]}
          load={(cursor) => api.operations({ ...query, cursor })}
          failure={t('activity.loadFailed')}
          empty={
            filtered
              ? {
                  title: t('list.none'),
                  body: t('list.noneBody'),
                  action: (
                    <LinkButton to="/app/activity" variant="default" size="xs">
                      {t('list.clear')}
                    </LinkButton>
                  ),
                }
              : { title: t('activity.empty'), body: t('activity.emptyBody') }
          }
        >
          {(items) => <OperationTable operations={items} />}
        </PagedList>
      </Panel>
    </>
  );
}
