import type { StackView } from '#libs/contracts';
import { ConfirmDialog, useTimeText } from '#libs/ui';
import { Button } from '@mantine/core';
import { useState } from 'react';
import { useApi } from '../api/context.js';
import { useT } from '../i18n/use-text.js';
import { useFollowOrder } from './use-follow-order.js';

/** Of a copy that may not trade: of what it is one, and how it may. */
export function HeldTrading({ stack }: { stack: StackView }) {
  const t = useT();
  const api = useApi();
  const follow = useFollowOrder();
  const time = useTimeText();
  const [open, setOpen] = useState(false);
  if (stack.tradingHeldSince === null || stack.clonedFrom === null) {
    return null;
  }
  const { slug, takenAt } = stack.clonedFrom;
  return (
    <section className="av-panel aw-reason-panel" data-tone="warn">
      <div>
        <strong>{t('backups.copyOf', { slug, time: time(takenAt) })}</strong>
        <p>{t('backups.copyBody')}</p>
        <Button
          variant="default"
          size="xs"
          disabled={stack.desired !== 'running' || stack.openOperation !== null}
          onClick={() => setOpen(true)}
        >
          {t('backups.allowTrading')}
        </Button>
      </div>
      <ConfirmDialog
        opened={open}
        onClose={() => setOpen(false)}
        onConfirm={() => follow(stack.id, (key) => api.allowTrading(stack.slug, key))}
        verb={t('backups.allowVerb')}
        effects={[
          t('backups.allowBoth', { slug }),
          t('backups.allowPaused'),
          t('backups.allowUnguarded'),
          t('backups.allowRestart'),
        ]}
        grade="severe"
        slug={stack.slug}
        danger
      />
    </section>
  );
}
