import { useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useEffect, useState } from 'react';
import { TextInput } from '@mantine/core';
import { AfterAMoment } from '#libs/ui';
import { useApi } from '../api/context.js';
import { PortalAwayError } from '../api/errors.js';
import { useT } from '../i18n/use-text.js';
import { Failure } from '../parts/failure.js';
import { LinkButton, TextLink } from '../parts/link-button.js';
import { Resend } from '../parts/resend.js';
import { Sentence } from '../parts/sentence.js';
import { AuthFrame } from './auth-frame.js';

/** Tabs of this browser tell each other that an address was confirmed. */
const CONFIRMED = 'aviary.portal.confirmed';

/** After signing up: where the link went. Goes on by itself when the link is opened in another tab. */
function Sent({ email }: { email: string }) {
  const t = useT();
  const navigate = useNavigate();
  useEffect(() => {
    const channel = new BroadcastChannel(CONFIRMED);
    channel.addEventListener('message', () => void navigate({ to: '/login' }));
    return () => channel.close();
  }, [navigate]);
  return (
    <AuthFrame title={t('signup.sentTitle')} footer={<TextLink to="/signup">{t('signup.other')}</TextLink>}>
      <div className="aw-stack">
        <p className="aw-lead">
          <Sentence text={(slot) => t('signup.sent', { email: slot })}>
            <strong>{email}</strong>
          </Sentence>
        </p>
        <p className="av-muted">{t('signup.sentHint')}</p>
        <Resend email={email} />
      </div>
    </AuthFrame>
  );
}

function Again() {
  const t = useT();
  const [email, setEmail] = useState('');
  return (
    <div className="aw-stack">
      <TextInput
        type="email"
        label={t('field.email')}
        autoComplete="email"
        value={email}
        onChange={(event) => setEmail(event.currentTarget.value)}
      />
      {/.+@.+/.test(email) ? <Resend key={email} email={email} /> : null}
    </div>
  );
}

function Confirm({ token }: { token: string }) {
  const t = useT();
  const api = useApi();
  // a query, not an effect: strict mode and remounts must not use the one-time link twice
  const verify = useQuery({
    queryKey: ['verify', token],
    queryFn: async () => {
      await api.verify(token);
      const channel = new BroadcastChannel(CONFIRMED);
      channel.postMessage(null);
      channel.close();
      return true;
    },
    staleTime: Infinity,
    gcTime: Infinity,
    retry: false,
    refetchOnWindowFocus: false,
    refetchOnReconnect: false,
  });
  if (verify.data === true) {
    return (
      <AuthFrame title={t('verify.title')} lead={t('verify.body')}>
        <div className="aw-stack">
          <div>
            <LinkButton to="/login">{t('verify.signIn')}</LinkButton>
          </div>
        </div>
      </AuthFrame>
    );
  }
  if (verify.error === null) {
    return (
      <AuthFrame title={t('signup.sentTitle')}>
        <AfterAMoment>
          <output>{t('verify.working')}</output>
        </AfterAMoment>
      </AuthFrame>
    );
  }
  if (verify.error instanceof PortalAwayError) {
    return (
      <AuthFrame title={t('signup.sentTitle')}>
        <Failure error={verify.error} onRetry={() => void verify.refetch()} />
      </AuthFrame>
    );
  }
  return (
    <AuthFrame
      title={t('verify.failedTitle')}
      lead={t('verify.failedBody')}
      footer={<TextLink to="/login">{t('verify.signIn')}</TextLink>}
    >
      <div className="aw-stack">
        <Failure error={verify.error} title={t('operation.why')} />
        <h2>{t('verify.again')}</h2>
        <Again />
      </div>
    </AuthFrame>
  );
}

export function VerifyPage({ token, sent }: { token: string | undefined; sent: string | undefined }) {
  if (token !== undefined) {
    return <Confirm token={token} />;
  }
  return sent === undefined ? <VerifyAgain /> : <Sent email={sent} />;
}

function VerifyAgain() {
  const t = useT();
  return (
    <AuthFrame title={t('verify.again')} footer={<TextLink to="/login">{t('verify.signIn')}</TextLink>}>
      <Again />
    </AuthFrame>
  );
}
