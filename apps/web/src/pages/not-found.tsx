import { EmptyState } from '#libs/ui';
import { useT } from '../i18n/use-text.js';
import { LinkButton } from '../parts/link-button.js';

/** Also what somebody sees who may not see a page: both look the same. */
export function NotFoundPage({ body }: { body?: string }) {
  const t = useT();
  return (
    <EmptyState
      page
      title={t('notFound.title')}
      action={
        <LinkButton to="/" variant="default">
          {t('notFound.home')}
        </LinkButton>
      }
    >
      {body ?? t('notFound.body')}
    </EmptyState>
  );
}
