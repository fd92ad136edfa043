import { signOnRequestSchema } from '#libs/contracts';
import { AfterAMoment } from '#libs/ui';
import { Button } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { useApi } from '../api/context.js';
import { useT } from '../i18n/use-text.js';
import { Failure } from '../parts/failure.js';
import { LinkButton } from '../parts/link-button.js';
import { AuthFrame } from './auth-frame.js';

export interface SignOnSearch {
  stack?: string | undefined;
  state?: string | undefined;
  next?: string | undefined;
  host?: string | undefined;
}

/**
 * Between a stack's gate and its dashboard: mints the one-time code and goes on. Seen only when it fails or is slow, and
 * where it leads to a domain of the owner's own: any site can send a browser here, and only the person can tell whether
 * that domain is still theirs.
 */
export function SignOnPage({ search }: { search: SignOnSearch }) {
  const t = useT();
  const api = useApi();
  const parsed = signOnRequestSchema.safeParse({ ...search, next: search.next ?? '/' });
  const slug = search.stack ?? '';
  const [wished, setWished] = useState<string | null>(null);
  const host = parsed.data?.host;
  const mint = useQuery({
    queryKey: ['sign-on', search.stack, search.state, search.next, search.host],
    queryFn: () => api.signOn(signOnRequestSchema.parse({ ...search, next: search.next ?? '/' })),
    enabled: parsed.success && (host === undefined || wished === host),
    staleTime: Infinity,
    gcTime: 0,
    retry: false,
    refetchOnWindowFocus: false,
    refetchOnReconnect: false,
  });
  const target = mint.data?.redirect;
  useEffect(() => {
    if (target !== undefined) {
      // replace: going back must not come here, the code works once
      window.location.replace(target);
    }
  }, [target]);

  const toStack = (
    <LinkButton to="/app" variant="default" size="xs">
      {t('signOn.toStack')}
    </LinkButton>
  );
  if (!parsed.success) {
    return (
      <AuthFrame title={t('signOn.failed', { slug })} lead={t('signOn.invalid')}>
        <div>{toStack}</div>
      </AuthFrame>
    );
  }
  if (host !== undefined && wished !== host) {
    return (
      <AuthFrame
        title={t('signOn.atHost', { slug, host })}
        lead={t('signOn.atHostLead', { slug, host })}
        footer={toStack}
      >
        <div>
          <Button onClick={() => setWished(host)}>{t('signOn.goOn', { host })}</Button>
        </div>
      </AuthFrame>
    );
  }
  if (mint.error !== null) {
    return (
      <AuthFrame title={t('signOn.failed', { slug })}>
        <Failure error={mint.error} onRetry={() => void mint.refetch()} action={toStack} />
      </AuthFrame>
    );
  }
  return (
    <AfterAMoment delayMs={400}>
      <AuthFrame title={t('signOn.working', { slug })}>
        <output className="av-muted">{t('brand')}</output>
      </AuthFrame>
    </AfterAMoment>
  );
}
