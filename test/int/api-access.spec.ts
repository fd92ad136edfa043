import { RequestMethod } from '@nestjs/common';
import { METHOD_METADATA, PATH_METADATA } from '@nestjs/common/constants.js';
import { DiscoveryService, MetadataScanner, ModulesContainer } from '@nestjs/core';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { randomUUID } from 'node:crypto';
import type { Accepted, ErrorBody } from '#libs/contracts';
import { ACCESS, ACCESS_KINDS, type Access } from '../../apps/api/src/http/access.js';
import { person, stackOf, testApi, type TestApi, type TestPerson } from '../support/api.js';

interface Route {
  method: 'get' | 'post' | 'put' | 'patch' | 'delete';
  path: string;
  access: Access | undefined;
}

/** Every route the application answers, read from Nest itself, so that a new one cannot be forgotten here. */
function routesOf(app: NestExpressApplication): Route[] {
  const discovery = new DiscoveryService(app.get(ModulesContainer));
  const scanner = new MetadataScanner();
  return discovery.getControllers().flatMap(({ instance, metatype }) => {
    if (!instance || !metatype) {
      return [];
    }
    const base = String(Reflect.getMetadata(PATH_METADATA, metatype) ?? '');
    const prototype = Object.getPrototypeOf(instance) as Record<string, () => unknown>;
    return scanner.getAllMethodNames(prototype).flatMap((name) => {
      const handler = prototype[name] as object;
      const method = Reflect.getMetadata(METHOD_METADATA, handler) as RequestMethod | undefined;
      if (method === undefined) {
        return [];
      }
      const path = `/${base}/${String(Reflect.getMetadata(PATH_METADATA, handler))}`.replace(/\/+/g, '/');
      return [
        {
          method: RequestMethod[method].toLowerCase() as Route['method'],
          path: path.replace(/(.)\/$/, '$1'),
          access: Reflect.getMetadata(ACCESS, handler) as Access | undefined,
        },
      ];
    });
  });
}

const nameOf = (route: Route): string => `${route.method} ${route.path}`;

let t: TestApi;
let owner: TestPerson;
let stranger: TestPerson;
let mine: Accepted;

beforeAll(async () => {
  t = await testApi();
  owner = await person(t);
  stranger = await person(t);
  mine = await stackOf(t, owner);
});
afterAll(() => t.close());

const filled = (path: string): string =>
  path.replace(':slug', mine.stack.slug).replace(':id', mine.operation.id).replace(':domain', 'bot.example.org');

/** What a route wants to be told before it looks whose thing it is asked about. */
const BODIES: Record<string, object> = {
  'post /api/v1/stacks/:slug/resize': { plan: 'pro' },
  'post /api/v1/operator/stacks/:slug/suspend': { note: 'why' },
  'post /api/v1/operator/alarms/acknowledge': { key: 'none' },
  'post /api/v1/operator/rollouts/plan': { release: 'none' },
  'post /api/v1/operator/rollouts': { release: 'none', confirm: 'none' },
  'post /api/v1/operator/rollouts/:id/resume': {},
  'post /api/v1/operator/releases': { like: 'none', version: '1.8.0' },
  'post /api/v1/operator/releases/:id/notes': { notes: '' },
  'post /api/v1/stacks/:slug/domains': { domain: 'bot.example.org' },
};

it('finds the routes at all, and each declares exactly one kind of access', () => {
  const routes = [...routesOf(t.api.publicApp), ...routesOf(t.api.privateApp)];
  expect(routes.length).toBeGreaterThan(25);
  expect(routes.filter(({ access }) => access === undefined || !ACCESS_KINDS.includes(access)).map(nameOf)).toEqual([]);
});

it('has no private route on the public listener, and no other than private and health ones on the private', () => {
  expect(routesOf(t.api.publicApp).filter(({ access }) => access === 'internal')).toEqual([]);
  const others = routesOf(t.api.privateApp).filter(({ access }) => access !== 'internal');
  expect(others.map(nameOf).toSorted()).toEqual(['get /healthz', 'get /readyz']);
});

it('only lets anybody in where that was decided', () => {
  const open = routesOf(t.api.publicApp).filter(({ access }) => access === 'public' || access === 'cookie');
  expect(open.map(nameOf).toSorted()).toEqual([
    'get /api/v1/auth/disclaimer',
    'get /healthz',
    'get /readyz',
    'post /api/v1/auth/login',
    'post /api/v1/auth/logout',
    'post /api/v1/auth/refresh',
    'post /api/v1/auth/register',
    'post /api/v1/auth/resend',
    'post /api/v1/auth/verify',
    // by a ticket that its owner got
    'post /api/v1/exports',
  ]);
});

it('answers 401 to an anonymous request and to a made-up token on every route that wants a person', async () => {
  const closed = routesOf(t.api.publicApp).filter(({ access }) => access === 'subscriber' || access === 'operator');
  expect(closed.length).toBeGreaterThan(12);
  for (const route of closed) {
    for (const headers of [{}, { Authorization: `Bearer ${'a.b.c'}` }, { Authorization: 'Basic eDp5' }]) {
      const answer = await t.http[route.method](filled(route.path)).set(headers);
      expect([nameOf(route), answer.status, (answer.body as ErrorBody).code]).toEqual([
        nameOf(route),
        401,
        'UNAUTHENTICATED',
      ]);
    }
  }
});

it('answers 404 to another account on every route that names a thing of its owner', async () => {
  const scoped = routesOf(t.api.publicApp).filter(
    ({ access, path }) => access === 'subscriber' && /:(slug|id)/.test(path),
  );
  expect(scoped.length).toBeGreaterThanOrEqual(9);
  for (const route of scoped) {
    const confirm = mine.stack.slug;
    const last = route.path.split('/').at(-1) ?? '';
    const own: Record<string, object> = {
      restore: { confirm, backup: randomUUID() },
      clone: { backup: randomUUID() },
      exports: { backup: randomUUID(), password: 'x' },
      'undo-restore': { confirm },
      'allow-trading': { confirm },
    };
    const body = route.method === 'delete' ? { confirm } : (own[last] ?? BODIES[nameOf(route)] ?? {});
    const answer = await t.http[route.method](filled(route.path)).set(stranger.auth).send(body);
    expect([nameOf(route), answer.status, (answer.body as ErrorBody).code]).toEqual([nameOf(route), 404, 'NOT_FOUND']);
  }
  // The same requests are answered for the owner, so it was the account that made the difference.
  await t.http.get(`/api/v1/stacks/${mine.stack.slug}`).set(owner.auth).expect(200);
  await t.http.get(`/api/v1/operations/${mine.operation.id}`).set(owner.auth).expect(200);
});

it('shows nobody another account’s things in lists', async () => {
  for (const path of ['/api/v1/stacks', '/api/v1/operations', `/api/v1/stacks?q=${mine.stack.slug}`]) {
    const answer = await t.http.get(path).set(stranger.auth).expect(200);
    expect((answer.body as { items: unknown[] }).items).toEqual([]);
  }
});

it('gives a stranger no sign-on to somebody’s stack', async () => {
  const body = { stack: mine.stack.slug, state: 'a'.repeat(43), next: '/' };
  await t.http.post('/api/v1/sign-on').set(stranger.auth).send(body).expect(404);
  await t.http.post('/api/v1/sign-on').set(owner.auth).send(body).expect(200);
});

it('answers 403 to subscribers on every operator route, and 200 on the lists to an operator', async () => {
  const operator = await person(t, 'operator');
  const routes = routesOf(t.api.publicApp).filter(({ access }) => access === 'operator');
  expect(routes.length).toBeGreaterThanOrEqual(6);
  for (const route of routes) {
    const path = route.path.replace(':id', randomUUID()).replace(':slug', 'uaaaaaa');
    const body = BODIES[nameOf(route)];
    const answer = await t.http[route.method](path).set(owner.auth).send(body);
    expect([nameOf(route), answer.status]).toEqual([nameOf(route), 403]);
    const allowed = await t.http[route.method](path).set(operator.auth).send(body);
    expect([nameOf(route), allowed.status]).toEqual([
      nameOf(route),
      /:(id|slug)/.test(route.path) || route.method === 'post' ? 404 : 200,
    ]);
  }
});

it('refuses a report that no stack signed', async () => {
  const answer = await t.http.post('/api/v1/runtime/reports').send({ reports: [] }).expect(401);
  expect((answer.body as ErrorBody).code).toBe('UNAUTHENTICATED');
});
