import { Skeletons } from '#libs/ui';
import { Button } from '@mantine/core';
import type { InfiniteData, UseInfiniteQueryResult } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { useT } from '../i18n/i18n.js';
import { Failed, QueryState } from './query-state.js';

export interface PagedListProps<T> {
  query: UseInfiniteQueryResult<InfiniteData<{ items: T[]; next: string | null }, unknown>>;
  empty: ReactNode;
  children: (items: T[]) => ReactNode;
}

/** Pages by cursor, newest first, each fetched when it is asked for. */
export function PagedList<T>({ query, empty, children }: PagedListProps<T>) {
  const t = useT();
  return (
    <QueryState query={query} loading={<Skeletons shape="rows" />}>
      {({ pages }) => {
        const items = pages.flatMap((page) => page.items);
        return items.length === 0 ? (
          empty
        ) : (
          <>
            {children(items)}
            {query.isFetchNextPageError && query.error !== null ? <Failed error={query.error} /> : null}
            {query.hasNextPage ? (
              <div className="older">
                <Button
                  variant="default"
                  size="xs"
                  loading={query.isFetchingNextPage}
                  onClick={() => void query.fetchNextPage()}
                >
                  {t('common.older')}
                </Button>
              </div>
            ) : null}
          </>
        );
      }}
    </QueryState>
  );
}
