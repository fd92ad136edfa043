import type { StackView } from '#libs/contracts';
import { Button, type ButtonProps } from '@mantine/core';
import { IconExternalLink } from '@tabler/icons-react';
import { useT } from '../i18n/use-text.js';

/** States in which the dashboard may answer, or in which a visit wakes it; in the others its address leads nowhere. */
const CAN_OPEN = new Set<StackView['status']>(['running', 'repairing', 'unknown', 'attention', 'asleep', 'waking']);

/** A plain link to the stack's gate, which sends through the portal's sign-on and back: no second login. */
export function OpenDashboard({ stack, ...props }: { stack: StackView } & ButtonProps) {
  const t = useT();
  const icon = <IconExternalLink size={16} aria-hidden />;
  if (!CAN_OPEN.has(stack.status)) {
    return (
      <Button {...props} disabled rightSection={icon} title={t('stack.openHint')} className="aw-primary-action">
        {t('stack.open')}
      </Button>
    );
  }
  const href = new URL('/.aviary/start', stack.dashboardUrl).href;
  return (
    <Button {...props} component="a" href={href} rightSection={icon} className="aw-primary-action">
      {t('stack.open')}
    </Button>
  );
}
