import { BACKUP_STATUS, type BackupView, type StackView, type StatusWord } from '#libs/contracts';
import { StatusPill, useTimeText } from '#libs/ui';
import { useMe } from '../api/context.js';
import { ageOf, checkedOf, lookOf, standingOf, type Checked } from '../domain/backups.js';
import { useT } from '../i18n/use-text.js';
import { TextLink } from './link-button.js';

const NONE: StatusWord = { tone: 'none', key: 'backup.none', word: '', icon: 'CircleDashed' };

/** What each dialog about one backup is given. */
export interface BackupDialogProps {
  /** The one it is about; the dialog is open while there is one. */
  backup: BackupView | null;
  stack: StackView;
  onClose: () => void;
}

export function useAgeText(): (ms: number) => string {
  const t = useT();
  return (ms) => {
    const { unit, count } = ageOf(ms);
    return t(`backups.ages.${unit}`, { count });
  };
}

export function BackupPill({
  backup,
  openOperation,
  size = 'sm',
}: {
  backup: Pick<BackupView, 'state' | 'operationId' | 'error'>;
  openOperation: string | null;
  size?: 'sm' | 'md';
}) {
  const t = useT();
  const { status, left } = lookOf(backup, openOperation);
  return <StatusPill status={status} size={size} {...(left === null ? {} : { word: t(`backups.${left}`) })} />;
}

/** When the data that is certain to come back was restored and checked, and until when nothing has changed since. */
export function CheckedAt({ of, size = 'lg' }: { of: Parameters<typeof checkedOf>[0]; size?: 'md' | 'lg' }) {
  const t = useT();
  const time = useTimeText();
  const checked = checkedOf(of);
  return checked === null ? (
    <StatusPill status={NONE} word={t('backups.emptyTitle')} size={size} />
  ) : (
    <>
      <StatusPill
        status={BACKUP_STATUS.verified}
        word={t('backups.checkedAt', { time: time(checked.at) })}
        size={size}
      />
      <Unchanged of={checked} />
    </>
  );
}

function Unchanged({ of: { unchangedUntil } }: { of: Checked }) {
  const t = useT();
  const time = useTimeText();
  return unchangedUntil === null ? null : (
    <span className="av-small av-muted">{t('backups.unchanged', { time: time(unchangedUntil) })}</span>
  );
}

/** Among the facts of a stack, and the way to its backups. */
export function BackupStanding({ stack }: { stack: Pick<StackView, 'slug' | 'backup'> }) {
  const t = useT();
  const time = useTimeText();
  const operator = useMe()?.role === 'operator';
  const { backup, slug } = stack;
  const standing = standingOf(backup);
  const checked = checkedOf(backup);
  return (
    <span className="aw-backup-fact">
      <TextLink to={operator ? '/console/stacks/$slug/backups' : '/app/stacks/$slug/backups'} params={{ slug }}>
        {checked === null ? t('backups.standing.none') : t('backups.checkedAt', { time: time(checked.at) })}
      </TextLink>
      {checked === null ? null : (
        <>
          {' '}
          <Unchanged of={checked} />
        </>
      )}
      {standing === 'failed' ? (
        <span className="aw-standing" data-tone="bad">
          {' '}
          {t('backups.standing.failed')}
        </span>
      ) : null}
    </span>
  );
}
