import { Button } from '@mantine/core';
import { useClipboard } from '@mantine/hooks';
import { IconCheck, IconTerminal2 } from '@tabler/icons-react';
import { useT } from '../i18n/use-text.js';

/** Copies the command that does the same; null while what is typed stands for none. */
export function CopyCli({ command }: { command: string | null }) {
  const t = useT();
  const clipboard = useClipboard({ timeout: 1500 });
  const Icon = clipboard.copied ? IconCheck : IconTerminal2;
  return (
    <Button
      variant="default"
      leftSection={<Icon size={16} aria-hidden />}
      disabled={command === null}
      onClick={() => clipboard.copy(command ?? '')}
      title={command ?? undefined}
    >
      {clipboard.copied ? t('operation.copied') : t('operation.copyCli')}
    </Button>
  );
}
