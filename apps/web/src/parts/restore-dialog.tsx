import { countedLoss, type BackupView, type StackView } from '#libs/contracts';
import { ConfirmDialog, useNow, useTimeText } from '#libs/ui';
import { useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useRef } from 'react';
import { useApi } from '../api/context.js';
import { keys, putOperation, putStack } from '../api/queries.js';
import { useT } from '../i18n/use-text.js';
import { useAgeText } from './backup-words.js';

export interface RestoreDialogProps {
  /** The one to be put back; the dialog is open while there is one. */
  backup: BackupView | null;
  stack: StackView;
  /** The newest of the stack that counts. */
  newest: BackupView | undefined;
  safeguards: boolean;
  onClose: () => void;
}

/** Tells what is lost, dated and counted, before the data of a backup takes the place of a stack's. */
export function RestoreDialog({ backup, stack, newest, safeguards, onClose }: RestoreDialogProps) {
  const t = useT();
  const api = useApi();
  const queries = useQueryClient();
  const navigate = useNavigate();
  const time = useTimeText();
  const age = useAgeText();
  const now = useNow(60_000);
  const at = backup?.takenAt ?? null;
  const lost = backup === null ? [] : countedLoss(backup, newest);
  const orders = stack.heartbeat?.openOrders ?? 0;
  // one key per backup chosen: a retry after a broken line is the same request
  const key = useRef({ backup: '', value: '' });
  return (
    <ConfirmDialog
      opened={backup !== null}
      onClose={onClose}
      onConfirm={async () => {
        if (backup === null) {
          return;
        }
        if (key.current.backup !== backup.id) {
          key.current = { backup: backup.id, value: crypto.randomUUID() };
        }
        const { stack: next, operation } = await api.restoreStack(stack.slug, backup.id, key.current.value);
        putStack(queries, next);
        putOperation(queries, operation);
        void queries.invalidateQueries({ queryKey: ['operations'] });
        void queries.invalidateQueries({ queryKey: keys.backups(stack.slug) });
        await navigate({ to: '/app/operations/$id', params: { id: operation.id } });
      }}
      verb={t('backups.restoreVerb')}
      effects={[
        ...(at === null
          ? []
          : [
              <strong key="lost">
                {t('backups.effectLost', {
                  time: time(at),
                  duration: age(now - Date.parse(at)),
                })}
              </strong>,
            ]),
        ...(lost.length > 0
          ? [
              t('backups.effectCounted', {
                what: lost.map(({ what, count }) => t(`backups.lost.${what}`, { count })).join(', '),
              }),
            ]
          : []),
        ...(orders > 0 ? [t('backups.effectOrders', { count: orders })] : []),
        safeguards ? t('backups.effectSafe') : t('backups.effectUnsafe'),
        t('backups.effectAway'),
      ]}
      grade="severe"
      slug={stack.slug}
      danger
    />
  );
}
