import { Button } from '@mantine/core';
import { Outlet, useMatches, useRouter, type ErrorComponentProps } from '@tanstack/react-router';
import { useEffect } from 'react';
import { useMe } from '../api/context.js';
import { PortalAwayError } from '../api/errors.js';
import { POLL_MS } from '../api/queries.js';
import { useT } from '../i18n/use-text.js';
import { Failure } from '../parts/failure.js';
import { LinkButton } from '../parts/link-button.js';
import { AuthFrame } from '../pages/auth-frame.js';
import { NotFoundPage } from '../pages/not-found.js';

function useDocumentTitle(): void {
  const t = useT();
  const last = useMatches().at(-1);
  const key = last?.staticData.title;
  const params = last?.params as Record<string, string> | undefined;
  const subject = params?.['slug'];
  useEffect(() => {
    const title = key === undefined ? null : t(key);
    document.title = [subject ?? null, title, t('brand')].filter((part) => part !== null).join(' · ');
  });
}

export function Root() {
  useDocumentTitle();
  return <Outlet />;
}

/** What could not even begin: the portal is away, or a page of ours broke. */
export function CrashPage({ error }: ErrorComponentProps) {
  const t = useT();
  const router = useRouter();
  const away = error instanceof PortalAwayError;
  useEffect(() => {
    const timer = away ? setInterval(() => void router.invalidate(), POLL_MS) : undefined;
    return () => clearInterval(timer);
  }, [away, router]);
  if (away) {
    return (
      <AuthFrame title={t('away.title')} lead={t('away.body')}>
        <div className="aw-stack">
          <div>
            <Button onClick={() => void router.invalidate()}>{t('away.retry')}</Button>
          </div>
        </div>
      </AuthFrame>
    );
  }
  return (
    <AuthFrame title={t('crashed')}>
      <div className="aw-stack">
        <Failure error={error} title={t('operation.why')} />
        <div>
          <Button onClick={() => window.location.reload()}>{t('reload')}</Button>
        </div>
      </div>
    </AuthFrame>
  );
}

export function MissingPage() {
  const t = useT();
  const me = useMe();
  return me === null ? (
    <AuthFrame title={t('notFound.title')} lead={t('notFound.body')}>
      <div className="aw-stack">
        <div>
          <LinkButton to="/" variant="default">
            {t('notFound.home')}
          </LinkButton>
        </div>
      </div>
    </AuthFrame>
  ) : (
    <NotFoundPage />
  );
}
