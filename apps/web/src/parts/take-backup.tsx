import type { BackupList, StackView } from '#libs/contracts';
import { Button, Checkbox, type ButtonProps } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { useApi } from '../api/context.js';
import { keys, putOperation } from '../api/queries.js';
import { useT } from '../i18n/use-text.js';
import { Failure } from './failure.js';

type Look = Pick<ButtonProps, 'className' | 'size' | 'variant'>;

/** Takes a backup beside the stack, where one can be taken; with what its services logged last, where that is wished. */
export function TakeBackup({
  stack,
  list,
  offersLogs = false,
  ...look
}: { stack: StackView; list: BackupList; offersLogs?: boolean } & Look) {
  const t = useT();
  const api = useApi();
  const queries = useQueryClient();
  const [logs, setLogs] = useState(false);
  const take = useMutation({
    mutationFn: () => api.takeBackup(stack.slug, { logs }, crypto.randomUUID()),
    onSuccess: async ({ operation }) => {
      putOperation(queries, operation);
      void queries.invalidateQueries({ queryKey: ['operations'] });
      await queries.invalidateQueries({ queryKey: keys.backups(stack.slug) });
    },
  });
  const barred = list.open !== null || list.problem !== null || stack.openOperation !== null;
  return (
    <>
      {offersLogs ? (
        <Checkbox
          label={t('backups.takeLogs')}
          checked={logs}
          onChange={({ currentTarget: { checked } }) => setLogs(checked)}
          disabled={barred}
        />
      ) : null}
      <Button {...look} disabled={barred} loading={take.isPending} onClick={() => take.mutate()}>
        {t('backups.take')}
      </Button>
      {take.error === null ? null : (
        <div className="aw-action-error">
          <Failure error={take.error} title={t('backups.takeFailed')} />
        </div>
      )}
    </>
  );
}
