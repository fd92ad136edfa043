import { OPERATION_STATES, outboxMailSchema, STACK_STATUS, type StackStatus } from '#libs/contracts';
import { arrived, Skeletons } from '#libs/ui';
import type { QueryClient } from '@tanstack/react-query';
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  Outlet,
  redirect,
  useNavigate,
  type NavigateOptions,
} from '@tanstack/react-router';
import { lazy, Suspense } from 'react';
import { z } from 'zod';
import type { ApiClient } from './api/client.js';
import { useMe } from './api/context.js';
import { rangeLook, stackLook, type StackLook } from './domain/stack-look.js';
import { ActivityPage } from './pages/activity.js';
import { BackupsHomePage, BackupsPage } from './pages/backups.js';
import { LoginPage } from './pages/login.js';
import { NotFoundPage } from './pages/not-found.js';
import { OperationPage } from './pages/operation.js';
import { SignOnPage } from './pages/sign-on.js';
import { SignupPage } from './pages/signup.js';
import { NewStackPage, StackHomePage, StackPage } from './pages/stack.js';
import { VerifyPage } from './pages/verify.js';
import { CrashPage, MissingPage, Root } from './shell/root.js';
import { Shell } from './shell/shell.js';

interface RouterContext {
  client: ApiClient;
  queries: QueryClient;
}

const STATUSES = Object.keys(STACK_STATUS) as [StackStatus, ...StackStatus[]];
const text = z.string().max(2048).optional().catch(undefined);
/** A value that is not one of ours is no filter, never an error page. */
const stackFilter = z.object({ q: text, status: z.enum(STATUSES).optional().catch(undefined) });
const operationFilter = z.object({ slug: text, state: z.enum(OPERATION_STATES).optional().catch(undefined) });

const root = createRootRouteWithContext<RouterContext>()({
  component: Root,
  errorComponent: CrashPage,
  notFoundComponent: MissingPage,
});

async function signedIn(client: ApiClient, href: string): Promise<void> {
  const session = await client.restore();
  if (session.phase !== 'in') {
    redirect({ to: '/login', search: { next: href }, replace: true, throw: true });
  }
}

const home = createRoute({
  getParentRoute: () => root,
  path: '/',
  beforeLoad: async ({ context }) => {
    const session = await context.client.restore();
    const to = session.phase !== 'in' ? '/login' : session.me.role === 'operator' ? '/console' : '/app';
    redirect({ to, replace: true, throw: true });
  },
});

const signup = createRoute({
  getParentRoute: () => root,
  path: '/signup',
  staticData: { title: 'signup.title' },
  component: SignupPage,
});

const verify = createRoute({
  getParentRoute: () => root,
  path: '/verify',
  staticData: { title: 'signup.sentTitle' },
  validateSearch: z.object({ token: text, sent: text }),
  component: function Verify() {
    const { token, sent } = verify.useSearch();
    return <VerifyPage token={token} sent={sent} />;
  },
});

const login = createRoute({
  getParentRoute: () => root,
  path: '/login',
  staticData: { title: 'login.title' },
  validateSearch: z.object({ next: text }),
  component: function Login() {
    return <LoginPage next={login.useSearch().next} />;
  },
});

const signOn = createRoute({
  getParentRoute: () => root,
  path: '/sign-on',
  staticData: { title: 'stack.open' },
  validateSearch: z.object({ stack: text, state: text, next: text, host: text }),
  beforeLoad: ({ context, location }) => signedIn(context.client, location.href),
  component: function SignOn() {
    return <SignOnPage search={signOn.useSearch()} />;
  },
});

const shell = createRoute({
  getParentRoute: () => root,
  id: 'shell',
  beforeLoad: ({ context, location }) => signedIn(context.client, location.href),
  component: Shell,
  notFoundComponent: MissingPage,
});

const stackHome = createRoute({
  getParentRoute: () => shell,
  path: '/app',
  staticData: { title: 'app.title' },
  validateSearch: stackLook,
  component: function StackHome() {
    return <StackHomePage look={stackHome.useSearch()} onLook={useLook()} />;
  },
});
const newStack = createRoute({
  getParentRoute: () => shell,
  path: '/app/new',
  staticData: { title: 'app.newTitle' },
  component: NewStackPage,
});
const stack = createRoute({
  getParentRoute: () => shell,
  path: '/app/stacks/$slug',
  staticData: { title: 'app.title' },
  validateSearch: stackLook,
  component: function Stack() {
    return <StackPage slug={stack.useParams().slug} look={stack.useSearch()} onLook={useLook()} />;
  },
});
const backupsHome = createRoute({
  getParentRoute: () => shell,
  path: '/app/backups',
  staticData: { title: 'backups.title' },
  component: BackupsHomePage,
});
const backups = createRoute({
  getParentRoute: () => shell,
  path: '/app/stacks/$slug/backups',
  staticData: { title: 'backups.title' },
  validateSearch: z.object({ keep: z.literal(true).optional().catch(undefined) }),
  component: function Backups() {
    return <BackupsPage slug={backups.useParams().slug} keep={backups.useSearch().keep === true} />;
  },
});
const activity = createRoute({
  getParentRoute: () => shell,
  path: '/app/activity',
  staticData: { title: 'activity.title' },
  validateSearch: operationFilter,
  component: function Activity() {
    return <ActivityPage filter={activity.useSearch()} onFilter={useFilter('/app/activity')} />;
  },
});
const operation = createRoute({
  getParentRoute: () => shell,
  path: '/app/operations/$id',
  staticData: { title: 'operation.id' },
  component: function Operation() {
    return <OperationPage id={operation.useParams().id} />;
  },
});

/** Whoever may not see the console sees that there is nothing; the API refuses them anyway. */
const console_ = createRoute({
  getParentRoute: () => shell,
  id: 'console',
  component: function Console() {
    return useMe()?.role === 'operator' ? (
      <Suspense fallback={<Skeletons shape="page" />}>
        <Outlet />
      </Suspense>
    ) : (
      <NotFoundPage />
    );
  },
});
const OverviewPage = lazy(async () => ({ default: (await arrived(import('./console/overview.js'))).OverviewPage }));
const overview = createRoute({
  getParentRoute: () => console_,
  path: '/console',
  staticData: { title: 'nav.fleet' },
  validateSearch: rangeLook,
  component: function Overview() {
    return <OverviewPage look={overview.useSearch()} onLook={useLook()} />;
  },
});
const StacksPage = lazy(async () => ({ default: (await arrived(import('./console/stacks.js'))).StacksPage }));
const stacks = createRoute({
  getParentRoute: () => console_,
  path: '/console/stacks',
  staticData: { title: 'stacks.title' },
  validateSearch: stackFilter,
  component: function Stacks() {
    return <StacksPage filter={stacks.useSearch()} onFilter={useFilter('/console/stacks')} />;
  },
});
const consoleStack = createRoute({
  getParentRoute: () => console_,
  path: '/console/stacks/$slug',
  staticData: { title: 'stacks.name' },
  validateSearch: stackLook,
  component: function ConsoleStack() {
    return <StackPage slug={consoleStack.useParams().slug} look={consoleStack.useSearch()} onLook={useLook()} />;
  },
});
const consoleBackups = createRoute({
  getParentRoute: () => console_,
  path: '/console/stacks/$slug/backups',
  staticData: { title: 'backups.title' },
  component: function ConsoleBackups() {
    return <BackupsPage slug={consoleBackups.useParams().slug} />;
  },
});
const FleetBackupsPage = lazy(async () => ({
  default: (await arrived(import('./console/backups.js'))).FleetBackupsPage,
}));
const fleetBackups = createRoute({
  getParentRoute: () => console_,
  path: '/console/backups',
  staticData: { title: 'backups.all' },
  component: FleetBackupsPage,
});
const ReleasesPage = lazy(async () => ({ default: (await arrived(import('./console/releases.js'))).ReleasesPage }));
const releases = createRoute({
  getParentRoute: () => console_,
  path: '/console/releases',
  staticData: { title: 'releases.title' },
  component: ReleasesPage,
});
const NewReleasePage = lazy(async () => ({
  default: (await arrived(import('./console/new-release.js'))).NewReleasePage,
}));
const newRelease = createRoute({
  getParentRoute: () => console_,
  path: '/console/releases/new',
  staticData: { title: 'releases.newTitle' },
  component: NewReleasePage,
});
const RolloutPage = lazy(async () => ({ default: (await arrived(import('./console/rollout.js'))).RolloutPage }));
const rollout = createRoute({
  getParentRoute: () => console_,
  path: '/console/releases/rollouts/$id',
  staticData: { title: 'rollouts.one' },
  component: function Rollout() {
    return <RolloutPage id={rollout.useParams().id} />;
  },
});
const NewRolloutPage = lazy(async () => ({
  default: (await arrived(import('./console/new-rollout.js'))).NewRolloutPage,
}));
const newRollout = createRoute({
  getParentRoute: () => console_,
  path: '/console/releases/rollouts/new',
  staticData: { title: 'rollouts.newTitle' },
  validateSearch: z.object({ release: text }),
  component: function NewRollout() {
    return <NewRolloutPage release={newRollout.useSearch().release} />;
  },
});
const OperationsPage = lazy(async () => ({
  default: (await arrived(import('./console/operations.js'))).OperationsPage,
}));
const operations = createRoute({
  getParentRoute: () => console_,
  path: '/console/operations',
  staticData: { title: 'operations.title' },
  validateSearch: operationFilter,
  component: function Operations() {
    return <OperationsPage filter={operations.useSearch()} onFilter={useFilter('/console/operations')} />;
  },
});
const AlarmsPage = lazy(async () => ({ default: (await arrived(import('./console/alarms.js'))).AlarmsPage }));
const alarms = createRoute({
  getParentRoute: () => console_,
  path: '/console/alarms',
  staticData: { title: 'alarms.title' },
  component: AlarmsPage,
});
const OutboxPage = lazy(async () => ({ default: (await arrived(import('./console/outbox.js'))).OutboxPage }));
const outbox = createRoute({
  getParentRoute: () => console_,
  path: '/console/outbox',
  staticData: { title: 'outbox.title' },
  validateSearch: z.object({ state: outboxMailSchema.shape.state.optional().catch(undefined) }),
  component: function Outbox() {
    return <OutboxPage filter={outbox.useSearch()} onFilter={useFilter('/console/outbox')} />;
  },
});
const MailPage = lazy(async () => ({ default: (await arrived(import('./console/outbox.js'))).MailPage }));
const mail = createRoute({
  getParentRoute: () => console_,
  path: '/console/outbox/$id',
  staticData: { title: 'outbox.title' },
  component: function Mail() {
    return <MailPage id={mail.useParams().id} />;
  },
});
const UsersPage = lazy(async () => ({ default: (await arrived(import('./console/users.js'))).UsersPage }));
const users = createRoute({
  getParentRoute: () => console_,
  path: '/console/users',
  staticData: { title: 'users.title' },
  validateSearch: z.object({ q: text }),
  component: function Users() {
    return <UsersPage filter={users.useSearch()} onFilter={useFilter('/console/users')} />;
  },
});

type FilteredPage = '/app/activity' | '/console/stacks' | '/console/operations' | '/console/outbox' | '/console/users';

/** Filters live in the address: they survive reload, and can be sent to somebody. */
function useFilter<F extends object>(to: FilteredPage) {
  const navigate = useNavigate();
  return (search: F): void => void navigate({ to, search, replace: true } as NavigateOptions);
}

/** For what a page shows in several places: one changes its own word of the address, and the page stays where it is. */
function useLook() {
  const navigate = useNavigate();
  return (change: StackLook): void =>
    void navigate({
      to: '.',
      search: (before: StackLook) => ({ ...before, ...change }),
      replace: true,
      resetScroll: false,
    } as NavigateOptions);
}

const routeTree = root.addChildren([
  home,
  signup,
  verify,
  login,
  signOn,
  shell.addChildren([
    stackHome,
    newStack,
    stack,
    backupsHome,
    backups,
    activity,
    operation,
    console_.addChildren([
      overview,
      stacks,
      consoleStack,
      consoleBackups,
      fleetBackups,
      releases,
      newRelease,
      newRollout,
      rollout,
      operations,
      alarms,
      outbox,
      mail,
      users,
    ]),
  ]),
]);

export function createPortalRouter(context: RouterContext) {
  return createRouter({
    routeTree,
    context,
    defaultPreload: false,
    scrollRestoration: true,
    defaultPendingMs: 150,
  });
}

declare module '@tanstack/react-router' {
  interface Register {
    router: ReturnType<typeof createPortalRouter>;
  }
  interface StaticDataRouteOption {
    /** Key of the document's title. */
    title?:
      | 'signup.title'
      | 'signup.sentTitle'
      | 'login.title'
      | 'stack.open'
      | 'app.title'
      | 'app.newTitle'
      | 'backups.title'
      | 'backups.all'
      | 'activity.title'
      | 'operation.id'
      | 'nav.fleet'
      | 'stacks.title'
      | 'stacks.name'
      | 'operations.title'
      | 'alarms.title'
      | 'releases.title'
      | 'rollouts.one'
      | 'releases.newTitle'
      | 'rollouts.newTitle'
      | 'outbox.title'
      | 'users.title';
  }
}
