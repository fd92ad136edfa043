import { ConfirmDialog, useNow, useTimeText } from '#libs/ui';
import { useQuery } from '@tanstack/react-query';
import { useApi } from '../api/context.js';
import { restoreLossQuery } from '../api/queries.js';
import { useT } from '../i18n/use-text.js';
import { useAgeText, type BackupDialogProps } from './backup-words.js';
import { useFollowOrder } from './use-follow-order.js';

export interface RestoreDialogProps extends BackupDialogProps {
  safeguards: boolean;
}

/** Tells what is lost, dated and counted, before the data of a backup takes the place of a stack's. */
export function RestoreDialog({ backup, stack, safeguards, onClose }: RestoreDialogProps) {
  const t = useT();
  const api = useApi();
  const follow = useFollowOrder();
  const time = useTimeText();
  const age = useAgeText();
  const now = useNow(60_000);
  const at = backup?.takenAt ?? null;
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
        ...(backup === null ? [] : [<CountedLoss key="counted" slug={stack.slug} backup={backup.id} />]),
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

/** How much that is, as soon as it is counted; what cannot be counted keeps nobody from restoring. */
function CountedLoss({ slug, backup }: { slug: string; backup: string }) {
  const t = useT();
  const time = useTimeText();
  const { data, isPending } = useQuery(restoreLossQuery(useApi(), slug, backup));
  const text = (): string => {
    if (isPending) {
      return t('backups.effectCounting');
    }
    if (data === undefined || data.countedAt === null) {
      return t('backups.effectUncounted');
    }
    const { lost, countedAt, now } = data;
    const what =
      lost.map((one) => t(`backups.lost.${one.what}`, { count: one.count })).join(', ') || t('backups.lostNothing');
    return now
      ? t('backups.effectCountedNow', { what })
      : t('backups.effectCountedThen', { what, time: time(countedAt) });
  };
  return <output>{text()}</output>;
}
