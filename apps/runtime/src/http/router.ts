import type { IncomingMessage, ServerResponse } from 'node:http';
import { DomainError, RUNTIME_API_PREFIX } from '#libs/contracts';
import type { Caller } from '../access/authenticator.js';

export interface Context {
  request: IncomingMessage;
  response: ServerResponse;
  url: URL;
  params: Record<string, string>;
  caller: Caller;
}

/** What is sent: a body with its status, or nothing when the handler answered itself (files, streams). */
export type Answer = { status: number; body?: unknown } | void;

export interface Route {
  method: 'GET' | 'POST' | 'DELETE';
  /** Below the API's prefix; `:name` matches one segment. */
  path: string;
  /** look: everybody signed in. trade: changes something. person: not for tokens, which could mint themselves. */
  access: 'look' | 'trade' | 'person';
  handle: (context: Context) => Promise<Answer> | Answer;
}

function match(path: string, pattern: string): Record<string, string> | null {
  const have = path.split('/');
  const want = pattern.split('/');
  if (have.length !== want.length) {
    return null;
  }
  const params: Record<string, string> = {};
  for (const [i, part] of want.entries()) {
    const value = have[i] ?? '';
    if (part.startsWith(':')) {
      params[part.slice(1)] = value;
    } else if (part !== value) {
      return null;
    }
  }
  return params;
}

/** The route of a request and its parameters. Throws NOT_FOUND or, for a known path, names the allowed methods. */
export function findRoute(
  routes: readonly Route[],
  method: string,
  path: string,
): { route: Route; params: Record<string, string> } {
  const rest = path.slice(RUNTIME_API_PREFIX.length);
  const wanted = method === 'HEAD' ? 'GET' : method;
  for (const route of routes) {
    const params = route.method === wanted ? match(rest, route.path) : null;
    if (params) {
      return { route, params };
    }
  }
  const others = routes.filter((route) => match(rest, route.path) !== null).map((route) => route.method);
  throw new DomainError(
    'NOT_FOUND',
    others.length > 0 ? { message: `Here one can only ${[...new Set(others)].join(', ')}.` } : {},
  );
}

export function checkAccess(route: Route, caller: Caller): void {
  if (route.access === 'person' && caller.kind !== 'person') {
    throw new DomainError('FORBIDDEN', {
      message: 'Tokens are managed on the dashboard, not with a token.',
      details: { reason: 'tokens_by_people_only' },
    });
  }
  if (route.access !== 'look' && !caller.mayTrade) {
    throw new DomainError('FORBIDDEN', {
      message: caller.kind === 'token' ? 'This token may only read.' : 'Support access may look, not change.',
      details: { reason: caller.kind === 'token' ? 'token_may_only_read' : 'support_may_only_look' },
    });
  }
}
