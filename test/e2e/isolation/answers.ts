import type { OperationList } from '#libs/contracts';
import type { App } from '../../../apps/runtime/src/app.js';
import { routesOf } from '../../../apps/runtime/src/http/routes.js';
import { askedInside, type Server } from '../../support/ask-inside.js';
import type { PortalClient } from '../../support/portal-client.js';
import type { PlatformWorld } from '../platform/world.js';
import type { Grounds, StackGround } from './grounds.js';

export interface ReadAnswer {
  /** Who asked whom, and from where. */
  who: string;
  path: string;
  status: number;
  text: string;
}

/** They end when somebody leaves, not by themselves; what they send is what the others read. */
const STREAMS = /\/(events|stream)$/;

/** Every address that can be read and says something of a stack: the portal's, and its dashboard's. */
async function addressesOf(
  world: PlatformWorld,
  { owner, slug }: StackGround,
): Promise<Record<'portal' | 'dashboard', string[]>> {
  const { items } = await owner.api<OperationList>('GET', `/operations?slug=${slug}`);
  const filled = (path: string): string => path.replace('{slug}', slug).replace(/\{\w+\}|:\w+/g, items[0]?.id ?? '');
  const { body } = await owner.ask<{ paths: Record<string, object> }>(world.platform.place.portalDomain, '/docs-json');
  return {
    portal: Object.entries(body.paths).flatMap(([path, methods]) =>
      'get' in methods && !STREAMS.test(path) ? [filled(path)] : [],
    ),
    dashboard: [
      ...routesOf({} as App)
        .filter(({ method, path }) => method === 'GET' && !STREAMS.test(path))
        .map(({ path }) => `/api/v1${filled(path)}`),
      '/ready',
      '/',
    ],
  };
}

/** As a signed-in person's browser sends them, with a token and cookies that are good. */
async function headersOf(client: PortalClient, host: string): Promise<Record<string, string>> {
  // Renews what ran out.
  await client.api('GET', '/auth/me');
  const cookies = [...(client.jar.get(host) ?? [])].map(([name, value]) => `${name}=${value}`).join('; ');
  return {
    ...(client.accessToken === null ? {} : { authorization: `Bearer ${client.accessToken}` }),
    ...(cookies === '' ? {} : { cookie: cookies }),
  };
}

/** What all of them say to owner and operator, from outside. */
export async function answersOutside(world: PlatformWorld, stack: StackGround): Promise<ReadAnswer[]> {
  const { portal, dashboard } = await addressesOf(world, stack);
  const { portalDomain } = world.platform.place;
  const { owner } = stack;
  const host = owner.dashboardHost(stack.slug);
  const asks: { who: string; client: PortalClient; host: string; paths: string[] }[] = [
    { who: 'owner of the portal', client: owner, host: portalDomain, paths: portal },
    { who: 'operator of the portal', client: world.operator, host: portalDomain, paths: portal },
    { who: 'owner of the dashboard', client: owner, host, paths: dashboard },
  ];
  const answers: ReadAnswer[] = [];
  for (const { who, client, host: asked, paths } of asks) {
    const headers = await headersOf(client, asked);
    for (const path of paths) {
      const { status, text } = await client.ask(asked, path, { headers });
      answers.push({ who, path, status, text });
    }
  }
  return answers;
}

/**
 * What they say to a process in the stack's own containers: by the public address, which only the runtime reaches,
 * with its owner's token and cookies, as if it had stolen them; and past the proxy, where the runtime itself listens.
 */
export async function answersInside(
  world: PlatformWorld,
  { own, gateways, httpsPort }: Grounds,
): Promise<ReadAnswer[]> {
  const { portal, dashboard } = await addressesOf(world, own);
  const { portalDomain } = world.platform.place;
  const { owner, names, inner } = own;
  const host = owner.dashboardHost(own.slug);
  const publicly = (tls: string): Server => ({ address: gateways.edge, port: httpsPort, tls });
  const direct = { address: inner.runtime, port: 8080 };
  const past = [...dashboard, '/activity', '/resumption'];
  const asks: { who: string; container: string; server: Server; host: string; paths: string[]; signedIn: boolean }[] = [
    {
      who: 'runtime of the portal',
      container: names.runtime,
      server: publicly(portalDomain),
      host: portalDomain,
      paths: portal,
      signedIn: true,
    },
    {
      who: 'runtime of the dashboard',
      container: names.runtime,
      server: publicly(host),
      host,
      paths: dashboard,
      signedIn: true,
    },
    { who: 'runtime of itself', container: names.runtime, server: direct, host, paths: past, signedIn: false },
    { who: 'database of the runtime', container: names.postgres, server: direct, host, paths: past, signedIn: false },
  ];
  const answers: ReadAnswer[] = [];
  for (const { who, container, server, host: asked, paths, signedIn } of asks) {
    const headers = signedIn ? await headersOf(owner, asked) : {};
    const port = server.tls === undefined || httpsPort === 443 ? '' : `:${httpsPort}`;
    const found = await askedInside(
      container,
      server,
      `${asked}${port}`,
      paths.map((path) => ({ path, headers })),
    );
    answers.push(...found.map((answer, at) => ({ who, path: paths[at] ?? '', ...answer })));
  }
  return answers;
}
