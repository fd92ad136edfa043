import type { StackView } from '#libs/contracts';
import { ConfirmDialog } from '#libs/ui';
import { useT } from '../i18n/use-text.js';

/** A release as it was offered: what the server offers meanwhile may be another. */
export interface Offer {
  release: string;
  name: string;
}

export interface UpgradeDialogProps {
  /** The dialog is open while there is one. */
  offer: Offer | null;
  stack: StackView;
  onClose: () => void;
  onConfirm: (release: string) => Promise<unknown>;
}

/** Tells what an upgrade does before it begins. */
export function UpgradeDialog({ offer, stack, onClose, onConfirm }: UpgradeDialogProps) {
  const t = useT();
  const running = stack.heartbeat?.runningBots ?? 0;
  return (
    <ConfirmDialog
      opened={offer !== null}
      onClose={onClose}
      onConfirm={() => (offer === null ? undefined : onConfirm(offer.release))}
      verb={t('stack.upgradeVerb')}
      effects={[
        t('stack.upgradeEffectBackup'),
        ...(offer === null ? [] : [t('stack.upgradeEffectDiffers', { version: offer.name })]),
        running > 0
          ? `${t('stack.upgradeEffectAway')} ${t('stack.upgradeEffectBots', { count: running })}`
          : t('stack.upgradeEffectAway'),
        t('stack.upgradeEffectBack', { before: stack.release }),
      ]}
      grade="moderate"
    />
  );
}
