import {
  IconActivity,
  IconArchive,
  IconBell,
  IconChartDots3,
  IconListCheck,
  IconMailbox,
  IconServer2,
  IconShieldCheck,
  IconStack2,
  IconUsers,
  IconVersions,
  type Icon,
} from '@tabler/icons-react';
import type { Role } from '#libs/contracts';

export interface NavItem {
  to:
    | '/app'
    | '/app/backups'
    | '/app/activity'
    | '/console'
    | '/console/stacks'
    | '/console/operations'
    | '/console/alarms'
    | '/console/backups'
    | '/console/releases'
    | '/console/users'
    | '/console/outbox';
  text:
    | 'nav.stack'
    | 'nav.backups'
    | 'nav.activity'
    | 'nav.fleet'
    | 'nav.stacks'
    | 'nav.operations'
    | 'nav.alarms'
    | 'nav.allBackups'
    | 'nav.releases'
    | 'nav.users'
    | 'nav.outbox';
  icon: Icon;
  /** Second key after `g`. */
  key: string;
  /** Only its own address marks it, not those below. */
  exact: boolean;
}

const PORTAL: readonly NavItem[] = [
  { to: '/app', text: 'nav.stack', icon: IconStack2, key: 's', exact: true },
  { to: '/app/backups', text: 'nav.backups', icon: IconShieldCheck, key: 'b', exact: false },
  { to: '/app/activity', text: 'nav.activity', icon: IconActivity, key: 'a', exact: false },
];
const CONSOLE: readonly NavItem[] = [
  { to: '/console', text: 'nav.fleet', icon: IconChartDots3, key: 'f', exact: true },
  { to: '/console/stacks', text: 'nav.stacks', icon: IconServer2, key: 't', exact: false },
  { to: '/console/operations', text: 'nav.operations', icon: IconListCheck, key: 'o', exact: false },
  { to: '/console/alarms', text: 'nav.alarms', icon: IconBell, key: 'l', exact: false },
  { to: '/console/backups', text: 'nav.allBackups', icon: IconArchive, key: 'k', exact: false },
  { to: '/console/releases', text: 'nav.releases', icon: IconVersions, key: 'r', exact: false },
  { to: '/console/users', text: 'nav.users', icon: IconUsers, key: 'u', exact: false },
  { to: '/console/outbox', text: 'nav.outbox', icon: IconMailbox, key: 'm', exact: false },
];

export function navOf(role: Role): { portal: readonly NavItem[]; console: readonly NavItem[] } {
  return { portal: PORTAL, console: role === 'operator' ? CONSOLE : [] };
}
