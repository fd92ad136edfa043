import { MOST_UPGRADES_AT_ONCE, type PlanRollout, type ReleaseView, type RolloutPlan } from '#libs/contracts';
import { ConfirmDialog, Facts, formatDuration, PageTitle, Panel, useDraft } from '#libs/ui';
import { Button, NativeSelect, Table, Textarea, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { keepPreviousData, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { useApi } from '../api/context.js';
import { keys } from '../api/queries.js';
import { orderOf, rolloutCli, USUAL_ROLLOUT, type RolloutField } from '../domain/rollout-order.js';
import { useT } from '../i18n/use-text.js';
import { NotFoundPage } from '../pages/not-found.js';
import { CopyCli } from '../parts/copy-cli.js';
import { Failure } from '../parts/failure.js';
import { LinkButton, TextLink } from '../parts/link-button.js';
import { Loaded } from '../parts/loaded.js';
import { useRingName } from './rollout.js';

/** Nobody waits for a plan of what is half typed. */
const TYPED_MS = 400;
/** Of a ring or of those left out; how many more there are is said. */
const SHOWN = 12;

function Slugs({ slugs }: { slugs: readonly string[] }) {
  const t = useT();
  return (
    <span className="av-mono av-small">
      {slugs.slice(0, SHOWN).join(', ')}
      {slugs.length > SHOWN ? ` ${t('rollouts.more', { count: slugs.length - SHOWN })}` : ''}
    </span>
  );
}

function Plan({ plan }: { plan: RolloutPlan }) {
  const t = useT();
  const name = useRingName();
  const going = plan.rings.reduce((sum, { stacks }) => sum + stacks.length, 0);
  return (
    <>
      <div className="aw-gap">
        <Panel title={t('rollouts.planned')} flush>
          {going === 0 ? (
            <p className="aw-pad">{t('rollouts.nobody')}</p>
          ) : (
            <Table className="aw-table aw-dense">
              <caption className="av-hidden">{t('rollouts.planned')}</caption>
              <Table.Thead>
                <Table.Tr>
                  <Table.Th>{t('rollouts.ring')}</Table.Th>
                  <Table.Th className="aw-num">{t('rollouts.count')}</Table.Th>
                  <Table.Th>{t('rollouts.which')}</Table.Th>
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {plan.rings.map(({ ring, stacks }) => (
                  <Table.Tr key={ring} className="aw-row">
                    <Table.Td data-label={t('rollouts.ring')}>{name(ring)}</Table.Td>
                    <Table.Td data-label={t('rollouts.count')} className="aw-num">
                      {stacks.length}
                    </Table.Td>
                    <Table.Td data-label={t('rollouts.which')}>
                      <Slugs slugs={stacks} />
                    </Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          )}
        </Panel>
      </div>
      {plan.skipped.length === 0 ? null : (
        <div className="aw-gap">
          <Panel title={t('rollouts.leftOut', { count: plan.skipped.length })} flush>
            <Table className="aw-table aw-dense">
              <caption className="av-hidden">{t('rollouts.leftOut', { count: plan.skipped.length })}</caption>
              <Table.Thead>
                <Table.Tr>
                  <Table.Th>{t('rollouts.stack')}</Table.Th>
                  <Table.Th>{t('rollouts.why')}</Table.Th>
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {plan.skipped.slice(0, SHOWN).map(({ slug, message }) => (
                  <Table.Tr key={slug} className="aw-row">
                    <Table.Td data-label={t('rollouts.stack')}>
                      <TextLink to="/console/stacks/$slug" params={{ slug }} className="av-mono">
                        {slug}
                      </TextLink>
                    </Table.Td>
                    <Table.Td data-label={t('rollouts.why')} className="aw-reason">
                      {message}
                    </Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
            {plan.skipped.length > SHOWN ? (
              <p className="aw-pad av-muted av-small">{t('rollouts.more', { count: plan.skipped.length - SHOWN })}</p>
            ) : null}
          </Panel>
        </div>
      )}
    </>
  );
}

interface Asked {
  order: PlanRollout;
  /** Each press of one button is one rollout, however often it is sent. */
  key: string;
  effects: string[];
}

function useEffects(): (plan: RolloutPlan) => string[] {
  const t = useT();
  return ({ rings, settings, usualMs }) => {
    const going = rings.reduce((sum, { stacks }) => sum + stacks.length, 0);
    return [
      t('rollouts.startEffect', { count: going }),
      t('rollouts.startBots'),
      ...(usualMs === null ? [] : [t('rollouts.startUsual', { duration: formatDuration(usualMs) })]),
      ...(settings.candidate ? [t('rollouts.startCandidate')] : []),
      t('rollouts.startHalts', { percent: settings.budgetPercent, count: settings.inARow }),
    ];
  };
}

function Form({ release, releases }: { release: ReleaseView; releases: readonly ReleaseView[] }) {
  const t = useT();
  const api = useApi();
  const queries = useQueryClient();
  const navigate = useNavigate();
  const effects = useEffects();
  const draft = useDraft(`rollout-${release.id}`, USUAL_ROLLOUT);
  const { order, problems } = orderOf(release, draft.values);
  const [typed] = useDebouncedValue(draft.values, TYPED_MS);
  const settled = orderOf(release, typed).order;
  const plan = useQuery({
    queryKey: [...keys.rollouts, 'plan', settled],
    queryFn: () => (settled === null ? null : api.operator.planRollout(settled)),
    enabled: settled !== null,
    placeholderData: keepPreviousData,
    // a refusal is about what was typed
    retry: false,
  });
  // what was asked stays while its dialog closes
  const [asked, setAsked] = useState<Asked | null>(null);
  const [opened, setOpened] = useState(false);
  const start = useMutation({
    mutationFn: ({ order: ordered, key }: Asked) => api.operator.startRollout(ordered, key),
    onSuccess: async ({ id }) => {
      draft.clear();
      await navigate({ to: '/console/releases/rollouts/$id', params: { id } });
    },
    onSettled: () => queries.invalidateQueries({ queryKey: keys.rollouts }),
  });
  const shown = plan.data ?? null;
  const isOfNow = typed === draft.values && plan.error === null && !plan.isPlaceholderData;
  const going = shown?.rings.some(({ stacks }) => stacks.length > 0) ?? false;
  const field = (name: RolloutField, params: Record<string, number> = {}) => ({
    label: t(`rollouts.field.${name}`),
    value: draft.values[name],
    onChange: (event: { currentTarget: { value: string } }) => draft.set(name, event.currentTarget.value),
    error: problems?.has(name) ? t(`rollouts.bad.${name}`, params) : null,
  });
  const others = releases.filter(
    ({ id, template, stacks }) => template === release.template && id !== release.id && stacks > 0,
  );

  return (
    <>
      <div className="aw-gap">
        <Panel title={t('rollouts.how')}>
          <form
            className="aw-fields"
            noValidate
            onSubmit={(event) => {
              event.preventDefault();
              if (isOfNow && going && order !== null && shown !== null) {
                setAsked({ order, key: crypto.randomUUID(), effects: effects(shown) });
                setOpened(true);
              }
            }}
          >
            <NativeSelect
              {...field('from')}
              data={[
                { value: '', label: t('rollouts.fromAny') },
                ...others.map(({ id, stacks }) => ({
                  value: id,
                  label: t('rollouts.fromOne', { release: id, count: stacks }),
                })),
              ]}
            />
            <TextInput {...field('canary')} description={t('rollouts.hint.canary')} inputMode="decimal" />
            <TextInput {...field('waves')} description={t('rollouts.hint.waves')} />
            <TextInput {...field('soak')} description={t('rollouts.hint.soak')} inputMode="decimal" />
            <TextInput
              {...field('concurrency', { most: MOST_UPGRADES_AT_ONCE })}
              description={t('rollouts.hint.concurrency')}
              inputMode="numeric"
            />
            <TextInput {...field('budget')} description={t('rollouts.hint.budget')} inputMode="decimal" />
            <TextInput {...field('inARow')} description={t('rollouts.hint.inARow')} inputMode="numeric" />
            <TextInput {...field('windowFrom')} description={t('rollouts.hint.window')} placeholder="01:00" />
            <TextInput {...field('windowTo')} description={t('rollouts.hint.window')} placeholder="05:00" />
            <Textarea
              {...field('stacks')}
              description={t('rollouts.hint.stacks')}
              autosize
              minRows={1}
              maxRows={6}
              classNames={{ input: 'av-mono' }}
              spellCheck={false}
            />
            <div className="aw-fields-end">
              <Button type="submit" disabled={!isOfNow || !going}>
                {t('rollouts.ask.start')}
              </Button>
              <CopyCli command={order === null ? null : rolloutCli(order)} />
            </div>
          </form>
        </Panel>
      </div>
      {plan.error === null ? null : (
        <div className="aw-gap">
          <Failure error={plan.error} title={t('rollouts.planFailed')} onRetry={() => void plan.refetch()} />
        </div>
      )}
      {/* What is typed wrong stands for no plan. */}
      {shown === null || problems !== null ? null : <Plan plan={shown} />}
      {asked === null ? null : (
        <ConfirmDialog
          opened={opened}
          onClose={() => setOpened(false)}
          onConfirm={() => start.mutateAsync(asked)}
          verb={t('rollouts.verb.start')}
          effects={asked.effects}
          grade="severe"
          slug={asked.order.release}
        />
      )}
    </>
  );
}

/** Orders an upgrade of the fleet: how it goes, and who would go when before anybody does. */
export function NewRolloutPage({ release: id }: { release: string | undefined }) {
  const t = useT();
  const api = useApi();
  const query = useQuery({ queryKey: [...keys.releases, 'all'], queryFn: () => api.operator.releases() });
  return (
    <Loaded query={query} shape="page" failure={t('releases.loadFailed')} missing={<NotFoundPage />}>
      {({ items }) => {
        const release = items.find((one) => one.id === id);
        if (release === undefined) {
          return <NotFoundPage />;
        }
        return (
          <>
            <PageTitle
              actions={
                <LinkButton to="/console/releases" variant="default">
                  {t('releases.title')}
                </LinkButton>
              }
            >
              {t('rollouts.newTitle')}
            </PageTitle>
            <div className="aw-gap">
              <Panel>
                <Facts
                  items={[
                    { term: t('rollouts.column.release'), value: <span className="av-mono">{release.id}</span> },
                    ...(release.state === 'candidate'
                      ? [{ term: t('releases.column.state'), value: t('rollouts.startCandidate') }]
                      : []),
                  ]}
                />
              </Panel>
            </div>
            <Form release={release} releases={items} />
          </>
        );
      }}
    </Loaded>
  );
}
