import { Button } from '@mantine/core';
import { IconAlertTriangle, IconRefresh } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import { useErrorText, useUiText } from '../i18n/i18n.js';
import { Copyable } from './copy.js';

/** What a failure is told by. Any error with these fields will do; an app's own classes have them. */
export interface Failure {
  message: string;
  code?: string | undefined;
  errorId?: string | null | undefined;
}

function textOf(error: unknown, key: string): string | undefined {
  const value = typeof error === 'object' && error !== null ? (error as Record<string, unknown>)[key] : undefined;
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** Reads message, code and error id off whatever was thrown. */
export function describeFailure(error: unknown, fallback: string): Failure {
  return {
    message: textOf(error, 'message') ?? fallback,
    code: textOf(error, 'code'),
    errorId: textOf(error, 'errorId'),
  };
}

export interface ErrorStateProps {
  error: unknown;
  title?: string;
  onRetry?: () => void;
  /** What the person can do about it, in a sentence. */
  next?: ReactNode;
  /** The next step as a button, where it is not "try again". */
  action?: ReactNode;
}

/** A failure in its place: what, why, what next, and the id to quote. The rest of the page lives on. */
export function ErrorState({ error, title, onRetry, next, action }: ErrorStateProps) {
  const t = useUiText();
  const textOfError = useErrorText();
  const failure = describeFailure(error, t('error.unknown'));
  return (
    <div className="av-error" role="alert">
      <IconAlertTriangle size={18} aria-hidden className="av-error-icon" />
      <div>
        <p className="av-error-title">{title ?? t('error.title')}</p>
        <p>{textOfError(failure)}</p>
        {next === undefined ? null : <p className="av-error-next">{next}</p>}
        {failure.errorId ? (
          <p className="av-error-id">
            {t('error.id')} <Copyable value={failure.errorId} label={t('error.copyId')} />
          </p>
        ) : null}
        {onRetry === undefined && action === undefined ? null : (
          <div className="av-error-actions">
            {onRetry === undefined ? null : (
              <Button variant="default" size="xs" leftSection={<IconRefresh size={14} aria-hidden />} onClick={onRetry}>
                {t('retry')}
              </Button>
            )}
            {action}
          </div>
        )}
      </div>
    </div>
  );
}
