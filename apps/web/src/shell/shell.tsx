import {
  ConnectionDot,
  LanguageSwitch,
  SchemeSwitch,
  useOnline,
  useShortcuts,
  useShortcutSheet,
  useUiText,
  ZoneSwitch,
} from '#libs/ui';
import { ActionIcon, Menu } from '@mantine/core';
import { IconDots, IconKeyboard, IconLogout, IconUserCircle } from '@tabler/icons-react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { Link, Outlet, useNavigate, useRouter, useRouterState } from '@tanstack/react-router';
import { useEffect, useRef } from 'react';
import type { Me } from '#libs/contracts';
import { useApi, useMe, useSession } from '../api/context.js';
import { useFreshness } from '../api/live.js';
import { useT } from '../i18n/use-text.js';
import { Brand } from './brand.js';
import { navOf, type NavItem } from './nav.js';

function NavLinks({ items, compact = false }: { items: readonly NavItem[]; compact?: boolean }) {
  const t = useT();
  return items.map(({ to, text, icon: Icon, exact }) => (
    <Link key={to} to={to} className="aw-nav-link" activeOptions={{ exact, includeSearch: false }}>
      {compact ? <Icon size={20} stroke={1.7} aria-hidden /> : null}
      <span>{t(text)}</span>
    </Link>
  ));
}

function AccountMenu({ me }: { me: Me }) {
  const t = useT();
  const ui = useUiText();
  const api = useApi();
  const queries = useQueryClient();
  const router = useRouter();
  const openSheet = useShortcutSheet();
  const logout = useMutation({
    mutationFn: api.logout,
    onSuccess: async () => {
      queries.clear();
      await router.navigate({ to: '/login' });
    },
  });
  return (
    <Menu position="bottom-end" width={240}>
      <Menu.Target>
        <ActionIcon variant="subtle" size="lg" aria-label={t('nav.account')}>
          <IconUserCircle size={20} stroke={1.7} aria-hidden />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>{t('nav.signedInAs', { name: me.username })}</Menu.Label>
        <Menu.Item leftSection={<IconKeyboard size={16} aria-hidden />} onClick={openSheet}>
          {ui('keys.open')}
        </Menu.Item>
        <Menu.Item leftSection={<IconLogout size={16} aria-hidden />} onClick={() => logout.mutate()}>
          {t('nav.signOut')}
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

/** Four places and the rest under More, within reach of a thumb. */
function BottomBar({ items }: { items: readonly NavItem[] }) {
  const t = useT();
  const navigate = useNavigate();
  const shown = items.length <= 5 ? items : items.slice(0, 4);
  const rest = items.slice(shown.length);
  return (
    <nav className="aw-bottom" aria-label={t('nav.label')}>
      <NavLinks items={shown} compact />
      {rest.length === 0 ? null : (
        <Menu position="top-end">
          <Menu.Target>
            <button type="button" className="aw-nav-link">
              <IconDots size={20} aria-hidden />
              <span>{t('nav.more')}</span>
            </button>
          </Menu.Target>
          <Menu.Dropdown>
            {rest.map(({ to, text, icon: Icon }) => (
              <Menu.Item key={to} leftSection={<Icon size={18} aria-hidden />} onClick={() => void navigate({ to })}>
                {t(text)}
              </Menu.Item>
            ))}
          </Menu.Dropdown>
        </Menu>
      )}
    </nav>
  );
}

/** After a change of page the keyboard continues in the page, not in the link that led there. */
function useFocusOnNavigation(): React.RefObject<HTMLElement | null> {
  const main = useRef<HTMLElement>(null);
  const path = useRouterState({ select: (state) => state.location.pathname });
  const before = useRef(path);
  useEffect(() => {
    if (before.current !== path) {
      before.current = path;
      main.current?.focus({ preventScroll: true });
    }
  }, [path]);
  return main;
}

function Frame({ me }: { me: Me }) {
  const t = useT();
  const ui = useUiText();
  const navigate = useNavigate();
  const freshness = useFreshness();
  const online = useOnline();
  const main = useFocusOnNavigation();
  const { portal, console: operator } = navOf(me.role);
  const all = [...portal, ...operator];
  useShortcuts(
    all.map(({ to, text, key }) => ({
      keys: `g ${key}`,
      label: t('nav.go', { page: t(text) }),
      run: () => void navigate({ to }),
    })),
  );
  return (
    <div className="aw-shell">
      <a href="#content" className="av-skip">
        {ui('skip')}
      </a>
      <header className="aw-header">
        <div className="aw-header-in">
          <Brand label={t('brand')} />
          <nav className="aw-nav" aria-label={t('nav.label')}>
            <NavLinks items={portal} />
            {operator.length === 0 ? null : <span className="aw-nav-line" aria-hidden />}
            <NavLinks items={operator} />
          </nav>
          <div className="aw-tools">
            <ConnectionDot {...freshness} />
            <ZoneSwitch />
            <LanguageSwitch />
            <SchemeSwitch />
            <AccountMenu me={me} />
          </div>
        </div>
      </header>
      {online ? null : <output className="aw-offline">{ui('offlineBanner')}</output>}
      <main id="content" ref={main} tabIndex={-1} className="aw-main">
        <Outlet />
      </main>
      <BottomBar items={me.role === 'operator' ? [...operator.slice(0, 3), ...portal, ...operator.slice(3)] : portal} />
    </div>
  );
}

/** Around every page of a signed-in person. */
export function Shell() {
  const me = useMe();
  const session = useSession();
  const router = useRouter();
  useEffect(() => {
    if (session.phase === 'out') {
      // the guard of the page decides, and remembers where the person was
      void router.invalidate();
    }
  }, [router, session.phase]);
  return me === null ? null : <Frame me={me} />;
}
