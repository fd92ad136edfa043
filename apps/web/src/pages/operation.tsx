import { OPEN_OPERATION_STATES, OPERATION_STATUS, type OperationView } from '#libs/contracts';
import {
  ConfirmDialog,
  Copyable,
  ErrorState,
  Facts,
  formatDuration,
  PageTitle,
  Panel,
  Since,
  StepsList,
  Time,
  useNow,
} from '#libs/ui';
import { Button } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';
import { useApi, useMe } from '../api/context.js';
import type { StackAction } from '../api/endpoints.js';
import { useOperationStream } from '../api/live.js';
import { operationQuery, putOperation, stackQuery } from '../api/queries.js';
import {
  asCli,
  elapsedMs,
  isBeside,
  mayCancel,
  nextStepOf,
  repeatable,
  wasNotNeeded,
} from '../domain/operation-rungs.js';
import { useT } from '../i18n/use-text.js';
import { CopyCli } from '../parts/copy-cli.js';
import { Failure } from '../parts/failure.js';
import { LinkButton, TextLink } from '../parts/link-button.js';
import { Loaded } from '../parts/loaded.js';
import { OpenDashboard } from '../parts/open-dashboard.js';
import { OperationPill, useRungs } from '../parts/operation-words.js';
import { Sentence } from '../parts/sentence.js';
import { ToBackups } from '../parts/to-backups.js';
import { NotFoundPage } from './not-found.js';

function Headline({ operation }: { operation: OperationView }) {
  const t = useT();
  const now = useNow(operation.state === 'running' ? 1000 : 60_000);
  const elapsed = elapsedMs(operation, now);
  const duration = elapsed === null ? null : formatDuration(elapsed);
  return (
    <>
      <OperationPill operation={operation} size="lg" />
      <span>
        {duration === null ? (
          <Sentence text={(time) => t('operation.queuedFor', { time })}>
            <Time value={operation.createdAt} />
          </Sentence>
        ) : operation.finishedAt === null ? (
          t('operation.runs', { duration })
        ) : (
          t('operation.took', { duration })
        )}
      </span>
      {operation.usualMs === null ? null : (
        <span>· {t('operation.usually', { duration: formatDuration(operation.usualMs) })}</span>
      )}
      <span>· {t('operation.by', { name: operation.requestedBy })}</span>
    </>
  );
}

function Actions({ operation }: { operation: OperationView }) {
  const t = useT();
  const api = useApi();
  const queries = useQueryClient();
  const me = useMe();
  const [asked, setAsked] = useState(false);
  const open = OPEN_OPERATION_STATES.includes(operation.state);
  const cancel = useMutation({
    mutationFn: () => api.cancelOperation(operation.id),
    onSuccess: (next) => putOperation(queries, next),
  });
  return (
    <>
      {me?.role === 'operator' ? <CopyCli command={asCli(operation)} /> : null}
      {open && mayCancel(operation) ? (
        <Button variant="default" onClick={() => setAsked(true)} loading={cancel.isPending}>
          {t('operation.cancel')}
        </Button>
      ) : null}
      <ConfirmDialog
        opened={asked}
        onClose={() => setAsked(false)}
        onConfirm={() => cancel.mutateAsync()}
        verb={t('operation.cancel')}
        effects={[
          t('operation.cancelEffect'),
          isBeside(operation) ? t('operation.cancelEffectBeside') : t('operation.cancelEffectState'),
        ]}
        grade="moderate"
      />
    </>
  );
}

function Again({ operation }: { operation: OperationView }) {
  const t = useT();
  const api = useApi();
  const queries = useQueryClient();
  const navigate = useNavigate();
  const action = repeatable(operation.kind);
  const again = useMutation({
    mutationFn: (kind: StackAction) => api.actOnStack(operation.slug, kind, crypto.randomUUID()),
    onSuccess: async ({ operation: next }) => {
      putOperation(queries, next);
      await navigate({ to: '/app/operations/$id', params: { id: next.id } });
    },
  });
  if (operation.kind === 'backup' || operation.kind === 'restore') {
    return (
      <ToBackups slug={operation.slug} quiet>
        {t('backups.to')}
      </ToBackups>
    );
  }
  if (action === null) {
    // asked for with more than a press: a name typed, a reason given
    return (
      <LinkButton to="/app/stacks/$slug" params={{ slug: operation.slug }} variant="default" size="xs">
        {t('signOn.toStack')}
      </LinkButton>
    );
  }
  return (
    <>
      <Button variant="default" size="xs" onClick={() => again.mutate(action)} loading={again.isPending}>
        {t('operation.again')}
      </Button>
      {again.error === null ? null : <Failure error={again.error} title={t('stack.actionFailed')} />}
    </>
  );
}

/** After the end: to the dashboard where it is one's own, else to the stack. */
function GoOn({ slug }: { slug: string }) {
  const t = useT();
  const me = useMe();
  const { data: stack } = useQuery(stackQuery(useApi(), slug));
  const operator = me?.role === 'operator';
  return (
    <>
      {stack !== undefined && stack.owner === me?.username ? <OpenDashboard stack={stack} size="xs" /> : null}
      <LinkButton
        to={operator ? '/console/stacks/$slug' : '/app/stacks/$slug'}
        params={{ slug }}
        variant="default"
        size="xs"
      >
        {operator ? slug : t('signOn.toStack')}
      </LinkButton>
    </>
  );
}

/** What is true now, why, and what to do about it. */
function Outcome({ operation }: { operation: OperationView }) {
  const t = useT();
  const next = nextStepOf(operation);
  if (operation.state === 'done') {
    return (
      <section className="av-panel aw-reason-panel" data-tone="ok">
        <div>
          <p>{wasNotNeeded(operation) ? t('operation.notNeeded') : t(`operation.now.${operation.kind}`)}</p>
          {operation.kind === 'destroy' ? null : operation.kind === 'backup' ? (
            <ToBackups slug={operation.slug} quiet>
              {t('backups.to')}
            </ToBackups>
          ) : (
            <GoOn slug={operation.slug} />
          )}
        </div>
      </section>
    );
  }
  if (operation.state === 'cancelled') {
    return (
      <section className="av-panel aw-reason-panel" data-tone="off">
        <div>
          <p>{isBeside(operation) ? t('operation.cancelledBeside') : t('operation.cancelledNow')}</p>
          <Again operation={operation} />
        </div>
      </section>
    );
  }
  if (operation.state !== 'failed') {
    return null;
  }
  return (
    <ErrorState
      title={t('operation.why')}
      error={operation.error}
      next={next === 'none' ? undefined : t(`operation.next.${next}`)}
      action={next === 'contact' || next === 'none' ? undefined : <Again operation={operation} />}
    />
  );
}

function Detail({ operation }: { operation: OperationView }) {
  const t = useT();
  const me = useMe();
  const rungs = useRungs();
  useOperationStream(operation);
  const status = operation.overdue && OPEN_OPERATION_STATES.includes(operation.state) ? 'overdue' : operation.state;
  return (
    <>
      <PageTitle
        tone={OPERATION_STATUS[status].tone}
        facts={<Headline operation={operation} />}
        actions={<Actions operation={operation} />}
      >
        {t(`operation.kind.${operation.kind}`)} <span className="av-mono aw-title-slug">{operation.slug}</span>
      </PageTitle>
      <Outcome operation={operation} />
      <div className="aw-operation">
        <Panel title={t('operation.steps')} flush>
          {operation.steps.length === 0 ? (
            <p className="av-muted aw-pad">{t('operation.noSteps')}</p>
          ) : (
            <StepsList rungs={rungs(operation)} />
          )}
        </Panel>
        <Panel title={t('operation.facts')}>
          <Facts
            items={[
              {
                term: t('operation.stack'),
                value:
                  me?.role === 'operator' ? (
                    <TextLink to="/console/stacks/$slug" params={{ slug: operation.slug }} className="av-mono">
                      {operation.slug}
                    </TextLink>
                  ) : (
                    <TextLink to="/app/stacks/$slug" params={{ slug: operation.slug }} className="av-mono">
                      {operation.slug}
                    </TextLink>
                  ),
              },
              { term: t('operation.requested'), value: <Since value={operation.createdAt} /> },
              {
                term: t('operation.started'),
                value: operation.startedAt === null ? '–' : <Time value={operation.startedAt} style="seconds" />,
              },
              {
                term: t('operation.finished'),
                value: operation.finishedAt === null ? '–' : <Time value={operation.finishedAt} style="seconds" />,
              },
              ...(operation.outageMs === null
                ? []
                : [{ term: t('operation.away'), value: formatDuration(operation.outageMs) }]),
              { term: t('operation.id'), value: <Copyable value={operation.id} text={`…${operation.id.slice(-8)}`} /> },
            ]}
          />
        </Panel>
      </div>
    </>
  );
}

export function OperationPage({ id }: { id: string }) {
  const t = useT();
  const query = useQuery(operationQuery(useApi(), id));
  return (
    <Loaded
      query={query}
      shape="page"
      failure={t('operation.loadFailed')}
      missing={<NotFoundPage body={t('operation.notFound')} />}
    >
      {(operation) => <Detail key={operation.id} operation={operation} />}
    </Loaded>
  );
}
