import { USAGE_RANGES, type HostUsage, type StackUsage, type UsageRange } from '#libs/contracts';
import { Facts, formatDecimal, LineChart, Panel, Skeletons, Time, useLocale, useZone } from '#libs/ui';
import { Button, SegmentedControl, useComputedColorScheme } from '@mantine/core';
import { useMediaQuery } from '@mantine/hooks';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Suspense, useMemo, useState } from 'react';
import { useApi } from '../api/context.js';
import { usageQuery } from '../api/queries.js';
import { BYTE_MARKS, byteParts, lineOf, USAGE_CHARTS, type UsageChart } from '../domain/usage.js';
import type { Look, RangeLook } from '../domain/stack-look.js';
import { useT } from '../i18n/use-text.js';
import { Loaded } from './loaded.js';

/** Stands in no address. */
export const DEFAULT_RANGE: UsageRange = 'day';

type Series = StackUsage | HostUsage['items'][number];

/** What a stack uses: now, over time, and what is near its limit. */
export function UsagePanel({ slug, look, onLook }: { slug: string } & Look) {
  const t = useT();
  const range = look.range ?? DEFAULT_RANGE;
  const query = useQuery({ ...usageQuery(useApi(), slug, range), placeholderData: keepPreviousData });
  return (
    <Panel title={t('usage.title')} actions={<RangeSwitch range={range} onLook={onLook} />}>
      <Loaded query={query} failure={t('usage.loadFailed')}>
        {(usage) => (
          <>
            <Warnings usage={usage} growth={usage.growth} />
            <UsageSeries series={usage} />
          </>
        )}
      </Loaded>
    </Panel>
  );
}

export function RangeSwitch({ range, onLook }: { range: UsageRange; onLook: (change: RangeLook) => void }) {
  const t = useT();
  return (
    <SegmentedControl
      size="xs"
      aria-label={t('usage.range')}
      value={range}
      onChange={(value) => onLook({ range: value === DEFAULT_RANGE ? undefined : (value as UsageRange) })}
      data={USAGE_RANGES.map((value) => ({ value, label: t(`usage.ranges.${value}`) }))}
    />
  );
}

/** Figures of now and one chart of the four. */
export function UsageSeries({ series }: { series: Series }) {
  const t = useT();
  const [chart, setChart] = useState<UsageChart>('memory');
  const [asTable, setAsTable] = useState(false);
  const line = useMemo(() => lineOf(series.points, chart, series.stepSeconds), [series, chart]);
  if (series.points.length === 0) {
    return <p className="av-muted">{t('usage.nothing')}</p>;
  }
  return (
    <>
      <Now series={series} />
      <div className="aw-usage-tools">
        <SegmentedControl
          size="xs"
          aria-label={t('usage.chart')}
          value={chart}
          onChange={(value) => setChart(value as UsageChart)}
          data={USAGE_CHARTS.map((value) => ({ value, label: t(`usage.charts.${value}`) }))}
        />
        <Button variant="subtle" size="compact-xs" onClick={() => setAsTable(!asTable)}>
          {asTable ? t('usage.asChart') : t('usage.asTable')}
        </Button>
      </div>
      {asTable ? <Table line={line} chart={chart} /> : <Drawing line={line} chart={chart} limits={series.limits} />}
    </>
  );
}

function useWords(): {
  bytes: (value: number) => string;
  figure: (value: number) => string;
  of: (chart: UsageChart) => (value: number) => string;
} {
  const t = useT();
  const locale = useLocale();
  return useMemo(() => {
    const words = (value: string): string => formatDecimal(value, { locale });
    const bytes = (value: number): string => {
      const parts = byteParts(value);
      return `${words(parts.value)} ${parts.unit}`;
    };
    const figure = (value: number): string => words(String(Number(value.toFixed(3))));
    return {
      bytes,
      figure,
      of: (chart) =>
        ({
          memory: bytes,
          disk: bytes,
          network: (value: number) => t('usage.perSecond', { value: bytes(value) }),
          cpu: (value: number) => t('usage.cores', { value: figure(value) }),
        })[chart],
    };
  }, [t, locale]);
}

function Now({ series: { latest, limits } }: { series: Series }) {
  const t = useT();
  const words = useWords();
  if (latest === null || limits === null) {
    return <p className="av-muted">{t('usage.noNews')}</p>;
  }
  const of = (used: string, limit: string): string => t('usage.of', { used, limit });
  return (
    <Facts
      items={[
        { term: t('usage.charts.memory'), value: of(words.bytes(latest.memoryBytes), words.bytes(limits.memoryBytes)) },
        {
          term: t('usage.charts.cpu'),
          value:
            latest.cpu === null
              ? t('usage.notYet')
              : of(words.figure(latest.cpu), t('stack.cpus', { count: limits.cpus })),
        },
        {
          term: t('usage.charts.disk'),
          value:
            latest.diskBytes === null
              ? t('usage.notYet')
              : of(words.bytes(latest.diskBytes), words.bytes(limits.diskBytes)),
        },
        { term: t('usage.measured'), value: <Time value={latest.at} /> },
      ]}
    />
  );
}

/** What is near its limit, in words; colour only repeats them. */
export function Warnings({ usage, growth = [] }: { usage: Pick<Series, 'alerts'>; growth?: StackUsage['growth'] }) {
  const t = useT();
  const words = useWords();
  if (usage.alerts.length === 0 && growth.length === 0) {
    return null;
  }
  return (
    <ul className="aw-usage-alerts">
      {usage.alerts.map(({ resource, level, percent, service }) => (
        <li key={`${resource} ${service ?? ''}`} data-tone={level}>
          {t(`usage.alerts.${level}`, {
            what: service === null ? t(`usage.charts.${resource}`) : t('usage.memoryOf', { service }),
            percent,
          })}
        </li>
      ))}
      {growth.map(({ service, bytesPerHour, hoursLeft }) => (
        <li key={`growth ${service}`} data-tone="warn">
          {t('usage.growth', { service, pace: words.bytes(bytesPerHour), count: Math.max(1, Math.round(hoursLeft)) })}
        </li>
      ))}
    </ul>
  );
}

interface LineProps {
  line: readonly { at: number; value: number | null }[];
  chart: UsageChart;
}

/** A phone keeps 240 px for a chart too; a desk has no more to say in it. */
const HEIGHT = 240;

function Drawing({ line, chart, limits }: LineProps & { limits: Series['limits'] }) {
  const t = useT();
  const words = useWords();
  const locale = useLocale();
  const { name: timeZone } = useZone();
  const scheme = useComputedColorScheme('light');
  const phone = useMediaQuery('(max-width: 640px)', false, { getInitialValueInEffect: false });
  const zone = useMemo(() => ({ timeZone, locale: locale === 'en' ? 'en-GB' : locale }), [timeZone, locale]);
  const format = words.of(chart);
  const values = line.map(({ value }) => value).filter((value) => value !== null);
  const limit =
    limits === null
      ? undefined
      : { cpu: limits.cpus, memory: limits.memoryBytes, disk: limits.diskBytes, network: undefined }[chart];
  const highest = Math.max(0, ...values);
  return (
    <Suspense fallback={<Skeletons shape="rows" count={phone ? 2 : 3} />}>
      <LineChart
        points={line}
        format={format}
        // far away it would press the line to the floor; the words above name it
        {...(limit !== undefined && highest > limit / 3 ? { limit } : {})}
        {...(chart === 'cpu' ? {} : { marks: BYTE_MARKS })}
        zone={zone}
        scheme={scheme}
        height={HEIGHT}
        summary={t('usage.summary', {
          what: t(`usage.charts.${chart}`),
          low: format(Math.min(...(values.length === 0 ? [0] : values))),
          high: format(highest),
        })}
      />
    </Suspense>
  );
}

function Table({ line, chart }: LineProps) {
  const t = useT();
  const format = useWords().of(chart);
  return (
    // a scrolling region must be reachable by keyboard
    // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <section className="aw-usage-table" tabIndex={0} aria-label={t(`usage.charts.${chart}`)}>
      <table>
        <thead>
          <tr>
            <th scope="col">{t('usage.time')}</th>
            <th scope="col">{t(`usage.charts.${chart}`)}</th>
          </tr>
        </thead>
        <tbody>
          {line
            .filter(({ value }) => value !== null)
            .toReversed()
            .map(({ at, value }) => (
              <tr key={at}>
                <td>
                  <Time value={new Date(at * 1_000).toISOString()} />
                </td>
                <td>{format(value ?? 0)}</td>
              </tr>
            ))}
        </tbody>
      </table>
    </section>
  );
}
