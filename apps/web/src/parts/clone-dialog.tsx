import { isSilent, LOST_THINGS, type StackView } from '#libs/contracts';
import { ConfirmDialog, useTimeText } from '#libs/ui';
import { NativeSelect } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { useApi, useMe } from '../api/context.js';
import { overviewQuery } from '../api/queries.js';
import { useT } from '../i18n/use-text.js';
import type { BackupDialogProps } from './backup-words.js';
import { useFollowOrder } from './use-follow-order.js';

/** What a copy will hold and what it will not do, before it is made. */
export function CloneDialog({ backup, stack, onClose }: BackupDialogProps) {
  const t = useT();
  const api = useApi();
  const follow = useFollowOrder();
  const time = useTimeText();
  const operator = useMe()?.role === 'operator';
  const [engine, setEngine] = useState(stack.engine);
  const holds = LOST_THINGS.flatMap((what) => {
    const count = backup?.counts?.[what] ?? 0;
    return count > 0 ? [t(`backups.lost.${what}`, { count })] : [];
  });
  return (
    <ConfirmDialog
      opened={backup !== null}
      onClose={onClose}
      onConfirm={() =>
        backup === null
          ? undefined
          : follow(`${backup.id} ${engine}`, (key) =>
              api.cloneBackup(stack.slug, { backup: backup.id, ...(engine === stack.engine ? {} : { engine }) }, key),
            )
      }
      verb={t('backups.cloneVerb')}
      effects={[
        ...(backup === null ? [] : [t('backups.cloneNew', { time: time(backup.takenAt ?? backup.begunAt) })]),
        ...(holds.length > 0 ? [t('backups.cloneHolds', { what: holds.join(', ') })] : []),
        t('backups.cloneBots'),
        t('backups.cloneTrading'),
        operator
          ? t('backups.cloneStaysOther', { slug: stack.slug, owner: stack.owner })
          : t('backups.cloneStays', { slug: stack.slug }),
      ]}
      grade="moderate"
      slug={stack.slug}
    >
      {operator && backup !== null ? <EngineChoice stack={stack} value={engine} onChange={setEngine} /> : null}
    </ConfirmDialog>
  );
}

/** Which host, where there are several. */
function EngineChoice({
  stack,
  value,
  onChange,
}: {
  stack: StackView;
  value: string;
  onChange: (engine: string) => void;
}) {
  const t = useT();
  const { data } = useQuery(overviewQuery(useApi()));
  if (data === undefined || data.engines.length < 2) {
    return null;
  }
  return (
    <NativeSelect
      label={t('backups.cloneEngine')}
      value={value}
      data={data.engines.map(({ engine, seenAt }) => {
        const own = engine === stack.engine;
        const silent = !own && isSilent(new Date(seenAt), new Date(data.at));
        const label = own
          ? t('backups.cloneEngineOwn', { engine, slug: stack.slug })
          : silent
            ? t('backups.cloneEngineSilent', { engine })
            : engine;
        return { value: engine, disabled: silent, label };
      })}
      onChange={(event) => onChange(event.currentTarget.value)}
    />
  );
}
