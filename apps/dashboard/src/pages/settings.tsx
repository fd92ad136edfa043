import { Copyable, PageTitle, Panel, useZone, zoneLabel, type ZoneChoice } from '#libs/ui';
import { SegmentedControl, useMantineColorScheme, type MantineColorScheme } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { marketQuery, meQuery } from '../api/queries.js';
import { useTitle } from '../app/use-title.js';
import { useT } from '../i18n/i18n.js';
import { Tokens } from './tokens.js';

export function SettingsPage() {
  const t = useT();
  useTitle(t('settings.title'));
  return (
    <>
      <PageTitle tone="work">{t('settings.title')}</PageTitle>
      <div className="settings">
        <Tokens />
        <Appearance />
        <About />
      </div>
    </>
  );
}

const SCHEMES = ['auto', 'light', 'dark'] as const satisfies readonly MantineColorScheme[];

function Appearance() {
  const t = useT();
  const zone = useZone();
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  return (
    <Panel title={t('settings.appearance')}>
      <div className="grid-fields">
        <div>
          <span className="field-label" id="zone-label">
            {t('zone.label')}
          </span>
          <SegmentedControl
            aria-labelledby="zone-label"
            value={zone.choice}
            onChange={(value) => zone.setChoice(value as ZoneChoice)}
            data={[
              { value: 'local', label: t('zone.local', { zone: zoneLabel('local') }) },
              { value: 'utc', label: t('zone.utc') },
            ]}
          />
          <p className="av-muted av-small">{t('settings.zoneText')}</p>
        </div>
        <div>
          <span className="field-label" id="scheme-label">
            {t('theme.label')}
          </span>
          <SegmentedControl
            aria-labelledby="scheme-label"
            value={colorScheme}
            onChange={(value) => setColorScheme(value as MantineColorScheme)}
            data={SCHEMES.map((value) => ({ value, label: t(`theme.${value}`) }))}
          />
        </div>
      </div>
    </Panel>
  );
}

function About() {
  const t = useT();
  const { data: me } = useQuery(meQuery());
  const { data: market } = useQuery(marketQuery());
  return (
    <Panel title={t('settings.about')}>
      {me === undefined ? null : (
        <p>
          {t('settings.stack')} <Copyable value={me.slug} /> · {t('settings.release', { release: me.release })}
          {market === undefined ? null : <> · {t('settings.source', { source: t(`sources.${market.sourceCode}`) })}</>}
        </p>
      )}
      <p className="av-muted av-small">
        {t('settings.chartsNotice')}{' '}
        <a href="https://www.tradingview.com/" target="_blank" rel="noreferrer">
          {t('settings.chartsLink')}
        </a>
      </p>
    </Panel>
  );
}
