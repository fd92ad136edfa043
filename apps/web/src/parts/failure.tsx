import { ErrorState, type ErrorStateProps } from '#libs/ui';
import { ZodError } from 'zod';
import { isApiError, PortalAwayError } from '../api/errors.js';
import { useT } from '../i18n/use-text.js';

/** An error of the API client in words for a person; the API's own messages are kept. */
export function Failure({ error, ...rest }: ErrorStateProps) {
  const t = useT();
  if (error instanceof PortalAwayError) {
    return <ErrorState {...rest} error={{ message: t('away.body') }} title={rest.title ?? t('away.title')} />;
  }
  if (error instanceof ZodError) {
    return <ErrorState {...rest} error={{ message: t('unreadable') }} />;
  }
  if (isApiError(error)) {
    return <ErrorState {...rest} error={error} />;
  }
  return <ErrorState {...rest} error={null} />;
}
