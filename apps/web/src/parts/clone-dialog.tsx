import { LOST_THINGS } from '#libs/contracts';
import { ConfirmDialog, useTimeText } from '#libs/ui';
import { useApi } from '../api/context.js';
import { useT } from '../i18n/use-text.js';
import type { BackupDialogProps } from './backup-words.js';
import { useFollowOrder } from './use-follow-order.js';

/** What a copy will hold and what it will not do, before it is made. */
export function CloneDialog({ backup, stack, onClose }: BackupDialogProps) {
  const t = useT();
  const api = useApi();
  const follow = useFollowOrder();
  const time = useTimeText();
  const holds = LOST_THINGS.flatMap((what) => {
    const count = backup?.counts?.[what] ?? 0;
    return count > 0 ? [t(`backups.lost.${what}`, { count })] : [];
  });
  return (
    <ConfirmDialog
      opened={backup !== null}
      onClose={onClose}
      onConfirm={() =>
        backup === null ? undefined : follow(backup.id, (key) => api.cloneBackup(stack.slug, backup.id, key))
      }
      verb={t('backups.cloneVerb')}
      effects={[
        ...(backup === null ? [] : [t('backups.cloneNew', { time: time(backup.takenAt ?? backup.begunAt) })]),
        ...(holds.length > 0 ? [t('backups.cloneHolds', { what: holds.join(', ') })] : []),
        t('backups.cloneBots'),
        t('backups.cloneTrading'),
        t('backups.cloneStays', { slug: stack.slug }),
      ]}
      grade="moderate"
      slug={stack.slug}
    />
  );
}
