import type { EngineFigures, EngineStanding } from '#libs/contracts';
import { Facts, formatDuration, Panel, Since, Time } from '#libs/ui';
import type { ReactNode } from 'react';
import { newsOfEngines } from '../domain/fleet.js';
import { useT } from '../i18n/use-text.js';
import { Sentence } from '../parts/sentence.js';

/** Beside the count of stacks: how long the newest look at everything took and when, and whether routes are served. */
export function EngineHeadline({ engines }: { engines: readonly EngineStanding[] }) {
  const t = useT();
  const { pass, routes } = newsOfEngines(engines);
  return (
    <>
      {pass === null ? null : (
        <span>
          ·{' '}
          <Sentence text={(time) => t('engines.passAt', { took: formatDuration(pass.seconds * 1_000), time })}>
            <Time value={pass.at} style="seconds" />
          </Sentence>
        </span>
      )}
      {routes === null ? null : <span>· {t('engines.routesServed', routes)}</span>}
    </>
  );
}

/** A figure, and as of when it was so. */
function Dated({ value, at }: { value: ReactNode; at: string }) {
  return (
    <>
      {value}{' '}
      <span className="av-muted av-small">
        <Since value={at} />
      </span>
    </>
  );
}

function useFigures(): (figures: EngineFigures) => { term: string; value: ReactNode }[] {
  const t = useT();
  return ({ at, pass, reconcileLagSeconds, routes, proxyRepairs, routeLagMs, acme }) => [
    {
      term: t('engines.pass'),
      value:
        pass === null ? (
          t('engines.notKnown')
        ) : (
          <Dated
            value={t('engines.passOver', { took: formatDuration(pass.seconds * 1_000), count: pass.stacks })}
            at={pass.at}
          />
        ),
    },
    {
      term: t('engines.lag'),
      value: <Dated value={formatDuration(reconcileLagSeconds * 1_000)} at={at} />,
    },
    {
      term: t('engines.routes'),
      value:
        routes === null ? (
          t('engines.notKnown')
        ) : (
          <Dated
            value={
              routes.served === null
                ? t('engines.proxySilent', { rendered: routes.rendered })
                : t('engines.servedOf', { served: routes.served, rendered: routes.rendered })
            }
            at={routes.at}
          />
        ),
    },
    {
      term: t('engines.routeLag'),
      value: routeLagMs === null ? t('engines.notKnown') : <Dated value={formatDuration(routeLagMs)} at={at} />,
    },
    { term: t('engines.repairs'), value: <Dated value={t('engines.repairsBy', proxyRepairs)} at={at} /> },
    ...(acme?.certificates ?? []).map(({ name, issued, failed, nextAt }) => ({
      term: t('engines.orders', { name }),
      value: (
        <>
          {t('engines.ordersLeft', { issued: issued.left, of: issued.of, failed: failed.left, ofFailed: failed.of })}
          {nextAt === null ? null : (
            <>
              {' '}
              <Sentence text={(time) => t('engines.nextOrder', { time })}>
                <Time value={nextAt} />
              </Sentence>
            </>
          )}
        </>
      ),
    })),
    ...(acme ? [{ term: t('engines.ordersShared'), value: t('engines.sharedLeft', acme.shared) }] : []),
  ];
}

/** Who works on an engine and who would take over, and what its agent last said of itself. */
export function EnginePanel({ engine: { engine, seenAt, lease, standBy, figures } }: { engine: EngineStanding }) {
  const t = useT();
  const told = useFigures();
  const owner = (name: string): ReactNode => <span className="av-mono av-small aw-owner">{name}</span>;
  return (
    <Panel title={t('engines.title', { name: engine })}>
      <Facts
        items={[
          {
            term: t('engines.worker'),
            value:
              lease === null ? (
                t('engines.nobodyYet')
              ) : lease.held ? (
                <>
                  {owner(lease.owner)}{' '}
                  <Sentence text={(time) => t('stack.since', { time })}>
                    <Time value={lease.takenAt} />
                  </Sentence>
                </>
              ) : (
                <Sentence text={(time) => t('engines.ranOut', { time })}>
                  <Time value={lease.expiresAt} style="seconds" />
                </Sentence>
              ),
          },
          {
            term: t('engines.standBy'),
            value:
              standBy.length === 0
                ? t('engines.nobody')
                : standBy.map((agent) => (
                    <div key={agent.owner}>
                      <Dated value={owner(agent.owner)} at={agent.seenAt} />
                    </div>
                  )),
          },
          { term: t('engines.seen'), value: <Since value={seenAt} /> },
          ...(figures === null ? [{ term: t('engines.figures'), value: t('engines.notKnown') }] : told(figures)),
        ]}
      />
    </Panel>
  );
}
