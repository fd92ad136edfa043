import { STACK_STATUS, type FleetOverview, type StackView } from '#libs/contracts';
import { EmptyState, Facts, formatDuration, PageTitle, Panel, StatusPill, Time, useNow } from '#libs/ui';
import { IconBell } from '@tabler/icons-react';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useApi } from '../api/context.js';
import { alarmsQuery, hostUsageQuery, overviewQuery, POLL_MS } from '../api/queries.js';
import { unknownAlarms } from '../domain/alarms.js';
import type { RangeLook } from '../domain/stack-look.js';
import { countsInOrder, groupByCode, worstFirst } from '../domain/fleet.js';
import { useT } from '../i18n/use-text.js';
import { LinkButton, TextLink } from '../parts/link-button.js';
import { Loaded } from '../parts/loaded.js';
import { OperationTable } from '../parts/operation-table.js';
import { Sentence } from '../parts/sentence.js';
import { useFleetText, useStackReason } from '../parts/stack-words.js';
import { BackupsPanel } from './backups-panel.js';
import { CapacityPanel } from './capacity.js';
import { EngineHeadline, EnginePanel } from './engine-panel.js';
import { NeedsAPerson } from './needs-a-person.js';
import { OrphansPanel } from './orphans.js';
import { DEFAULT_RANGE, RangeSwitch, UsageSeries, Warnings } from '../parts/usage-panel.js';
import { useCells } from './fleet-data.js';

interface HostsLook {
  look: RangeLook;
  onLook: (change: RangeLook) => void;
}

function StatusCounts({ overview }: { overview: FleetOverview }) {
  const fleetText = useFleetText();
  return (
    <ul className="aw-counts">
      {countsInOrder(overview).map(({ status, count }) => (
        <li key={status}>
          <Link to="/console/stacks" search={{ status }} className="aw-count">
            <span className="aw-count-figure">{count}</span>
            <StatusPill status={STACK_STATUS[status]} word={fleetText(status)} size="sm" />
          </Link>
        </li>
      ))}
    </ul>
  );
}

function Cells({ stacks, total }: { stacks: readonly StackView[]; total: number }) {
  const t = useT();
  const fleetText = useFleetText();
  const why = useStackReason();
  const left = total - stacks.length;
  return (
    <>
      <ul className="aw-cells">
        {worstFirst(stacks).map((stack) => {
          const status = STACK_STATUS[stack.status];
          const text = [stack.slug, fleetText(stack.status), why(stack)].filter((part) => part !== null).join(' · ');
          return (
            <li key={stack.id}>
              <Link
                to="/console/stacks/$slug"
                params={{ slug: stack.slug }}
                className="aw-cell"
                data-tone={status.tone}
                title={text}
                aria-label={text}
              />
            </li>
          );
        })}
      </ul>
      {left > 0 ? (
        <TextLink to="/console/stacks" className="av-small">
          {t('fleet.cellsMore', { count: left })}
        </TextLink>
      ) : null}
    </>
  );
}

function Failures() {
  const t = useT();
  const api = useApi();
  const now = useNow(60_000);
  const query = useQuery({
    queryKey: ['operator', 'failed'],
    queryFn: () => api.operator.operations({ state: 'failed', limit: 50 }),
    refetchInterval: POLL_MS,
  });
  return (
    <Loaded query={query} failure={t('operations.loadFailed')}>
      {({ items }) => {
        const dayAgo = now - 24 * 3600_000;
        const recent = items.filter((operation) => Date.parse(operation.createdAt) > dayAgo);
        if (recent.length === 0) {
          return <p className="av-muted aw-pad">{t('fleet.failedNone')}</p>;
        }
        return (
          <>
            <ul className="aw-codes">
              {groupByCode(recent).map((group) => (
                <li key={group.code}>
                  <span className="av-mono">{group.code}</span> {t('operations.times', { count: group.count })}
                </li>
              ))}
            </ul>
            <OperationTable operations={recent.slice(0, 8)} columns={['stack', 'by']} />
          </>
        );
      }}
    </Loaded>
  );
}

function Figures({ overview }: { overview: FleetOverview }) {
  const t = useT();
  const { operations, users, outbox } = overview;
  const oldest = operations.oldestQueuedSeconds;
  const active = users.byState.active ?? 0;
  const pending = users.byState.pending ?? 0;
  return (
    <div className="aw-columns">
      <Panel title={t('fleet.operations')}>
        <Facts
          items={[
            {
              term: t('fleet.queued'),
              value:
                oldest === null
                  ? operations.queued
                  : `${operations.queued} · ${t('fleet.oldest', { duration: formatDuration(oldest * 1000) })}`,
            },
            { term: t('fleet.running'), value: operations.running },
            { term: t('fleet.overdue'), value: operations.overdue },
            { term: t('fleet.doneDay'), value: operations.doneLastDay },
            { term: t('fleet.failedDay'), value: operations.failedLastDay },
          ]}
        />
      </Panel>
      <Panel
        title={t('fleet.people')}
        actions={
          <TextLink to="/console/users" className="av-small">
            {t('nav.users')}
          </TextLink>
        }
      >
        <Facts
          items={[
            { term: t('fleet.users'), value: users.total },
            { term: t('fleet.by.active'), value: active },
            { term: t('fleet.by.pending'), value: pending },
            { term: t('fleet.by.other'), value: users.total - active - pending },
          ]}
        />
      </Panel>
      <Panel
        title={t('fleet.mails')}
        actions={
          <TextLink to="/console/outbox" className="av-small">
            {t('nav.outbox')}
          </TextLink>
        }
      >
        <Facts
          items={[
            { term: t('fleet.mailsQueued'), value: outbox.queued },
            { term: t('fleet.mailsKept'), value: outbox.kept },
            { term: t('fleet.mailsFailed'), value: outbox.failed },
          ]}
        />
      </Panel>
    </div>
  );
}

/** Leads to the alarms, with how many of them nobody has acknowledged. */
function AlarmsLink() {
  const t = useT();
  const query = useQuery(alarmsQuery(useApi()));
  const alarms = unknownAlarms(query.data?.items ?? []);
  const tone = alarms.some(({ severity }) => severity === 'critical') ? 'bad' : 'warn';
  return (
    <LinkButton to="/console/alarms" variant="default" leftSection={<IconBell size={16} aria-hidden />}>
      {t('nav.alarms')}
      {alarms.length === 0 ? null : (
        <span className="aw-badge" data-tone={tone}>
          {alarms.length}
          <span className="av-hidden"> {t('alarms.open', { count: alarms.length })}</span>
        </span>
      )}
    </LinkButton>
  );
}

function Hosts({ look, onLook }: HostsLook) {
  const t = useT();
  const range = look.range ?? DEFAULT_RANGE;
  const query = useQuery({ ...hostUsageQuery(useApi(), range), placeholderData: keepPreviousData });
  return (
    <Loaded query={query} failure={t('usage.hostsFailed')}>
      {({ items }) =>
        items.map((host) => (
          <div key={host.engine} className="aw-gap">
            <Panel
              title={t('usage.host', { name: host.engine })}
              actions={<RangeSwitch range={range} onLook={onLook} />}
            >
              <Warnings usage={host} />
              <UsageSeries series={host} />
            </Panel>
          </div>
        ))
      }
    </Loaded>
  );
}

function Fleet({ overview, look }: { overview: FleetOverview; look: HostsLook }) {
  const t = useT();
  const cells = useCells();
  const { total, asWanted } = overview.stacks;
  return (
    <>
      <PageTitle
        tone={asWanted < total ? 'warn' : 'ok'}
        facts={
          <>
            <strong className="aw-strong">
              {asWanted === total ? t('fleet.allAsWanted') : t('fleet.asWanted', { count: asWanted })}
            </strong>
            <span>
              ·{' '}
              <Sentence text={(time) => t('fleet.counted', { time })}>
                <Time value={overview.at} style="seconds" />
              </Sentence>
            </span>
            <EngineHeadline engines={overview.engines} />
          </>
        }
        actions={<AlarmsLink />}
      >
        {t('fleet.title', { count: total })}
      </PageTitle>
      {total === 0 ? (
        <EmptyState title={t('fleet.empty')}>{t('fleet.emptyBody')}</EmptyState>
      ) : (
        <div className="aw-fleet">
          <StatusCounts overview={overview} />
          <Panel title={t('fleet.cells')}>
            <Loaded query={cells} failure={t('stacks.loadFailed')}>
              {(stacks) => <Cells stacks={stacks} total={total} />}
            </Loaded>
          </Panel>
        </div>
      )}
      <div className="aw-gap">
        <Panel title={t('fleet.needs')} flush>
          <NeedsAPerson overview={overview} />
        </Panel>
      </div>
      {overview.engines.map((engine) => (
        <div key={engine.engine} className="aw-gap">
          <EnginePanel engine={engine} />
        </div>
      ))}
      <div className="aw-gap">
        <CapacityPanel />
      </div>
      <div className="aw-gap">
        <OrphansPanel />
      </div>
      <div className="aw-gap">
        <BackupsPanel />
      </div>
      <Figures overview={overview} />
      <Hosts {...look} />
      <Panel
        title={t('fleet.failed')}
        flush
        actions={
          <TextLink to="/console/operations" search={{ state: 'failed' }} className="av-small">
            {t('nav.operations')}
          </TextLink>
        }
      >
        <Failures />
      </Panel>
    </>
  );
}

export function OverviewPage(look: HostsLook) {
  const t = useT();
  const api = useApi();
  const query = useQuery(overviewQuery(api));
  return (
    <Loaded query={query} shape="page" failure={t('fleet.loadFailed')}>
      {(overview) => <Fleet overview={overview} look={look} />}
    </Loaded>
  );
}
