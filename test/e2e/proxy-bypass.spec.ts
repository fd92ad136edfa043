import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from '#libs/async';
import {
  type DynamicFile,
  type EdgeSettings,
  type RouteFile,
  SERVED_FILE,
  composeFiles,
  ensureCertificates,
  renderShared,
  renderTenantRoutes,
  validateRouteFile,
} from '#libs/edge';
import { Backend, echo } from '../support/echo-backend.js';
import { type Reply, ask } from '../support/gate-process.js';
import { TraefikProcess, traefikBinary } from '../support/traefik.js';

jest.setTimeout(60_000);

const SLUG = 'uabc234';
const DASHBOARD = `${SLUG}.stacks.test`;
const API = `api-${DASHBOARD}`;

/** One way in: a router of our files, and a request that it alone takes. */
interface Way {
  router: string;
  plain: boolean;
  host: string;
  path: string;
  backend: string;
}

/**
 * The proxy with our files before processes that only tell what reached them, the gate's place included. Unguarded,
 * the same without the parts that are there against bypasses: what is shown not to happen with them must happen there.
 */
class Edge {
  private readonly backends = ['portal', 'gate', 'dashboard', 'token', 'hooks'].map((name) => new Backend(name));
  private base = '';
  private ca = '';
  private traefik!: TraefikProcess;
  readonly ways: Way[] = [];

  async start(guarded: boolean): Promise<void> {
    this.base = await mkdtemp(join(tmpdir(), 'aviary-bypass-'));
    const routes = join(this.base, 'routes');
    await mkdir(routes);
    const [portal, gate, dashboard, token, hooks] = await Promise.all(this.backends.map((backend) => backend.start()));
    const settings: EdgeSettings = {
      portalDomain: 'portal.test',
      tenantDomain: 'stacks.test',
      gateUrls: [`http://127.0.0.1:${gate!.port}`],
      apiUrls: [`http://127.0.0.1:${portal!.port}`],
      certificateDir: join(this.base, 'certs'),
    };
    const files = [
      renderShared(settings),
      renderTenantRoutes(
        {
          tenantId: randomUUID(),
          slug: SLUG,
          serving: 'tenant',
          routes: [
            { host: 'dashboard', auth: 'portal', address: dashboard! },
            { host: 'api', auth: 'token', address: token! },
            { host: 'api', auth: 'none', address: hooks!, path: '/hooks/' },
          ],
        },
        settings,
      ),
    ];
    const ports = new Map([portal, gate, dashboard, token, hooks].map((at, i) => [at!.port, this.backends[i]!.name]));
    this.ways.push(...waysOf(files, ports));
    const served = files.map(validateRouteFile);
    if (!guarded) {
      for (const { http } of served) {
        delete http.routers['dots'];
        for (const router of Object.values(http.routers)) {
          router.rule = router.rule.replaceAll(/ && !PathRegexp\(`[^`]*`\)/g, '');
        }
      }
    }
    await writeFile(join(routes, SERVED_FILE), composeFiles(served));
    const { portalDomain, tenantDomain } = settings;
    await ensureCertificates({ mode: 'local', dataDir: this.base, portalDomain, tenantDomain, now: new Date() });
    this.ca = await readFile(join(this.base, 'ca', 'ca.crt'), 'utf8');
    this.traefik = new TraefikProcess({
      binary: traefikBinary(),
      directory: this.base,
      routes,
      ...(guarded ? {} : { change: unguarded }),
    });
    await this.traefik.choosePorts();
    await this.traefik.start();
    await waitFor(async () => ((await this.at(API, '/')).status === 200 ? true : undefined), {
      what: 'the routes',
      deadlineMs: 10_000,
    });
  }

  at(host: string, path: string, headers: Record<string, string> = {}): Promise<Reply> {
    return this.traefik.get(host, path, { ca: this.ca, headers });
  }

  by({ plain, host }: Way, path: string, headers: Record<string, string> = {}): Promise<Reply> {
    return plain ? ask(this.traefik.httpPort, path, { headers: { host, ...headers } }) : this.at(host, path, headers);
  }

  /** What reached any process since the last look, the question to the gate before a guarded route included. */
  arrived(): { name: string; url: string; headers: string }[] {
    return this.backends.flatMap((backend) =>
      backend.seen.splice(0).map(({ url, headers }) => ({ name: backend.name, url, headers: JSON.stringify(headers) })),
    );
  }

  async stop(): Promise<void> {
    await this.traefik?.stop();
    this.backends.forEach((backend) => backend.stop());
    await rm(this.base, { recursive: true, force: true });
  }
}

/** Every router of a file, so that a route added later is tried too. */
function waysOf(files: readonly RouteFile[], ports: ReadonlyMap<number, string>): Way[] {
  const all = files.map((file) => validateRouteFile(file).http);
  const services = Object.assign({}, ...all.map((http) => http.services)) as NonNullable<
    DynamicFile['http']['services']
  >;
  const routers = all.flatMap((http) => Object.entries(http.routers));
  return routers.map(([router, { rule, entryPoints, service }]) => {
    const host = /Host\(`([^`]*)`\)/.exec(rule)?.[1] ?? (router === 'gate-path' ? DASHBOARD : 'anything.stacks.test');
    const prefix = /PathPrefix\(`([^`]*)`\)/.exec(rule)?.[1] ?? '/';
    const leads = services[service.replace('@file', '')];
    const { url = '' } = leads && 'loadBalancer' in leads ? (leads.loadBalancer.servers[0] ?? {}) : {};
    return {
      router,
      plain: entryPoints !== undefined,
      host,
      path: prefix.endsWith('/') ? prefix : `${prefix}/`,
      backend: ports.get(Number(new URL(url).port)) ?? '',
    };
  });
}

/** The static file as an administrator would write it who knows nothing of this. */
function unguarded(text: string): string {
  const changed = text
    .replaceAll(/^ *middlewares: .*\n/gm, '')
    .replaceAll(/(allowEncoded\w+): false/g, '$1: true')
    .replaceAll(/^( *)http:$/gm, '$1http:\n$1  sanitizePath: false');
  expect(changed).not.toMatch(/strip@file|allowEncoded\w+: false/);
  expect(changed).toContain('sanitizePath: false');
  return changed;
}

const guarded = new Edge();
const open = new Edge();
beforeAll(() => Promise.all([guarded.start(true), open.start(false)]));
afterAll(() => Promise.all([guarded.stop(), open.stop()]));
beforeEach(() => {
  guarded.arrived();
  open.arrived();
});

it('every router of the files is tried, on both ports', () => {
  expect(guarded.ways.map(({ router, backend }) => `${router} ${backend}`).toSorted()).toEqual(
    [
      'challenge gate',
      'challenge-secure gate',
      'dots gate',
      'gate-path gate',
      'nothing gate',
      'portal portal',
      'uabc234-api token',
      'uabc234-api-path hooks',
      'uabc234-dashboard dashboard',
    ].toSorted(),
  );
});

describe('forged headers', () => {
  const FORGED = Object.fromEntries(
    ['Identity', 'User', 'Tenant', 'Page'].flatMap((last) =>
      ['X-Aviary-', 'X_Aviary_', 'X-Aviary_', 'X_Aviary-', 'x-aViArY-'].map((start) => [`${start}${last}`, 'forged']),
    ),
  );
  const reached = async (edge: Edge, way: Way): Promise<{ at: string; forged: boolean }> => {
    await edge.by(way, way.path, FORGED);
    const seen = edge.arrived();
    return { at: seen.at(-1)?.name ?? 'nowhere', forged: seen.some(({ headers }) => headers.includes('forged')) };
  };

  it('reach no process by any route', async () => {
    for (const way of guarded.ways) {
      expect({ way: way.router, ...(await reached(guarded, way)) }).toEqual({
        way: way.router,
        at: way.backend,
        forged: false,
      });
    }
  });

  it('would reach it by every route without the rule against them', async () => {
    for (const way of open.ways) {
      expect({ way: way.router, ...(await reached(open, way)) }).toEqual({
        way: way.router,
        at: way.backend,
        forged: true,
      });
    }
  });
});

describe('encoded separators', () => {
  const SEPARATORS = ['%2f', '%2F', '%5c', '%5C', '%25', '%252f'];

  it.each([...SEPARATORS, '%3b', '%3f', '%23', '%00'])('%s is answered 400 on every route', async (encoded) => {
    for (const way of guarded.ways) {
      const { status } = await guarded.by(way, `${way.path}a${encoded}b`);
      expect({ way: way.router, status }).toEqual({ way: way.router, status: 400 });
    }
    expect(guarded.arrived()).toEqual([]);
  });

  it.each(SEPARATORS)('%s would reach a process by every route without the rule against it', async (encoded) => {
    for (const way of open.ways) {
      await open.by(way, `${way.path}a${encoded}b`);
      const last = open.arrived().at(-1);
      expect({ way: way.router, at: last?.name }).toEqual({ way: way.router, at: way.backend });
    }
  });

  it.each(SEPARATORS)('%s opens no way out of a public path, and would without the rule', async (encoded) => {
    const path = `/hooks/..${encoded}admin`;
    expect((await guarded.at(API, path)).status).toBe(400);
    expect(guarded.arrived()).toEqual([]);
    expect(echo(await open.at(API, path)).name).toBe('hooks');
  });
});

describe('dot segments', () => {
  const WAYS_OUT = ['/hooks/%2e%2e/admin', '/hooks/%2E./admin', '/hooks/.%2e/admin', '/hooks/../admin'];

  it.each([...WAYS_OUT, '/hooks/x/..//../admin', '//admin', '/./admin'])(
    '%s is normalised before it is routed',
    async (path) => {
      expect(echo(await guarded.at(API, path))).toMatchObject({ name: 'token', url: '/admin' });
      expect(guarded.arrived().map(({ name }) => name)).toEqual(['token']);
    },
  );

  it.each(WAYS_OUT)('%s would reach the public route without that', async (path) => {
    expect(echo(await open.at(API, path)).name).toBe('hooks');
  });
});

describe('path parameters', () => {
  const WAYS_OUT = [
    '/hooks/..;/admin',
    '/hooks/..;x=1/admin',
    '/hooks/%2e%2e;/admin',
    '/hooks/;/..;/admin',
    '/hooks/x;y/z',
    '/hooks/..;',
  ];

  it.each([...WAYS_OUT, '/hooks/.;/../admin;'])('%s never reaches a public route', async (path) => {
    await guarded.at(API, path);
    expect(guarded.arrived().filter(({ name }) => name === 'hooks')).toEqual([]);
  });

  it.each(WAYS_OUT)('%s would without the rule against it', async (path) => {
    expect(echo(await open.at(API, path)).name).toBe('hooks');
  });

  it.each(['/..;/admin', '/x/..;/admin', '/.;/admin', '/x/y/..;a=b/admin', '/%2e%2e;/admin'])(
    '%s reaches no process of a portal or stack',
    async (path) => {
      for (const host of ['portal.test', `${SLUG}.stacks.test`, API]) {
        await guarded.at(host, path);
        expect({ host, at: guarded.arrived().map(({ name }) => name) }).toEqual({ host, at: ['gate'] });
        await open.at(host, path);
        expect({ host, at: open.arrived().at(-1)?.name }).not.toEqual({ host, at: 'gate' });
      }
    },
  );
});
