import { useNow } from '#libs/ui';
import { Button } from '@mantine/core';
import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';
import { useApi } from '../api/context.js';
import { retryAfterSeconds } from '../api/errors.js';
import { useT } from '../i18n/use-text.js';
import { Failure } from './failure.js';

/** A mail takes a moment to arrive; asking twice in that moment only makes the first link useless. */
const PAUSE_MS = 30_000;

export function Resend({ email }: { email: string }) {
  const t = useT();
  const api = useApi();
  const now = useNow(1000);
  const [sentAt, setSentAt] = useState(0);
  const resend = useMutation({
    mutationFn: () => api.resend(email),
    onSuccess: () => setSentAt(Date.now()),
    onError: (error) => setSentAt(Date.now() - PAUSE_MS + (retryAfterSeconds(error) ?? 0) * 1000),
  });
  const wait = Math.ceil((sentAt + PAUSE_MS - now) / 1000);
  return (
    <div className="aw-stack">
      <div>
        <Button variant="default" onClick={() => resend.mutate()} loading={resend.isPending} disabled={wait > 0}>
          {wait > 0 ? t('signup.resendIn', { count: wait }) : t('signup.resend')}
        </Button>
      </div>
      <output>{resend.isSuccess ? t('signup.resent') : ''}</output>
      {resend.error === null ? null : <Failure error={resend.error} />}
    </div>
  );
}
