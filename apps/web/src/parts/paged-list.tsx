import { EmptyState, Skeletons } from '#libs/ui';
import { useInfiniteQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { POLL_MS } from '../api/queries.js';
import { Failure } from './failure.js';
import { More, Rows } from './list-tools.js';

interface Page<T> {
  items: T[];
  next: string | null;
}

export interface PagedListProps<T> {
  queryKey: readonly unknown[];
  load: (cursor: string | undefined) => Promise<Page<T>>;
  failure: string;
  /** A list that is empty because of its filters, or because there is nothing yet. */
  empty: { title: string; body: string; action?: ReactNode };
  children: (items: T[]) => ReactNode;
}

/** Pages of fifty, kept fresh; old rows stay while newer ones load. */
export function PagedList<T>({ queryKey, load, failure, empty, children }: PagedListProps<T>) {
  const query = useInfiniteQuery({
    queryKey,
    queryFn: ({ pageParam }) => load(pageParam),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page: Page<T>) => page.next ?? undefined,
    placeholderData: (old) => old,
    refetchInterval: POLL_MS,
  });
  if (query.data === undefined) {
    return query.error === null ? (
      <Skeletons shape="rows" count={6} />
    ) : (
      <Failure error={query.error} title={failure} onRetry={() => void query.refetch()} />
    );
  }
  const items = query.data.pages.flatMap((page) => page.items);
  if (items.length === 0) {
    return (
      <EmptyState title={empty.title} {...(empty.action === undefined ? {} : { action: empty.action })}>
        {empty.body}
      </EmptyState>
    );
  }
  return (
    <>
      <Rows>{children(items)}</Rows>
      <More
        shown={items.length}
        hasMore={query.hasNextPage}
        loading={query.isFetchingNextPage}
        onMore={() => void query.fetchNextPage()}
      />
    </>
  );
}
