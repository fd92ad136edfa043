import { countedLoss, type BackupView } from '#libs/contracts';
import { ConfirmDialog, useNow, useTimeText } from '#libs/ui';
import { useApi } from '../api/context.js';
import { useT } from '../i18n/use-text.js';
import { useAgeText, type BackupDialogProps } from './backup-words.js';
import { useFollowOrder } from './use-follow-order.js';

export interface RestoreDialogProps extends BackupDialogProps {
  /** The newest of the stack that counts. */
  newest: BackupView | undefined;
  safeguards: boolean;
}

/** Tells what is lost, dated and counted, before the data of a backup takes the place of a stack's. */
export function RestoreDialog({ backup, stack, newest, safeguards, onClose }: RestoreDialogProps) {
  const t = useT();
  const api = useApi();
  const follow = useFollowOrder();
  const time = useTimeText();
  const age = useAgeText();
  const now = useNow(60_000);
  const at = backup?.takenAt ?? null;
  const lost = backup === null ? [] : countedLoss(backup, newest);
  const orders = stack.heartbeat?.openOrders ?? 0;
  return (
    <ConfirmDialog
      opened={backup !== null}
      onClose={onClose}
      onConfirm={() =>
        backup === null ? undefined : follow(backup.id, (key) => api.restoreStack(stack.slug, backup.id, key))
      }
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
