import {
  PASSPHRASE_BYTES,
  PASSPHRASE_LEAST,
  passphraseSchema,
  spelledPassphrase,
  type BackupView,
} from '#libs/contracts';
import { ConfirmDialog, CopyButton, useTimeText } from '#libs/ui';
import { Button, Checkbox, PasswordInput, TextInput } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { useApi } from '../api/context.js';
import { startDownload } from '../api/download.js';
import { keys } from '../api/queries.js';
import { byteParts } from '../domain/usage.js';
import { useT } from '../i18n/use-text.js';
import type { BackupDialogProps } from './backup-words.js';

/** How somebody opens what they have, on any machine. */
export const openCommand = (file: string): string => `age -d ${file} | tar -x`;

const newPassphrase = (): string => spelledPassphrase(crypto.getRandomValues(new Uint8Array(PASSPHRASE_BYTES)));

interface Filled {
  passphrase: string;
  /** That it was put away. */
  kept: boolean;
  password: string;
}
const blank = (): Filled => ({ passphrase: newPassphrase(), kept: false, password: '' });

/** What is in the file, how it opens, and the passphrase that opens it, before it is downloaded. */
export function ExportDialog({ backup, stack, onClose }: BackupDialogProps) {
  const t = useT();
  const api = useApi();
  const queries = useQueryClient();
  const time = useTimeText();
  const [{ passphrase, kept, password }, fill] = useState(blank);
  const good = passphraseSchema.safeParse(passphrase).success;

  async function download(of: BackupView): Promise<void> {
    const { ticket } = await api.askExport(stack.slug, { backup: of.id, password });
    startDownload({ ticket, passphrase });
    await queries.invalidateQueries({ queryKey: keys.backups(stack.slug) });
  }
  const choose = (next: string): void => fill((before) => ({ ...before, passphrase: next, kept: false }));
  /** Neither of the two is kept for another time. */
  function close(): void {
    fill(blank());
    onClose();
  }

  return (
    <ConfirmDialog
      opened={backup !== null}
      onClose={close}
      onConfirm={() => (backup === null ? undefined : download(backup))}
      verb={t('exports.verb')}
      effects={[
        ...(backup === null
          ? []
          : [
              t('exports.holds', {
                time: time(backup.takenAt ?? backup.begunAt),
                size: t('backups.bytes', byteParts(backup.bytes ?? 0)),
              }),
            ]),
        <strong key="sealed">{t('exports.sealed')}</strong>,
        t('exports.opens', { command: openCommand('FILE') }),
        t('exports.without'),
      ]}
      ready={good && kept && password !== ''}
      grade="moderate"
    >
      <TextInput
        label={t('exports.passphrase')}
        description={t('exports.passphraseHint')}
        value={passphrase}
        onChange={(event) => choose(event.currentTarget.value)}
        error={good ? null : t('exports.passphraseWrong', { count: PASSPHRASE_LEAST })}
        rightSection={<CopyButton value={passphrase} label={t('exports.copy')} />}
        autoComplete="off"
        spellCheck={false}
        classNames={{ input: 'av-mono' }}
      />
      <div>
        <Button variant="default" size="xs" onClick={() => choose(newPassphrase())}>
          {t('exports.another')}
        </Button>
      </div>
      <Checkbox
        label={t('exports.kept')}
        checked={kept}
        onChange={({ currentTarget: { checked } }) => fill((before) => ({ ...before, kept: checked }))}
        disabled={!good}
      />
      <PasswordInput
        label={t('exports.password')}
        autoComplete="current-password"
        value={password}
        onChange={({ currentTarget: { value } }) => fill((before) => ({ ...before, password: value }))}
      />
    </ConfirmDialog>
  );
}
