import { EQUITY_RANGES, PAIRS } from '#libs/contracts';
import { arrived, EmptyState, ErrorState, Skeletons } from '#libs/ui';
import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from '@tanstack/react-router';
import { isDay } from '../domain/days.js';
import { useT } from '../i18n/i18n.js';
import { BOT_TABS } from '../pages/bot-tab-names.js';
import { HomePage } from '../pages/home.js';
import { ButtonLink } from './button-link.js';
import { Shell } from './shell.js';

/** The value when it is one of the known ones: whatever else stands in an address is ignored. */
function oneOf<T extends string>(known: readonly T[], value: unknown): T | undefined {
  return known.find((one) => one === value);
}
function id(value: unknown): string | undefined {
  return typeof value === 'string' && /^[0-9a-f-]{36}$/i.test(value) ? value : undefined;
}
function day(value: unknown): string | undefined {
  return isDay(value) ? value : undefined;
}
/** Only what is set: an absent part must not appear in the address as `undefined`. */
function present<T extends object>(parts: T): Partial<T> {
  return Object.fromEntries(Object.entries(parts).filter(([, value]) => value !== undefined)) as Partial<T>;
}

function NotFound() {
  const t = useT();
  return (
    <EmptyState title={t('common.notFound')} action={<ButtonLink to="/">{t('common.toHome')}</ButtonLink>}>
      {t('common.notFoundText')}
    </EmptyState>
  );
}

function Broken({ error, reset }: { error: unknown; reset: () => void }) {
  const t = useT();
  return <ErrorState error={error} title={t('common.failed')} onRetry={reset} />;
}

const root = createRootRoute({ component: Shell, notFoundComponent: NotFound });

const home = createRoute({
  getParentRoute: () => root,
  path: '/',
  component: HomePage,
  validateSearch: (search: Record<string, unknown>) => present({ range: oneOf(EQUITY_RANGES, search['range']) }),
});
const bots = createRoute({
  getParentRoute: () => root,
  path: '/bots',
  component: lazyRouteComponent(() => arrived(import('../pages/bots.js')), 'BotsPage'),
});
const newGrid = createRoute({
  getParentRoute: () => root,
  path: '/bots/new',
  component: lazyRouteComponent(() => arrived(import('../pages/new-grid.js')), 'NewGridPage'),
  validateSearch: (search: Record<string, unknown>) =>
    present({
      preset: oneOf(['narrow', 'balanced', 'wide'], search['preset']),
      pair: oneOf(PAIRS, search['pair']),
      clone: id(search['clone']),
    }),
});
const bot = createRoute({
  getParentRoute: () => root,
  path: '/bots/$id',
  component: lazyRouteComponent(() => arrived(import('../pages/bot.js')), 'BotPage'),
  validateSearch: (search: Record<string, unknown>) =>
    present({ range: oneOf(EQUITY_RANGES, search['range']), tab: oneOf(BOT_TABS, search['tab']) }),
});
const trades = createRoute({
  getParentRoute: () => root,
  path: '/trades',
  component: lazyRouteComponent(() => arrived(import('../pages/trades.js')), 'TradesPage'),
  validateSearch: (search: Record<string, unknown>) =>
    present({
      bot: id(search['bot']),
      pair: oneOf(PAIRS, search['pair']),
      side: oneOf(['buy', 'sell'], search['side']),
      from: day(search['from']),
      to: day(search['to']),
    }),
});
const settings = createRoute({
  getParentRoute: () => root,
  path: '/settings',
  component: lazyRouteComponent(() => arrived(import('../pages/settings.js')), 'SettingsPage'),
});

export const router = createRouter({
  routeTree: root.addChildren([home, bots, newGrid, bot, trades, settings]),
  defaultPreload: 'intent',
  defaultPendingComponent: () => <Skeletons shape="page" />,
  defaultErrorComponent: Broken,
  scrollRestoration: true,
});

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router;
  }
}
