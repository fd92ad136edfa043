import { loginSchema } from '#libs/contracts';
import { ErrorState, useDraft, useNow } from '#libs/ui';
import { Button, PasswordInput, TextInput } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { useRouter } from '@tanstack/react-router';
import { useState } from 'react';
import { useApi, useSession } from '../api/context.js';
import { isApiError, retryAfterSeconds } from '../api/errors.js';
import { safeNext } from '../domain/safe-next.js';
import { useT } from '../i18n/use-text.js';
import { Failure } from '../parts/failure.js';
import { LinkButton, TextLink } from '../parts/link-button.js';
import { AuthFrame } from './auth-frame.js';

/** The stack whose dashboard the person was on the way to, for a sentence that says so. */
function stackOf(next: string): string | null {
  return next.startsWith('/sign-on?') ? new URLSearchParams(next.slice('/sign-on?'.length)).get('stack') : null;
}

function LoginFailure({ error, failedAt, email }: { error: Error; failedAt: number; email: string }) {
  const t = useT();
  const now = useNow(1000);
  if (isApiError(error, 'EMAIL_NOT_VERIFIED')) {
    return (
      <Failure
        error={error}
        title={t('login.unverified')}
        action={
          <LinkButton to="/verify" search={email.includes('@') ? { sent: email } : {}} variant="default" size="xs">
            {t('verify.again')}
          </LinkButton>
        }
      />
    );
  }
  const wait = retryAfterSeconds(error);
  if (wait !== null) {
    const left = Math.max(0, Math.ceil(wait - (now - failedAt) / 1000));
    const text = left > 90 ? t('login.lockedMinutes', { count: Math.ceil(left / 60) }) : t('retryIn', { count: left });
    return (
      <ErrorState
        error={{ message: text, errorId: isApiError(error) ? error.errorId : null }}
        title={t('login.locked')}
      />
    );
  }
  return <Failure error={error} title={t('login.failed')} />;
}

export function LoginPage({ next }: { next: string | undefined }) {
  const t = useT();
  const api = useApi();
  const router = useRouter();
  const session = useSession();
  const draft = useDraft('login', { identifier: '' });
  const [password, setPassword] = useState('');
  const [missing, setMissing] = useState<{ identifier: boolean; password: boolean } | null>(null);
  const [failedAt, setFailedAt] = useState(0);
  const login = useMutation({
    mutationFn: api.login,
    onSuccess: async ({ me }) => {
      setPassword('');
      router.history.replace(safeNext(next, me.role === 'operator' ? '/console' : '/app'));
      await router.invalidate();
    },
    onError: () => setFailedAt(Date.now()),
  });
  const stack = next === undefined ? null : stackOf(next);

  function submit(): void {
    const parsed = loginSchema.safeParse({ identifier: draft.values.identifier, password });
    setMissing({ identifier: draft.values.identifier.trim() === '', password: password === '' });
    if (parsed.success) {
      login.mutate(parsed.data);
    }
  }

  return (
    <AuthFrame
      title={t('login.title')}
      {...(stack === null ? {} : { lead: t('login.toDashboard', { slug: stack }) })}
      footer={
        <>
          {t('login.noAccount')} <TextLink to="/signup">{t('login.create')}</TextLink>
        </>
      }
    >
      {session.phase === 'out' && session.ended && login.error === null ? (
        <output className="aw-note">{t('login.ended')}</output>
      ) : null}
      <form
        className="aw-form"
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          if (!login.isPending) {
            submit();
          }
        }}
      >
        <TextInput
          label={t('field.identifier')}
          autoComplete="username"
          autoCapitalize="none"
          spellCheck={false}
          value={draft.values.identifier}
          onChange={(event) => draft.set('identifier', event.currentTarget.value)}
          error={missing?.identifier ? t('field.required') : null}
        />
        <PasswordInput
          label={t('field.password')}
          autoComplete="current-password"
          value={password}
          onChange={(event) => setPassword(event.currentTarget.value)}
          error={missing?.password ? t('field.required') : null}
        />
        {login.error === null ? null : (
          <LoginFailure error={login.error} failedAt={failedAt} email={draft.values.identifier} />
        )}
        <Button type="submit" loading={login.isPending}>
          {t('login.submit')}
        </Button>
      </form>
    </AuthFrame>
  );
}
