import { Button, TextInput } from '@mantine/core';
import { useEffect, useRef, useState, type ReactNode } from 'react';
import { useUiText } from '../i18n/i18n.js';
import { Dialog } from './dialog.js';
import { ErrorState } from './error-state.js';

export interface ConfirmDialogProps {
  opened: boolean;
  onClose: () => void;
  /** Rejections are shown in the dialog, which then stays. */
  onConfirm: () => Promise<unknown> | void;
  /** The verb of the action, on title and button alike: "Destroy stack". */
  verb: string;
  /** Counted effects, one line each, before the press. */
  effects: readonly ReactNode[];
  /** `severe` wants `slug` typed. */
  grade: 'moderate' | 'severe';
  slug?: string;
  /** Colours the button; health, not direction. */
  danger?: boolean;
  /** Whether what the dialog asks for is there. */
  ready?: boolean;
  children?: ReactNode;
}

export function ConfirmDialog(props: ConfirmDialogProps) {
  return (
    <Dialog opened={props.opened} onClose={props.onClose} title={props.verb}>
      <ConfirmBody {...props} />
    </Dialog>
  );
}

function ConfirmBody({
  onClose,
  onConfirm,
  verb,
  effects,
  grade,
  slug = '',
  danger = false,
  ready = true,
  children,
}: ConfirmDialogProps) {
  const t = useUiText();
  const [typed, setTyped] = useState('');
  const [failure, setFailure] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const alive = useRef(true);
  useEffect(() => {
    alive.current = true;
    return () => {
      alive.current = false;
    };
  }, []);
  const matches = ready && (grade === 'moderate' || typed.trim() === slug);

  async function confirm(): Promise<void> {
    setBusy(true);
    setFailure(null);
    try {
      await onConfirm();
      onClose();
    } catch (error) {
      if (alive.current) {
        setFailure(error);
      }
    } finally {
      if (alive.current) {
        setBusy(false);
      }
    }
  }

  return (
    <form
      className="av-confirm"
      onSubmit={(event) => {
        event.preventDefault();
        if (matches && !busy) {
          void confirm();
        }
      }}
    >
      <ul className="av-effects">
        {effects.map((effect, index) => (
          // effects are a fixed list per dialog
          // oxlint-disable-next-line react/no-array-index-key
          <li key={index}>{effect}</li>
        ))}
      </ul>
      {children}
      {grade === 'severe' ? (
        <TextInput
          label={t('confirm.typeToConfirm', { slug })}
          value={typed}
          onChange={(event) => setTyped(event.currentTarget.value)}
          error={typed !== '' && !slug.startsWith(typed.trim()) ? t('confirm.doesNotMatch', { slug }) : null}
          autoComplete="off"
          spellCheck={false}
          data-autofocus
          classNames={{ input: 'av-mono' }}
        />
      ) : null}
      {failure === null ? null : <ErrorState error={failure} title={verb} />}
      <div className="av-confirm-actions">
        <Button variant="default" onClick={onClose} {...(grade === 'moderate' ? { 'data-autofocus': true } : {})}>
          {t('cancel')}
        </Button>
        <Button type="submit" disabled={!matches} loading={busy} {...(danger ? { color: 'bad' } : {})}>
          {verb}
        </Button>
      </div>
    </form>
  );
}
