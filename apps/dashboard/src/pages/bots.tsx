import { EmptyState, PageTitle, Panel, Skeletons } from '#libs/ui';
import { useQuery } from '@tanstack/react-query';
import { botsQuery } from '../api/queries.js';
import { ButtonLink } from '../app/button-link.js';
import { useTitle } from '../app/use-title.js';
import { useT } from '../i18n/i18n.js';
import { BotTable } from '../parts/bot-table.js';
import { QueryState } from '../parts/query-state.js';
import { NewBotButton } from './home.js';
import { usedBots } from '../domain/quota.js';

export function BotsPage() {
  const t = useT();
  useTitle(t('bots.title'));
  const query = useQuery(botsQuery());
  const list = query.data;
  return (
    <>
      <PageTitle
        tone="work"
        facts={list === undefined ? null : t('bots.limit', { used: usedBots(list.items), limit: list.limit })}
        actions={<NewBotButton />}
      >
        {t('bots.title')}
      </PageTitle>
      <QueryState query={query} loading={<Skeletons shape="rows" />}>
        {({ items }) =>
          items.length === 0 ? (
            <EmptyState
              title={t('bots.empty')}
              action={
                <ButtonLink to="/bots/new" variant="default">
                  {t('home.newBot')}
                </ButtonLink>
              }
            >
              {t('bots.emptyText')}
            </EmptyState>
          ) : (
            <Panel flush>
              <BotTable bots={items} />
            </Panel>
          )
        }
      </QueryState>
    </>
  );
}
