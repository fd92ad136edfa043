import { Skeletons, type SkeletonsProps } from '#libs/ui';
import type { UseQueryResult } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { isApiError } from '../api/errors.js';
import { Failure } from './failure.js';

export interface LoadedProps<T> {
  query: Pick<UseQueryResult<T>, 'data' | 'error' | 'refetch'>;
  shape?: SkeletonsProps['shape'];
  failure: string;
  /** Shown for NOT_FOUND and FORBIDDEN, which look the same to whoever may not know. */
  missing?: ReactNode;
  children: (data: T) => ReactNode;
}

/** Data when there is any, also while a newer look fails; else a skeleton, or what went wrong with a retry. */
export function Loaded<T>({ query, shape = 'rows', failure, missing, children }: LoadedProps<T>) {
  const { data, error } = query;
  if (error !== null && missing !== undefined && isApiError(error, 'NOT_FOUND', 'FORBIDDEN')) {
    return missing;
  }
  if (data !== undefined) {
    return children(data);
  }
  if (error !== null) {
    return <Failure error={error} title={failure} onRetry={() => void query.refetch()} />;
  }
  return <Skeletons shape={shape} />;
}
