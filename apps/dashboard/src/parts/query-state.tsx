import { ErrorState } from '#libs/ui';
import type { UseQueryResult } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { ApiError, UnreachableError } from '../api/http.js';
import { useT } from '../i18n/i18n.js';
import { useFailureText } from '../i18n/messages.js';

/** A failure in its place. A stack that does not answer is said to be that, and not to be a fault of the page. */
export function Failed({ error, onRetry }: { error: Error; onRetry?: () => void }) {
  const t = useT();
  const textOf = useFailureText();
  const retry = onRetry === undefined ? {} : { onRetry };
  return error instanceof UnreachableError ? (
    <ErrorState error={{ message: t('common.unreachable') }} title={t('common.unreachableTitle')} {...retry} />
  ) : (
    <ErrorState
      error={{ message: textOf(error), errorId: error instanceof ApiError ? error.errorId : null }}
      {...retry}
    />
  );
}

export interface QueryStateProps<T> {
  query: Pick<UseQueryResult<T>, 'data' | 'error' | 'refetch'>;
  loading: ReactNode;
  children: (data: T) => ReactNode;
}

/** Old data stay on the screen while fetching again, also when that fails: the header says how old they are. */
export function QueryState<T>({ query, loading, children }: QueryStateProps<T>) {
  if (query.data !== undefined) {
    return children(query.data);
  }
  if (query.error !== null) {
    return <Failed error={query.error} onRetry={() => void query.refetch()} />;
  }
  return loading;
}
