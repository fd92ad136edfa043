import type { OperationList } from '#libs/contracts';
import type { App } from '../../../apps/runtime/src/app.js';
import { routesOf } from '../../../apps/runtime/src/http/routes.js';
import type { PortalClient } from '../../support/portal-client.js';
import type { PlatformWorld } from '../platform/world.js';
import type { StackGround } from './grounds.js';

export interface ReadAnswer {
  who: 'owner' | 'operator' | 'dashboard';
  path: string;
  status: number;
  text: string;
}

/** They end when somebody leaves, not by themselves; what they send is what the others read. */
const STREAMS = /\/(events|stream)$/;

/** What every address that can be read says of a stack: the portal's to its owner and an operator, its dashboard's. */
export async function answersOf(world: PlatformWorld, stack: StackGround): Promise<ReadAnswer[]> {
  const { owner } = stack;
  const { portalDomain } = world.platform.place;
  const { items } = await owner.api<OperationList>('GET', `/operations?slug=${stack.slug}`);
  const filled = (path: string): string =>
    path.replace('{slug}', stack.slug).replace(/\{\w+\}|:\w+/g, items[0]?.id ?? '');
  const { body } = await owner.ask<{ paths: Record<string, object> }>(portalDomain, '/docs-json');
  const paths = Object.entries(body.paths).flatMap(([path, methods]) =>
    'get' in methods && !STREAMS.test(path) ? [filled(path)] : [],
  );
  const read = async (
    who: ReadAnswer['who'],
    client: PortalClient,
    host: string,
    path: string,
  ): Promise<ReadAnswer> => {
    const headers: Record<string, string> =
      client.accessToken === null ? {} : { authorization: `Bearer ${client.accessToken}` };
    const { status, text } = await client.ask(host, path, { headers });
    return { who, path, status, text };
  };
  const dashboard = routesOf({} as App)
    .filter(({ method, path }) => method === 'GET' && !path.endsWith('/stream'))
    .map(({ path }) => `/api/v1${filled(path)}`);
  const answers: ReadAnswer[] = [];
  for (const path of paths) {
    answers.push(await read('owner', owner, portalDomain, path));
    answers.push(await read('operator', world.operator, portalDomain, path));
  }
  for (const path of [...dashboard, '/ready', '/']) {
    answers.push(await read('dashboard', owner, owner.dashboardHost(stack.slug), path));
  }
  return answers;
}
