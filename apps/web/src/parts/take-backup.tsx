import type { BackupList, StackView } from '#libs/contracts';
import { Button, type ButtonProps } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useApi } from '../api/context.js';
import { keys, putOperation } from '../api/queries.js';
import { useT } from '../i18n/use-text.js';
import { Failure } from './failure.js';

type Look = Pick<ButtonProps, 'className' | 'size' | 'variant'>;

/** Takes a backup beside the stack, where one can be taken. */
export function TakeBackup({ stack, list, ...look }: { stack: StackView; list: BackupList } & Look) {
  const t = useT();
  const api = useApi();
  const queries = useQueryClient();
  const take = useMutation({
    mutationFn: () => api.takeBackup(stack.slug, crypto.randomUUID()),
    onSuccess: async ({ operation }) => {
      putOperation(queries, operation);
      void queries.invalidateQueries({ queryKey: ['operations'] });
      await queries.invalidateQueries({ queryKey: keys.backups(stack.slug) });
    },
  });
  return (
    <>
      <Button
        {...look}
        disabled={list.open !== null || list.problem !== null || stack.openOperation !== null}
        loading={take.isPending}
        onClick={() => take.mutate()}
      >
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
