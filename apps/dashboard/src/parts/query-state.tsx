import { Alert, Button, Skeleton, Stack, Text } from '@mantine/core';
import { IconAlertTriangle, IconPlugConnectedX } from '@tabler/icons-react';
import type { UseQueryResult } from '@tanstack/react-query';
import { useEffect, useState, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';
import { ApiError, UnreachableError } from '../api/http.js';

/** Skeletons appear only when waiting is noticed; before that an empty place is calmer than a flash of grey. */
const SKELETON_AFTER_MS = 150;

export function Loading({ height, rows = 1 }: { height: number; rows?: number }) {
  const { t } = useTranslation();
  const [shown, setShown] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setShown(true), SKELETON_AFTER_MS);
    return () => clearTimeout(timer);
  }, []);
  return (
    <Stack gap={8} aria-busy="true" aria-label={t('common.loading')} role="status" mih={height * rows}>
      {shown ? Array.from({ length: rows }, (_, row) => <Skeleton key={row} height={height - 8} radius={4} />) : null}
    </Stack>
  );
}

/** A failure in its place: what, its id, and the way to try again. The rest of the page lives on. */
export function Failure({ error, retry }: { error: Error; retry?: (() => void) | undefined }) {
  const { t } = useTranslation();
  const away = error instanceof UnreachableError;
  const known = error instanceof ApiError;
  return (
    <Alert
      role="alert"
      variant="default"
      className={away ? 'notice notice-warn' : 'notice notice-bad'}
      icon={away ? <IconPlugConnectedX aria-hidden /> : <IconAlertTriangle aria-hidden />}
    >
      <Text size="sm">{away ? t('common.unreachable') : known ? error.message : t('common.failed')}</Text>
      {known && error.errorId !== null ? (
        <Text size="xs" c="dimmed" className="mono">
          {t('common.errorId', { id: error.errorId })}
        </Text>
      ) : null}
      {retry === undefined ? null : (
        <Button variant="default" size="xs" mt={8} onClick={retry}>
          {t('common.retry')}
        </Button>
      )}
    </Alert>
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
    return <Failure error={query.error} retry={() => void query.refetch()} />;
  }
  return loading;
}
