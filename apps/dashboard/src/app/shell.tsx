import { ConnectionDot, SchemeSwitch, Time, ZoneSwitch, useCommands, useShortcuts } from '#libs/ui';
import { IconChartLine, IconExternalLink, IconHistory, IconHome, IconSettings, type Icon } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { Link, Outlet, useNavigate, useRouterState } from '@tanstack/react-router';
import { useEffect, useRef } from 'react';
import { botsQuery, meQuery, overviewQuery } from '../api/queries.js';
import { useFreshness } from '../api/use-stream.js';
import { useT } from '../i18n/i18n.js';

const PAGES = [
  { to: '/', key: 'home', keys: 'g h', icon: IconHome },
  { to: '/bots', key: 'bots', keys: 'g b', icon: IconChartLine },
  { to: '/trades', key: 'trades', keys: 'g t', icon: IconHistory },
  { to: '/settings', key: 'settings', keys: 'g s', icon: IconSettings },
] as const satisfies readonly { to: string; key: string; keys: string; icon: Icon }[];

/** The frame of every page: mode, navigation, how fresh things are. */
export function Shell() {
  const t = useT();
  const navigate = useNavigate();
  const main = useRef<HTMLElement>(null);
  const freshness = useFreshness();
  useShortcuts([
    ...PAGES.map((page) => ({
      keys: page.keys,
      label: t('nav.goTo', { page: t(`nav.${page.key}`) }),
      run: () => void navigate({ to: page.to }),
    })),
    { keys: 'n', label: t('home.newBot'), run: () => void navigate({ to: '/bots/new' }) },
  ]);
  const { data: bots } = useQuery({ ...botsQuery(), enabled: false });
  useCommands(
    (bots?.items ?? []).map((bot) => ({
      label: t('nav.openBot', { name: bot.name }),
      run: () => void navigate({ to: '/bots/$id', params: { id: bot.id } }),
    })),
  );
  useFocusOnNewPage(main);
  return (
    <div className="frame" data-mode="paper">
      <a href="#content" className="av-skip">
        {t('app.skip')}
      </a>
      <section className="mode-strip" aria-label={t('app.mode')}>
        <strong>{t('app.paper')}</strong> <span>{t('app.paperHint')}</span>
      </section>
      <header className="top">
        <Link to="/" className="brand">
          <span className="brand-rungs" aria-hidden>
            <i />
            <i />
            <i />
          </span>
          {t('app.name')}
        </Link>
        <nav className="nav" aria-label={t('nav.label')}>
          {PAGES.map((page) => (
            <Link
              key={page.to}
              to={page.to}
              activeOptions={{ exact: page.to === '/', includeSearch: false }}
              className="nav-link"
              activeProps={{ 'aria-current': 'page' }}
            >
              <page.icon size={20} aria-hidden className="nav-icon" />
              {t(`nav.${page.key}`)}
            </Link>
          ))}
        </nav>
        <div className="top-tools">
          <ConnectionDot liveness={freshness.liveness} heardAt={freshness.asOf} />
          <ZoneSwitch />
          <SchemeSwitch />
          <PortalLink />
        </div>
      </header>
      <Banner />
      <main
        id="content"
        ref={main}
        tabIndex={-1}
        className="content"
        data-stale={freshness.liveness === 'stale' || undefined}
      >
        <Outlet />
      </main>
    </div>
  );
}

/** A new page is announced by moving the focus to it; the first one leaves it where the browser put it. */
function useFocusOnNewPage(main: { readonly current: HTMLElement | null }): void {
  const path = useRouterState({ select: (state) => state.location.pathname });
  const first = useRef(path);
  useEffect(() => {
    if (first.current !== path) {
      first.current = '';
      main.current?.focus({ preventScroll: true });
    }
  }, [path, main]);
}

/** The portal is another place: that it may be away is no fault here, and no bot waits for it. */
function PortalLink() {
  const t = useT();
  const { data: me } = useQuery(meQuery());
  const { data: overview } = useQuery(overviewQuery());
  return me === undefined ? null : (
    <span className="portal-place">
      <a href={me.portalUrl} className="portal-link" title={t('nav.portalHint')}>
        {t('nav.portal')}
        <IconExternalLink size={16} aria-hidden />
      </a>
      {/* always there, so that what appears in it is read out */}
      <output className="portal-away">{overview?.portalAwaySince ? t('nav.portalAway') : null}</output>
    </span>
  );
}

function Banner() {
  const t = useT();
  const { liveness, asOf } = useFreshness();
  if (liveness !== 'offline' && (liveness !== 'stale' || asOf === null)) {
    return null;
  }
  return (
    <output className="banner">
      {liveness === 'offline' ? t('live.offline') : t('live.stale')}
      {asOf === null ? null : (
        <>
          {' '}
          {t('live.asOf')} <Time value={new Date(asOf).toISOString()} style="seconds" />.
        </>
      )}
    </output>
  );
}
