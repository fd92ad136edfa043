import { RELEASE_NOTES_MOST, type ReleaseView } from '#libs/contracts';
import { ConfirmDialog } from '#libs/ui';
import { Textarea } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { useApi } from '../api/context.js';
import { keys } from '../api/queries.js';
import { useT } from '../i18n/use-text.js';

interface NotesDialogProps {
  release: Pick<ReleaseView, 'id' | 'notes'>;
  opened: boolean;
  onClose: () => void;
}

/** Writes what is new in a release. */
export function NotesDialog({ release: { id, notes }, opened, onClose }: NotesDialogProps) {
  const t = useT();
  const api = useApi();
  const queries = useQueryClient();
  const [text, setText] = useState(notes);
  const run = useMutation({
    mutationFn: () => api.operator.setReleaseNotes(id, text),
    onSettled: () => queries.invalidateQueries({ queryKey: keys.releases }),
  });
  return (
    <ConfirmDialog
      opened={opened}
      onClose={onClose}
      onConfirm={() => run.mutateAsync()}
      verb={t('releases.verb.notes')}
      effects={[
        <span key="id" className="av-mono">
          {id}
        </span>,
        t('releases.notesEffect'),
      ]}
      grade="moderate"
      ready={text.trim().length <= RELEASE_NOTES_MOST}
    >
      <Textarea
        label={t('releases.field.notes')}
        value={text}
        onChange={(event) => setText(event.currentTarget.value)}
        error={text.trim().length > RELEASE_NOTES_MOST ? t('releases.bad.notes', { most: RELEASE_NOTES_MOST }) : null}
        autosize
        minRows={4}
        maxRows={12}
      />
    </ConfirmDialog>
  );
}
