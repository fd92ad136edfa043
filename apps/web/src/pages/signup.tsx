import { registerSchema, type Disclaimer } from '#libs/contracts';
import { Skeletons, useDraft, useErrorText } from '#libs/ui';
import { Button, Checkbox, PasswordInput, TextInput } from '@mantine/core';
import { useMutation, useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { useApi } from '../api/context.js';
import { isApiError, isFieldError } from '../api/errors.js';
import { keys } from '../api/queries.js';
import { useT } from '../i18n/use-text.js';
import { Failure } from '../parts/failure.js';
import { TextLink } from '../parts/link-button.js';
import { AuthFrame } from './auth-frame.js';

type Field = 'email' | 'username' | 'password';
type Problems = Partial<Record<Field | 'accept', string>>;

/** What a server refused about a field, and nothing else. */
function useServerProblem(): (error: unknown, field: Field) => string | null {
  const t = useT();
  const errorText = useErrorText();
  return (error, field) => {
    // that an address is taken is never answered: it would tell who has an account
    if (field === 'username' && isApiError(error, 'USERNAME_TAKEN')) {
      return errorText(error);
    }
    return isFieldError(error, field) ? t(`field.bad.${field}`) : null;
  };
}

function Risk({ disclaimer }: { disclaimer: Disclaimer }) {
  const t = useT();
  return (
    <div className="aw-risk">
      <div className="aw-risk-head">
        <h2 id="risk-title">{disclaimer.title}</h2>
        <span className="av-muted av-small">{t('signup.disclaimer', { version: disclaimer.version })}</span>
      </div>
      {/* scrollable, so that it must be reachable by keyboard */}
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
      <section className="aw-risk-text" tabIndex={0} aria-labelledby="risk-title">
        {disclaimer.text.split(/\n{2,}/).map((paragraph) => (
          <p key={paragraph}>{paragraph}</p>
        ))}
      </section>
    </div>
  );
}

export function SignupPage() {
  const t = useT();
  const api = useApi();
  const navigate = useNavigate();
  const disclaimer = useQuery({
    queryKey: keys.disclaimer,
    queryFn: ({ signal }) => api.disclaimer(signal),
    staleTime: 60_000,
  });
  const serverProblem = useServerProblem();
  const draft = useDraft('signup', { email: '', username: '' });
  const [password, setPassword] = useState('');
  const [accepted, setAccepted] = useState(false);
  const [problems, setProblems] = useState<Problems>({});
  const register = useMutation({
    mutationFn: api.register,
    onSuccess: async (_answer, { email }) => {
      draft.clear();
      await navigate({ to: '/verify', search: { sent: email } });
    },
  });

  function submit(version: string): void {
    const parsed = registerSchema.safeParse({ ...draft.values, password, disclaimerVersion: version });
    const found: Problems = {};
    for (const issue of parsed.error?.issues ?? []) {
      const field = issue.path[0] as Field;
      const empty = field in draft.values && draft.values[field as 'email'] === '';
      found[field] ??= empty ? t('field.required') : t(`field.bad.${field}`);
    }
    if (!accepted) {
      found.accept = t('signup.acceptMissing');
    }
    setProblems(found);
    if (parsed.success && accepted) {
      register.mutate(parsed.data);
    }
  }

  const text = disclaimer.data;
  const other =
    register.error !== null &&
    (['email', 'username', 'password'] as const).every((f) => serverProblem(register.error, f) === null)
      ? register.error
      : null;

  return (
    <AuthFrame
      title={t('signup.title')}
      lead={t('signup.lead')}
      footer={
        <>
          {t('signup.haveAccount')} <TextLink to="/login">{t('signup.signIn')}</TextLink>
        </>
      }
    >
      <form
        className="aw-form"
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          if (text !== undefined && !register.isPending) {
            submit(text.version);
          }
        }}
      >
        <TextInput
          type="email"
          label={t('field.email')}
          description={t('field.emailHint')}
          autoComplete="email"
          value={draft.values.email}
          onChange={(event) => draft.set('email', event.currentTarget.value)}
          error={problems.email ?? serverProblem(register.error, 'email')}
        />
        <TextInput
          label={t('field.username')}
          description={t('field.usernameHint')}
          autoComplete="username"
          autoCapitalize="none"
          spellCheck={false}
          value={draft.values.username}
          onChange={(event) => draft.set('username', event.currentTarget.value)}
          error={problems.username ?? serverProblem(register.error, 'username')}
        />
        <PasswordInput
          label={t('field.password')}
          description={t('field.passwordHint')}
          autoComplete="new-password"
          value={password}
          onChange={(event) => setPassword(event.currentTarget.value)}
          error={problems.password ?? serverProblem(register.error, 'password')}
        />
        {text === undefined ? (
          disclaimer.error === null ? (
            <Skeletons shape="text" count={6} />
          ) : (
            <Failure
              error={disclaimer.error}
              title={t('signup.disclaimerFailed')}
              onRetry={() => void disclaimer.refetch()}
            />
          )
        ) : (
          <>
            <Risk disclaimer={text} />
            <Checkbox
              label={t('signup.accept', { version: text.version })}
              checked={accepted}
              onChange={(event) => setAccepted(event.currentTarget.checked)}
              error={problems.accept}
            />
          </>
        )}
        {other === null ? null : <Failure error={other} title={t('signup.failed')} />}
        <Button type="submit" loading={register.isPending} disabled={text === undefined}>
          {t('signup.submit')}
        </Button>
      </form>
    </AuthFrame>
  );
}
