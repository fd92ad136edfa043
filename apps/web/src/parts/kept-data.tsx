import type { KeptData, StackView } from '#libs/contracts';
import { ConfirmDialog, useNow, useTimeText } from '#libs/ui';
import { Button } from '@mantine/core';
import { useState } from 'react';
import { useApi } from '../api/context.js';
import { useT } from '../i18n/use-text.js';
import { useAgeText } from './backup-words.js';
import { useFollowOrder } from './use-follow-order.js';

/** What a restore took the place of is still there, with the way back and what that way costs. */
export function KeptDataPanel({ stack, kept, busy }: { stack: StackView; kept: KeptData; busy: boolean }) {
  const t = useT();
  const api = useApi();
  const follow = useFollowOrder();
  const time = useTimeText();
  const age = useAgeText();
  const now = useNow(60_000);
  const [open, setOpen] = useState(false);
  const orders = stack.heartbeat?.openOrders ?? 0;
  const what = kept.comesBack.map((one) => t(`backups.lost.${one.what}`, { count: one.count })).join(', ');
  return (
    <section className="av-panel aw-reason-panel" data-tone="none">
      <div>
        <strong>{t('backups.keptTitle', { time: time(kept.since) })}</strong>
        <p>{t('backups.keptBody')}</p>
        <Button variant="default" size="xs" disabled={busy} onClick={() => setOpen(true)}>
          {t('backups.undo')}
        </Button>
      </div>
      <ConfirmDialog
        opened={open}
        onClose={() => setOpen(false)}
        onConfirm={() => follow(kept.since, (key) => api.undoRestore(stack.slug, key))}
        verb={t('backups.undoVerb')}
        effects={[
          <strong key="lost">
            {t('backups.undoLost', { time: time(kept.since), duration: age(now - Date.parse(kept.since)) })}
          </strong>,
          what === '' ? t('backups.undoBackPlain') : t('backups.undoBack', { what }),
          ...(orders > 0 ? [t('backups.effectOrders', { count: orders })] : []),
          t('backups.undoKept'),
          t('backups.undoAway'),
        ]}
        grade="severe"
        slug={stack.slug}
        danger
      />
    </section>
  );
}
