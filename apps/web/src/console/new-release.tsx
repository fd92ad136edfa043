import { RELEASE_NOTES_MOST, type ReleaseView } from '#libs/contracts';
import { PageTitle, Panel, useDraft } from '#libs/ui';
import { Button, NativeSelect, Textarea, TextInput } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { useApi } from '../api/context.js';
import { keys } from '../api/queries.js';
import { emptyDraft, imageField, releaseCli, wishOf, type ReleaseField } from '../domain/release-draft.js';
import { useT } from '../i18n/use-text.js';
import { NotFoundPage } from '../pages/not-found.js';
import { CopyCli } from '../parts/copy-cli.js';
import { Failure } from '../parts/failure.js';
import { LinkButton } from '../parts/link-button.js';
import { Loaded } from '../parts/loaded.js';

function Form({ releases, first }: { releases: readonly ReleaseView[]; first: ReleaseView }) {
  const t = useT();
  const api = useApi();
  const queries = useQueryClient();
  const navigate = useNavigate();
  const draft = useDraft('release', emptyDraft(releases));
  const [tried, setTried] = useState(false);
  // One that was chosen when the draft was kept may be none any more.
  const like = releases.find(({ id }) => id === draft.values.like) ?? first;
  const { wish, problems } = wishOf(like, draft.values);
  const make = useMutation({
    mutationFn: api.operator.makeRelease,
    onSuccess: async () => {
      draft.clear();
      await queries.invalidateQueries({ queryKey: keys.releases });
      await navigate({ to: '/console/releases' });
    },
  });
  const typed = (name: string) => ({
    value: draft.values[name] ?? '',
    onChange: (event: { currentTarget: { value: string } }) => draft.set(name, event.currentTarget.value),
    spellCheck: false,
  });
  const field = (name: ReleaseField, params: Record<string, string | number> = {}) => ({
    ...typed(name),
    label: t(`releases.field.${name}`),
    description: t(`releases.hint.${name}`, params),
    // Nobody is told of what they have not come to yet.
    error: problems?.has(name) && (tried || draft.values[name] !== '') ? t(`releases.bad.${name}`, params) : null,
  });
  return (
    <>
      <div className="aw-gap">
        <Panel>
          <form
            className="aw-fields"
            noValidate
            onSubmit={(event) => {
              event.preventDefault();
              setTried(true);
              if (wish !== null && !make.isPending) {
                make.mutate(wish);
              }
            }}
          >
            <NativeSelect {...field('like')} value={like.id} data={releases.map(({ id }) => id)} />
            <TextInput {...field('version', { version: like.version })} placeholder={like.version} />
            {Object.entries(like.images).map(([service, image]) => (
              <TextInput
                key={service}
                {...typed(imageField(service))}
                label={t('releases.field.image', { service })}
                description={t('releases.hint.image')}
                placeholder={image}
                error={problems?.has(imageField(service)) ? t('releases.bad.image') : null}
                classNames={{ input: 'av-mono' }}
              />
            ))}
            <TextInput
              {...field('databaseMajor', { major: like.databaseMajor })}
              placeholder={String(like.databaseMajor)}
              inputMode="numeric"
            />
            <TextInput {...field('requires')} classNames={{ input: 'av-mono' }} />
            <Textarea {...field('notes', { most: RELEASE_NOTES_MOST })} spellCheck autosize minRows={3} maxRows={12} />
            <div className="aw-fields-end">
              <Button type="submit" loading={make.isPending}>
                {t('releases.verb.make')}
              </Button>
              <CopyCli command={wish === null ? null : releaseCli(wish)} />
            </div>
          </form>
        </Panel>
      </div>
      {make.error === null ? null : (
        <div className="aw-gap">
          <Failure error={make.error} title={t('releases.makeFailed')} />
        </div>
      )}
    </>
  );
}

/** Makes a draft like a release that is there, with other images. */
export function NewReleasePage() {
  const t = useT();
  const api = useApi();
  const query = useQuery({ queryKey: [...keys.releases, 'all'], queryFn: () => api.operator.releases() });
  return (
    <Loaded query={query} shape="page" failure={t('releases.loadFailed')} missing={<NotFoundPage />}>
      {({ items }) => {
        const [first] = items;
        return first === undefined ? (
          <NotFoundPage />
        ) : (
          <>
            <PageTitle
              actions={
                <LinkButton to="/console/releases" variant="default">
                  {t('releases.title')}
                </LinkButton>
              }
            >
              {t('releases.newTitle')}
            </PageTitle>
            <Form releases={items} first={first} />
            <p className="av-muted av-small aw-foot">{t('releases.newLead')}</p>
          </>
        );
      }}
    </Loaded>
  );
}
