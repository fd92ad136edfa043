import { displayNameSchema } from '#libs/contracts';
import { useDraft } from '#libs/ui';
import { Button, TextInput } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { useApi } from '../api/context.js';
import { isFieldError } from '../api/errors.js';
import { keys, putOperation } from '../api/queries.js';
import { useT } from '../i18n/use-text.js';
import { Failure } from './failure.js';

/** A name and a button; the new stack's operation is the next page, so that its steps are seen from the first. */
export function CreateStackForm() {
  const t = useT();
  const api = useApi();
  const queries = useQueryClient();
  const navigate = useNavigate();
  const draft = useDraft('stack', { name: '' });
  const [refused, setRefused] = useState(false);
  // the same key until it worked: pressing again after a lost answer must not make a second stack
  const [key, setKey] = useState(() => crypto.randomUUID());
  const create = useMutation({
    mutationFn: (name: string) => api.createStack(name === '' ? {} : { name }, key),
    onSuccess: async ({ operation }) => {
      draft.clear();
      putOperation(queries, operation);
      void queries.invalidateQueries({ queryKey: keys.stacks });
      await navigate({ to: '/app/operations/$id', params: { id: operation.id } });
    },
  });

  function submit(): void {
    const name = draft.values.name.trim();
    const parsed = name === '' ? null : displayNameSchema.safeParse(name);
    if (parsed !== null && !parsed.success) {
      setRefused(true);
      return;
    }
    setRefused(false);
    create.mutate(name);
  }

  return (
    <form
      className="aw-form"
      onSubmit={(event) => {
        event.preventDefault();
        if (!create.isPending) {
          submit();
        }
      }}
    >
      <TextInput
        label={t('field.stackName')}
        description={t('field.stackNameHint')}
        value={draft.values.name}
        maxLength={60}
        onChange={(event) => {
          draft.set('name', event.currentTarget.value);
          // other content is another request
          setKey(crypto.randomUUID());
        }}
        error={refused || isFieldError(create.error, 'name') ? t('field.bad.stackName') : null}
      />
      {create.error === null ? null : <Failure error={create.error} title={t('app.failedCreate')} />}
      <div>
        <Button type="submit" loading={create.isPending}>
          {t('app.create')}
        </Button>
      </div>
    </form>
  );
}
