import {
  ROLLOUT_STACK_STATUS,
  ROLLOUT_STATUS,
  rolloutMoves,
  type RolloutMove,
  type RolloutStack,
  type RolloutView,
} from '#libs/contracts';
import { ConfirmDialog, Facts, formatDuration, PageTitle, Panel, StatusPill, Time } from '#libs/ui';
import { Button, Table } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { useApi } from '../api/context.js';
import { keys, rolloutQuery } from '../api/queries.js';
import { useT } from '../i18n/use-text.js';
import { NotFoundPage } from '../pages/not-found.js';
import { TextLink } from '../parts/link-button.js';
import { Loaded } from '../parts/loaded.js';
import { PagedList } from '../parts/paged-list.js';
import { Sentence } from '../parts/sentence.js';
import { useResultText, useUpgradedText, useWaitText } from './rollouts.js';

interface Asked {
  move: RolloutMove;
  /** As they were when it was asked: what somebody reads does not change under them. */
  effects: string[];
  seen: RolloutView['budget'];
}

function useEffects(): (rollout: RolloutView, move: RolloutMove) => string[] {
  const t = useT();
  return ({ state, counts, budget }, move) => [
    t(`rollouts.effect.${move}`),
    ...(move === 'resume' && state === 'halted' ? [t('rollouts.effectKnown', { count: budget.failures })] : []),
    ...(move === 'pause' && counts.open > 0 ? [t('rollouts.effectOpen', { count: counts.open })] : []),
    ...(move === 'abort' && counts.open > 0 ? [t('rollouts.effectCancelled', { count: counts.open })] : []),
    ...(move === 'abort' && counts.waiting > 0 ? [t('rollouts.effectWaiting', { count: counts.waiting })] : []),
  ];
}

function Actions({ rollout }: { rollout: RolloutView }) {
  const t = useT();
  const api = useApi();
  const queries = useQueryClient();
  const effects = useEffects();
  // what was asked stays while its dialog closes
  const [asked, setAsked] = useState<Asked | null>(null);
  const [opened, setOpened] = useState(false);
  const run = useMutation({
    mutationFn: ({ move, seen }: Asked) => api.operator.moveRollout(rollout.id, move, seen),
    // also after a refusal: somebody else may have moved it meanwhile
    onSettled: () => queries.invalidateQueries({ queryKey: keys.rollouts }),
  });
  return (
    <>
      {rolloutMoves(rollout.state).map((move) => (
        <Button
          key={move}
          variant="default"
          onClick={() => {
            setAsked({ move, effects: effects(rollout, move), seen: rollout.budget });
            setOpened(true);
          }}
        >
          {t(`rollouts.ask.${move}`)}
        </Button>
      ))}
      {asked === null ? null : (
        <ConfirmDialog
          opened={opened}
          onClose={() => setOpened(false)}
          onConfirm={() => run.mutateAsync(asked)}
          verb={t(`rollouts.verb.${asked.move}`)}
          effects={asked.effects}
          grade="moderate"
          danger={asked.move === 'abort'}
        />
      )}
    </>
  );
}

export function useRingName(): (ring: number) => string {
  const t = useT();
  return (ring) => (ring === 0 ? t('rollouts.canary') : t('rollouts.wave', { number: ring }));
}

function Rings({ rollout }: { rollout: RolloutView }) {
  const t = useT();
  const name = useRingName();
  const result = useResultText();
  const upgraded = useUpgradedText();
  return (
    <Panel title={t('rollouts.rings')} flush>
      <Table className="aw-table aw-dense">
        <caption className="av-hidden">{t('rollouts.rings')}</caption>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>{t('rollouts.ring')}</Table.Th>
            <Table.Th>{t('rollouts.column.upgraded')}</Table.Th>
            <Table.Th>{t('rollouts.column.result')}</Table.Th>
            <Table.Th>{t('rollouts.away')}</Table.Th>
            <Table.Th>{t('rollouts.begun')}</Table.Th>
            <Table.Th>{t('rollouts.ended')}</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {rollout.rings.map((ring) => (
            <Table.Tr key={ring.ring} className="aw-row">
              <Table.Td data-label={t('rollouts.ring')}>{name(ring.ring)}</Table.Td>
              <Table.Td data-label={t('rollouts.column.upgraded')}>{upgraded(ring)}</Table.Td>
              <Table.Td data-label={t('rollouts.column.result')}>{result(ring) || '–'}</Table.Td>
              <Table.Td data-label={t('rollouts.away')}>
                {ring.outageMs === null
                  ? '–'
                  : t('rollouts.awayMedian', {
                      median: formatDuration(ring.outageMs.median),
                      p95: formatDuration(ring.outageMs.p95),
                    })}
              </Table.Td>
              <Table.Td data-label={t('rollouts.begun')}>
                {ring.begunAt === null ? '–' : <Time value={ring.begunAt} />}
              </Table.Td>
              <Table.Td data-label={t('rollouts.ended')}>
                {ring.endedAt === null ? '–' : <Time value={ring.endedAt} />}
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Panel>
  );
}

function Stacks({ stacks }: { stacks: readonly RolloutStack[] }) {
  const t = useT();
  const name = useRingName();
  return (
    <Table className="aw-table aw-dense">
      <caption className="av-hidden">{t('rollouts.report')}</caption>
      <Table.Thead>
        <Table.Tr>
          <Table.Th>{t('rollouts.stack')}</Table.Th>
          <Table.Th>{t('rollouts.ring')}</Table.Th>
          <Table.Th>{t('rollouts.column.state')}</Table.Th>
          <Table.Th className="aw-num">{t('rollouts.away')}</Table.Th>
          <Table.Th>{t('rollouts.from')}</Table.Th>
          <Table.Th>{t('rollouts.why')}</Table.Th>
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {stacks.map((stack) => {
          const operation = stack.rollbackId ?? stack.operationId;
          const pill = <StatusPill status={ROLLOUT_STACK_STATUS[stack.state]} size="sm" />;
          return (
            <Table.Tr key={stack.slug} className="aw-row">
              <Table.Td data-label={t('rollouts.stack')}>
                <TextLink to="/console/stacks/$slug" params={{ slug: stack.slug }} className="av-mono" data-row-link>
                  {stack.slug}
                </TextLink>
              </Table.Td>
              <Table.Td data-label={t('rollouts.ring')}>{stack.ring === null ? '–' : name(stack.ring)}</Table.Td>
              <Table.Td data-label={t('rollouts.column.state')}>
                {operation === null ? (
                  pill
                ) : (
                  <TextLink to="/app/operations/$id" params={{ id: operation }}>
                    {pill}
                  </TextLink>
                )}
              </Table.Td>
              <Table.Td data-label={t('rollouts.away')} className="aw-num">
                {stack.outageMs === null ? '–' : formatDuration(stack.outageMs)}
              </Table.Td>
              <Table.Td data-label={t('rollouts.from')}>
                <span className="av-mono av-small">{stack.from}</span>
              </Table.Td>
              <Table.Td data-label={t('rollouts.why')} className="aw-reason">
                {stack.reason}
              </Table.Td>
            </Table.Tr>
          );
        })}
      </Table.Tbody>
    </Table>
  );
}

function History({ rollout }: { rollout: RolloutView }) {
  const t = useT();
  return (
    <Panel title={t('rollouts.history')} flush>
      <Table className="aw-table aw-dense">
        <caption className="av-hidden">{t('rollouts.history')}</caption>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>{t('rollouts.when')}</Table.Th>
            <Table.Th>{t('rollouts.column.state')}</Table.Th>
            <Table.Th>{t('rollouts.who')}</Table.Th>
            <Table.Th>{t('rollouts.why')}</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {rollout.moves.toReversed().map((move, index) => (
            <Table.Tr key={rollout.moves.length - index} className="aw-row">
              <Table.Td data-label={t('rollouts.when')}>
                <Time value={move.at} />
              </Table.Td>
              <Table.Td data-label={t('rollouts.column.state')}>
                <StatusPill status={ROLLOUT_STATUS[move.to]} size="sm" />
              </Table.Td>
              <Table.Td data-label={t('rollouts.who')}>{move.by}</Table.Td>
              <Table.Td data-label={t('rollouts.why')} className="aw-reason">
                {move.reason}
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Panel>
  );
}

function Shown({ rollout }: { rollout: RolloutView }) {
  const t = useT();
  const api = useApi();
  const wait = useWaitText();
  const { settings, budget, state, waits } = rollout;
  const status = ROLLOUT_STATUS[state];
  return (
    <>
      <PageTitle
        mono
        tone={status.tone}
        facts={
          <>
            <StatusPill status={status} size="lg" />
            <span>
              <Sentence text={(time) => t('rollouts.since', { time })}>
                <Time value={rollout.since} />
              </Sentence>
            </span>
            {waits === null ? null : <span>· {wait(waits)}</span>}
            <span>
              ·{' '}
              <Sentence text={(time) => t('rollouts.by', { name: rollout.createdBy, time })}>
                <Time value={rollout.createdAt} />
              </Sentence>
            </span>
          </>
        }
        actions={<Actions rollout={rollout} />}
      >
        {rollout.release}
      </PageTitle>
      {rollout.reason === null ? null : (
        <div className="aw-gap">
          <Panel tone={status.tone}>
            <p>{rollout.reason}</p>
          </Panel>
        </div>
      )}
      <div className="aw-gap">
        <Rings rollout={rollout} />
      </div>
      <div className="aw-gap">
        <Panel>
          <Facts
            items={[
              {
                term: t('rollouts.budget'),
                value: t('rollouts.budgetOf', {
                  failures: budget.failures,
                  allowed: budget.allowed,
                  row: settings.inARow,
                }),
              },
              {
                term: t('rollouts.settings'),
                value: t('rollouts.settingsOf', {
                  concurrency: settings.concurrency,
                  soak: formatDuration(settings.soakSeconds * 1_000),
                }),
              },
              ...(settings.window === null
                ? []
                : [{ term: t('rollouts.window'), value: t('rollouts.windowOf', settings.window) }]),
            ]}
          />
        </Panel>
      </div>
      <div className="aw-gap">
        <Panel title={t('rollouts.report')} flush>
          <PagedList
            queryKey={[...keys.rollout(rollout.id), 'stacks']}
            load={(cursor) => api.operator.rolloutStacks(rollout.id, { cursor })}
            failure={t('rollouts.reportFailed')}
            empty={{ title: t('rollouts.report'), body: t('rollouts.none') }}
          >
            {(stacks) => <Stacks stacks={stacks} />}
          </PagedList>
        </Panel>
      </div>
      <History rollout={rollout} />
    </>
  );
}

/** One upgrade of the fleet: how far it is, what became of each stack, and an operator's hand on it. */
export function RolloutPage({ id }: { id: string }) {
  const t = useT();
  const query = useQuery(rolloutQuery(useApi(), id));
  return (
    <Loaded query={query} shape="page" failure={t('rollouts.oneLoadFailed')} missing={<NotFoundPage />}>
      {(rollout) => <Shown rollout={rollout} />}
    </Loaded>
  );
}
