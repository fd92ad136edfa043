import { Modal } from '@mantine/core';
import type { ReactNode } from 'react';
import { useUiText } from '../i18n/i18n.js';

export interface DialogProps {
  opened: boolean;
  onClose: () => void;
  /** The verb of what it does. */
  title: string;
  children: ReactNode;
  size?: number;
}

/** Left-aligned, titled, and its closing button has a name. */
export function Dialog({ opened, onClose, title, children, size = 480 }: DialogProps) {
  const t = useUiText();
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      title={title}
      size={size}
      className="av-dialog"
      closeButtonProps={{ 'aria-label': t('close') }}
    >
      {children}
    </Modal>
  );
}
