import { engineTroubles, queueIsOld, STACK_STATUS, type FleetOverview } from '#libs/contracts';
import { formatDuration } from '#libs/ui';
import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { useApi } from '../api/context.js';
import { alarmsQuery } from '../api/queries.js';
import { unknownAlarms } from '../domain/alarms.js';
import { useT } from '../i18n/use-text.js';
import { TextLink } from '../parts/link-button.js';
import { StackPill, useStackReason } from '../parts/stack-words.js';
import { useTroubled } from './fleet-data.js';

/** On the first page; their own page has the others. */
const MOST_ALARMS = 5;

/** What does not mend itself: stacks, the queue, mails, engines, alarms. */
export function NeedsAPerson({ overview }: { overview: FleetOverview }) {
  const t = useT();
  const why = useStackReason();
  const { stacks } = useTroubled();
  const alarms = unknownAlarms(useQuery(alarmsQuery(useApi())).data?.items ?? []);
  const { operations, outbox } = overview;
  const rows: { key: string; tone: string; what: ReactNode; link: ReactNode }[] = [];
  for (const stack of stacks) {
    rows.push({
      key: stack.id,
      tone: STACK_STATUS[stack.status].tone,
      what: (
        <>
          <span className="av-mono">{stack.slug}</span> <StackPill stack={stack} size="sm" /> {why(stack)}
        </>
      ),
      link: (
        <TextLink to="/console/stacks/$slug" params={{ slug: stack.slug }}>
          {t('fleet.look')}
          <span className="av-hidden"> {stack.slug}</span>
        </TextLink>
      ),
    });
  }
  if (queueIsOld(overview)) {
    const duration = formatDuration((operations.oldestQueuedSeconds ?? 0) * 1000);
    rows.push({
      key: 'queue',
      tone: 'bad',
      what: t('fleet.queueOld', { duration }),
      link: (
        <TextLink to="/console/operations" search={{ state: 'queued' }}>
          {t('fleet.look')}
        </TextLink>
      ),
    });
  }
  if (operations.overdue > 0) {
    rows.push({
      key: 'overdue',
      tone: 'warn',
      what: t('fleet.overdueNeeds', { count: operations.overdue }),
      link: (
        <TextLink to="/console/operations" search={{ state: 'running' }}>
          {t('fleet.look')}
        </TextLink>
      ),
    });
  }
  if (outbox.failed > 0) {
    rows.push({
      key: 'mail',
      tone: 'warn',
      what: t('fleet.mailFailed', { count: outbox.failed }),
      link: (
        <TextLink to="/console/outbox" search={{ state: 'failed' }}>
          {t('fleet.look')}
        </TextLink>
      ),
    });
  }
  for (const engine of overview.engines) {
    for (const trouble of engineTroubles(engine, overview.at)) {
      rows.push({
        key: `${engine.engine} ${trouble}`,
        tone: trouble === 'ordersSpent' || trouble === 'lag' ? 'warn' : 'bad',
        what: (
          <>
            {t(`engines.troubles.${trouble}`)} <span className="av-mono av-muted av-small">{engine.engine}</span>
          </>
        ),
        link: (
          <TextLink to="/console/alarms">
            {t('fleet.look')}
            <span className="av-hidden"> {engine.engine}</span>
          </TextLink>
        ),
      });
    }
  }
  for (const { key, code, severity } of alarms.slice(0, MOST_ALARMS)) {
    rows.push({
      key: `alarm ${key}`,
      tone: severity === 'critical' ? 'bad' : 'warn',
      what: (
        <>
          {t(`alarms.kinds.${code}`)} <span className="av-mono av-muted av-small">{key}</span>
        </>
      ),
      link: (
        <TextLink to="/console/alarms">
          {t('fleet.look')}
          <span className="av-hidden"> {key}</span>
        </TextLink>
      ),
    });
  }
  if (rows.length === 0) {
    return <p className="av-muted aw-pad">{t('fleet.needsNone')}</p>;
  }
  return (
    <ul className="aw-needs">
      {rows.map((row) => (
        <li key={row.key} data-tone={row.tone}>
          <span className="aw-needs-what">{row.what}</span>
          {row.link}
        </li>
      ))}
    </ul>
  );
}
