import { Amount, Copyable, CopyButton, EmptyState, Facts, PageTitle, Panel, Since, StatusPill, Time } from '#libs/ui';
import { LAYER_STATUS, STACK_STATUS, type StackNext, type StackView } from '#libs/contracts';
import { useQuery } from '@tanstack/react-query';
import { useApi, useMe } from '../api/context.js';
import { useOperationStream, useStackStream } from '../api/live.js';
import { operationsQuery } from '../api/queries.js';
import { offerName } from '../domain/releases.js';
import type { Look } from '../domain/stack-look.js';
import { useT } from '../i18n/use-text.js';
import { BackupStanding } from './backup-words.js';
import { TextLink } from './link-button.js';
import { DomainPanel } from './domain-panel.js';
import { HeldTrading } from './held-trading.js';
import { LogPanel } from './log-panel.js';
import { Loaded } from './loaded.js';
import { OpenOperation } from './open-operation.js';
import { OperationTable } from './operation-table.js';
import { Sentence } from './sentence.js';
import { StackActions } from './stack-actions.js';
import { StackPill, useStackReason, useWarningText } from './stack-words.js';
import { ToBackups } from './to-backups.js';
import { UsagePanel } from './usage-panel.js';

function Headline({ stack }: { stack: StackView }) {
  const t = useT();
  return (
    <>
      <StackPill stack={stack} size="lg" />
      <span>
        <Sentence text={(time) => t('stack.since', { time })}>
          <Time value={stack.since} />
        </Sentence>
      </span>
      <span aria-hidden>·</span>
      <span>
        {stack.checkedAt === null ? (
          t('stack.neverChecked')
        ) : (
          <Sentence text={(ago) => t('stack.checked', { ago })}>
            <Since value={stack.checkedAt} />
          </Sentence>
        )}
      </span>
    </>
  );
}

function Reason({ stack }: { stack: StackView }) {
  const t = useT();
  const holds = stack.holds.map((hold) => t(`stack.holds.${hold}`));
  const why = useStackReason()(stack);
  const known = why !== null || holds.length > 0;
  if (!known && stack.next === null) {
    return null;
  }
  return (
    <section className="av-panel aw-reason-panel" data-tone={STACK_STATUS[stack.status].tone}>
      {known ? (
        <div>
          <strong>{t('stack.why')}</strong>
          <p>{why ?? t('stack.hold', { reasons: holds.join(', ') })}</p>
          {stack.holdNote === null ? null : <p>{t('stack.note', { note: stack.holdNote })}</p>}
          {why !== null && holds.length > 0 ? (
            <p className="av-muted">{t('stack.hold', { reasons: holds.join(', ') })}</p>
          ) : null}
          {stack.reasonCode === 'DATA_MISSING' && stack.desired !== 'deleted' ? (
            <ToBackups slug={stack.slug}>{t('backups.restore')}</ToBackups>
          ) : null}
        </div>
      ) : null}
      {stack.next === null ? null : (
        <div>
          <strong>{t('stack.nextTitle')}</strong>
          <p>{stack.reasonCode === 'DATA_MISSING' ? t('backups.nextRestore') : <Next next={stack.next} />}</p>
        </div>
      )}
    </section>
  );
}

function Next({ next: { kind, at, attempt } }: { next: StackNext }) {
  const t = useT();
  if (at !== null) {
    return (
      <Sentence
        text={(time) =>
          attempt === null ? t('stack.nextRetryAt', { time }) : t('stack.nextRepairAt', { time, ...attempt })
        }
      >
        <Time value={at} style="seconds" />
      </Sentence>
    );
  }
  return kind === 'repair' && attempt !== null ? t('stack.nextRepair', attempt) : t(`stack.next.${kind}`);
}

/** Which part of it works and which does not, while anything is known of them. */
function Layers({ stack: { layers } }: { stack: StackView }) {
  const t = useT();
  if (layers.every(({ state }) => state === 'unknown' || state === 'off')) {
    return null;
  }
  return (
    <section className="av-panel aw-layers" aria-label={t('stack.layersTitle')}>
      <ul>
        {layers.map(({ layer, state }) => (
          <li key={layer}>
            <span className="av-small av-muted">{t(`stack.layers.${layer}`)}</span>
            <StatusPill status={LAYER_STATUS[state]} size="sm" />
          </li>
        ))}
      </ul>
    </section>
  );
}

/** What is to be known although it goes on: what, since when, what to do. */
function Warnings({ stack }: { stack: StackView }) {
  const t = useT();
  const text = useWarningText();
  return stack.warnings.map((warning) => (
    <section key={warning.code} className="av-panel aw-warning" data-tone={warning.level} data-code={warning.code}>
      <p>{text(warning)}</p>
      {warning.code !== 'DISK_FULL' && warning.code !== 'HOST_DISK_FULL' ? null : (
        <p>
          {warning.heldSince === null ? (
            t('stack.warningNotHeld')
          ) : (
            <Sentence text={(time) => t('stack.warningHeld', { time })}>
              <Time value={warning.heldSince} />
            </Sentence>
          )}
        </p>
      )}
      <p className="av-muted">
        <Sentence text={(time) => t('stack.warningFrom', { time })}>
          <Time value={warning.since} />
        </Sentence>{' '}
        <Sentence text={(ago) => t('stack.warningSeen', { ago })}>
          <Since value={warning.seenAt} />
        </Sentence>
      </p>
    </section>
  ));
}

/** With a quiet word that there is a newer one; while an operation is open there is enough to follow. */
function Release({ stack }: { stack: StackView }) {
  const t = useT();
  const version = stack.openOperation === null ? offerName(stack) : null;
  return (
    <>
      {stack.release}
      {version === null ? null : (
        <span className="aw-below aw-offer av-muted av-small">{t('stack.upgradeReady', { version })}</span>
      )}
    </>
  );
}

function Trading({ stack }: { stack: StackView }) {
  const t = useT();
  const { heartbeat, limits } = stack;
  if (heartbeat === null) {
    return <p className="av-muted">{t('stack.noReport')}</p>;
  }
  return (
    <>
      <Facts
        items={[
          {
            term: t('stack.equity'),
            value: (
              <span className="aw-figure">
                <Amount value={heartbeat.equity} tick="0.01" unit="USDT" />
              </span>
            ),
          },
          { term: t('stack.bots'), value: t('stack.running', { count: heartbeat.runningBots }) },
          { term: t('stack.openOrders'), value: heartbeat.openOrders },
        ]}
      />
      <UseBar used={heartbeat.bots} of={limits.bots} />
      <p className="av-muted av-small aw-foot">
        <Sentence text={(ago) => t('stack.reported', { ago })}>
          <Since value={heartbeat.at} />
        </Sentence>
      </p>
    </>
  );
}

/** Bots in use as rungs, for plans with few enough to draw; the words say the same. */
function UseBar({ used, of }: { used: number; of: number }) {
  const t = useT();
  return (
    <div className="aw-use">
      {of <= 40 ? (
        <span className="av-bar" aria-hidden>
          {Array.from({ length: of }, (_unused, index) => (
            // oxlint-disable-next-line react/no-array-index-key
            <i key={index} data-state={index < used ? 'done' : 'pending'} />
          ))}
        </span>
      ) : null}
      <span className="av-small">
        {t('stack.bots')} {t('stack.botsOf', { used, count: of })}
      </span>
    </div>
  );
}

function Recent({ stack }: { stack: StackView }) {
  const t = useT();
  const query = useQuery(operationsQuery(useApi(), { slug: stack.slug, limit: 5 }));
  return (
    <Panel
      title={t('stack.recent')}
      flush
      actions={
        <TextLink to="/app/activity" search={{ slug: stack.slug }} className="av-small">
          {t('stack.all')}
        </TextLink>
      }
    >
      <Loaded query={query} failure={t('operations.loadFailed')}>
        {({ items }) =>
          items.length === 0 ? (
            <EmptyState title={t('operations.empty')}>{t('stack.noOperations')}</EmptyState>
          ) : (
            <OperationTable operations={items} columns={[]} />
          )
        }
      </Loaded>
    </Panel>
  );
}

/** Everything about one stack; the owner's page and the operator's are this one. */
export function StackDetail({ stack, ...look }: { stack: StackView } & Look) {
  const t = useT();
  const me = useMe();
  useStackStream(stack.slug);
  useOperationStream(stack.openOperation);
  const own = me?.username === stack.owner;
  const { limits } = stack;
  return (
    <>
      <PageTitle
        tone={STACK_STATUS[stack.status].tone}
        mono
        facts={<Headline stack={stack} />}
        actions={<StackActions key={stack.slug} stack={stack} />}
      >
        {stack.slug}
      </PageTitle>
      {stack.openOperation === null ? null : <OpenOperation operation={stack.openOperation} />}
      <Reason stack={stack} />
      <Layers stack={stack} />
      <HeldTrading stack={stack} />
      <Warnings stack={stack} />
      <div className="aw-columns aw-stack-columns">
        <Panel title={stack.name === '' ? stack.slug : stack.name}>
          <Facts
            items={[
              {
                term: t('stack.address'),
                value: (
                  <span className="av-copyable">
                    <span className="aw-url">{stack.dashboardUrl}</span>
                    <CopyButton value={stack.dashboardUrl} label={t('stack.copyUrl')} />
                  </span>
                ),
              },
              { term: t('stack.api'), value: <Copyable value={stack.apiUrl} label={t('stack.copyUrl')} /> },
              { term: t('backups.title'), value: <BackupStanding stack={stack} /> },
              { term: t('stack.release'), value: <Release stack={stack} /> },
              { term: t('stack.created'), value: <Time value={stack.createdAt} style="date" /> },
              ...(own
                ? []
                : [
                    { term: t('stack.owner'), value: stack.owner },
                    { term: t('stack.wanted'), value: t(`stack.desired.${stack.desired}`) },
                    { term: t('stack.engine'), value: stack.engine },
                    { term: t('stack.template'), value: stack.template },
                    { term: t('stack.id'), value: <Copyable value={stack.id} text={`…${stack.id.slice(-8)}`} /> },
                  ]),
            ]}
          />
        </Panel>
        <Panel title={t('stack.trading')}>
          <Trading stack={stack} />
        </Panel>
        <Panel title={own ? t('stack.limits') : t('stack.limitsOperator')}>
          <Facts
            items={[
              { term: t('stack.cpu'), value: t('stack.cpus', { count: limits.cpus }) },
              { term: t('stack.memory'), value: t('stack.megabytes', { value: limits.memoryMb }) },
              { term: t('stack.disk'), value: t('stack.gigabytes', { value: limits.diskGb }) },
              { term: t('stack.bots'), value: t('stack.upTo', { count: limits.bots }) },
            ]}
          />
        </Panel>
      </div>
      <div className="aw-gap">
        <DomainPanel slug={stack.slug} />
      </div>
      <div className="aw-gap">
        <UsagePanel slug={stack.slug} {...look} />
      </div>
      <div className="aw-gap">
        <LogPanel stack={stack} {...look} />
      </div>
      <Recent stack={stack} />
    </>
  );
}
