import { ActionIcon, Tooltip } from '@mantine/core';
import { useClipboard } from '@mantine/hooks';
import { IconCheck, IconCopy } from '@tabler/icons-react';
import { useUiText } from '../i18n/i18n.js';

export interface CopyButtonProps {
  value: string;
  /** What is copied, for the label: "Copy address". */
  label?: string;
}

export function CopyButton({ value, label }: CopyButtonProps) {
  const t = useUiText();
  const clipboard = useClipboard({ timeout: 1500 });
  const text = clipboard.copied ? t('copied') : (label ?? t('copy'));
  return (
    <Tooltip label={text}>
      <ActionIcon variant="subtle" size="sm" aria-label={label ?? t('copy')} onClick={() => clipboard.copy(value)}>
        {clipboard.copied ? <IconCheck size={15} aria-hidden /> : <IconCopy size={15} aria-hidden />}
        <output className="av-hidden">{clipboard.copied ? t('copied') : ''}</output>
      </ActionIcon>
    </Tooltip>
  );
}

/** An id, address or command in the monospaced face with a button that copies it. */
export function Copyable({ value, text, label }: CopyButtonProps & { text?: string }) {
  return (
    <span className="av-copyable">
      <span className="av-mono">{text ?? value}</span>
      <CopyButton value={value} {...(label === undefined ? {} : { label })} />
    </span>
  );
}
