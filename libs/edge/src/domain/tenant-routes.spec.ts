import fc from 'fast-check';
import { isDomainError } from '#libs/contracts';
import type { DynamicFile } from './dynamic.js';
import { validateRouteFile } from './render.js';
import { type EdgeSettings, renderTenantRoutes, type TenantRoutes } from './tenant-routes.js';

const settings: EdgeSettings = {
  portalDomain: 'aviary.test',
  tenantDomain: 'stacks.test',
  gateUrls: ['http://10.131.255.195:8082'],
  apiUrls: ['http://10.131.255.194:8080'],
  certificateDir: '/certs',
};
const tenantId = '0193a1f0-0000-7000-8000-000000000001';
const address = { host: '10.131.192.5', port: 8080 };
const tenant: TenantRoutes = {
  tenantId,
  slug: 'uabc234',
  serving: 'tenant',
  routes: [
    { host: 'dashboard', auth: 'portal', address },
    { host: 'api', auth: 'token', address },
  ],
};
const render = (change: Partial<TenantRoutes> = {}, other: Partial<EdgeSettings> = {}): DynamicFile =>
  JSON.parse(renderTenantRoutes({ ...tenant, ...change }, { ...settings, ...other }).content) as DynamicFile;
const codeOf = (work: () => unknown): string => {
  try {
    work();
    return 'accepted';
  } catch (error) {
    return isDomainError(error) ? error.code : String(error);
  }
};

const ownServer = { loadBalancer: { servers: [{ url: 'http://10.131.192.5:8080' }], serversTransport: 'fast@file' } };
const mark = (page: string): unknown => ({
  headers: { customRequestHeaders: { 'X-Aviary-Tenant': tenantId, 'X-Aviary-Page': page } },
});

describe('the routes of a stack', () => {
  it('are exactly these while it serves', () => {
    const { name } = renderTenantRoutes(tenant, settings);
    expect(name).toBe('uabc234.yml');
    expect(render()).toEqual({
      http: {
        routers: {
          'uabc234-dashboard': {
            rule: 'Host(`uabc234.stacks.test`)',
            priority: 100,
            middlewares: ['sign-on@file', 'away@file'],
            service: 'uabc234-dashboard',
          },
          'uabc234-api': {
            rule: 'Host(`api-uabc234.stacks.test`)',
            priority: 100,
            middlewares: ['away@file'],
            service: 'uabc234-dashboard',
          },
        },
        services: { 'uabc234-dashboard': ownServer },
      },
    });
  });

  it('lead to the gate while it sleeps, still only after sign-on', () => {
    expect(render({ serving: 'asleep' })).toEqual({
      http: {
        routers: {
          'uabc234-dashboard': {
            rule: 'Host(`uabc234.stacks.test`)',
            priority: 100,
            middlewares: ['sign-on@file', 'uabc234-mark', 'again@file'],
            service: 'gate@file',
          },
          'uabc234-api': {
            rule: 'Host(`api-uabc234.stacks.test`)',
            priority: 100,
            middlewares: ['uabc234-mark', 'again@file'],
            service: 'gate@file',
          },
        },
        middlewares: { 'uabc234-mark': mark('asleep') },
      },
    });
  });

  it('have a service for each address', () => {
    const other = { host: '10.131.192.6', port: 8080 };
    const { http } = render({ routes: [tenant.routes[0]!, { host: 'api', auth: 'token', address: other }] });
    expect(Object.values(http.routers).map(({ service }) => service)).toEqual(['uabc234-dashboard', 'uabc234-api']);
    expect(http.services?.['uabc234-api']).toMatchObject({
      loadBalancer: { servers: [{ url: 'http://10.131.192.6:8080' }] },
    });
  });

  it('open a public path only below a prefix and without path parameters', () => {
    const hooks = { host: 'api', auth: 'none', address, path: '/hooks/' } as const;
    const { http } = render({ routes: [...tenant.routes, hooks] });
    expect(http.routers['uabc234-api-path']).toEqual({
      rule: 'Host(`api-uabc234.stacks.test`) && PathPrefix(`/hooks/`) && !PathRegexp(`;`)',
      priority: 200,
      middlewares: ['away@file'],
      service: 'uabc234-dashboard',
    });
    expect(codeOf(() => render({ routes: [{ host: 'api', auth: 'none', address }] }))).toBe('ROUTE_INVALID');
  });

  it('refuse two claims on one host', () => {
    expect(codeOf(() => render({ routes: [tenant.routes[0]!, tenant.routes[0]!] }))).toBe('ROUTE_INVALID');
  });
});

describe('hostile values', () => {
  const hostile = [
    '{{ env "HOME" }}',
    'x`) || HostRegexp(`.*',
    'a\nb',
    'a\r\nb',
    'a\u2028b',
    '../../etc/passwd',
    'uabc234.yml\0',
    '',
    ' ',
    'http://evil.test',
    'a"b',
    "a'b",
    '169.254.169.254.',
    'localhost',
    '::1',
  ];

  it.each(hostile)('%j is refused in every place', (value) => {
    expect(codeOf(() => render({ slug: value }))).toBe('ROUTE_INVALID');
    expect(codeOf(() => render({ tenantId: value }))).toBe('ROUTE_INVALID');
    expect(codeOf(() => render({ routes: [{ host: 'api', auth: 'token', address: { host: value, port: 80 } }] }))).toBe(
      'ROUTE_INVALID',
    );
    expect(codeOf(() => render({ routes: [{ host: 'api', auth: 'none', path: value, address }] }))).toBe(
      'ROUTE_INVALID',
    );
    expect(codeOf(() => render({ domains: ['bot.example.org'] }, { gateUrls: [value] }))).toBe('ROUTE_INVALID');
    // `localhost` is a host name; as a domain it is unwise and yet harmless here.
    if (value !== 'localhost') {
      expect(codeOf(() => render({}, { tenantDomain: value }))).toBe('ROUTE_INVALID');
    }
  });

  it.each(['/hooks/../', '/hooks//x', '/hooks/..;/', '/hooks/%2e', 'hooks', '/', '/a b'])(
    'path %j is refused',
    (path) => {
      expect(codeOf(() => render({ routes: [{ host: 'api', auth: 'none', path, address }] }))).toBe('ROUTE_INVALID');
    },
  );

  it.each([0, 65_536, 1.5, Number.NaN])('port %p is refused', (port) => {
    const route = { host: 'api', auth: 'token', address: { host: '10.0.0.1', port } } as const;
    expect(codeOf(() => render({ routes: [route] }))).toBe('ROUTE_INVALID');
  });

  it('whatever comes in, what is rendered is valid, claims only its own hosts, and holds no template', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.string(), (slug, host, path) => {
        const routes = [{ host: 'api', auth: 'none', path, address: { host, port: 1 } }] as const;
        let file;
        try {
          file = renderTenantRoutes({ ...tenant, slug, routes }, settings);
        } catch (error) {
          expect(isDomainError(error, 'ROUTE_INVALID')).toBe(true);
          return;
        }
        validateRouteFile(file);
        expect(file.content).not.toContain('{{');
      }),
      { numRuns: 300 },
    );
  });
});

describe('validating a file before it is written', () => {
  const file = renderTenantRoutes(tenant, settings);
  const bent = (
    change: (config: { http: Record<string, Record<string, Record<string, unknown>>> }) => void,
  ): string => {
    const config = JSON.parse(file.content) as Parameters<typeof change>[0];
    change(config);
    return codeOf(() => validateRouteFile({ name: file.name, content: JSON.stringify(config) }));
  };

  it('accepts what we render', () => {
    expect(codeOf(() => validateRouteFile(file))).toBe('accepted');
    expect(bent(() => undefined)).toBe('accepted');
  });

  it('refuses unknown fields, foreign names, hosts, services and middlewares', () => {
    const router = 'uabc234-dashboard';
    expect(bent((c) => Object.assign(c, { udp: {} }))).toBe('ROUTE_INVALID');
    expect(bent((c) => Object.assign(c.http['routers']![router]!, { ruleSyntax: 'v2' }))).toBe('ROUTE_INVALID');
    expect(bent((c) => Object.assign(c.http['routers']!, { 'uother22-x': c.http['routers']![router] }))).toBe(
      'ROUTE_INVALID',
    );
    for (const rule of [
      'Host(`uother2.stacks.test`)',
      'Host(`uabc234.stacks.test`) || Host(`aviary.test`)',
      'HostRegexp(`.*`)',
      'PathPrefix(`/`)',
      '!Host(`uabc234.stacks.test`)',
    ]) {
      expect(bent((c) => Object.assign(c.http['routers']![router]!, { rule }))).toBe('ROUTE_INVALID');
    }
    // The gate takes what comes without a mark for the proxy's own question.
    for (const service of ['portal', 'api@internal', 'uother2-dashboard', 'gate@file']) {
      expect(bent((c) => Object.assign(c.http['routers']![router]!, { service }))).toBe('ROUTE_INVALID');
    }
    for (const middlewares of [['strip@file'], ['gate-mark@file'], ['uother2-mark']]) {
      expect(bent((c) => Object.assign(c.http['routers']![router]!, { middlewares }))).toBe('ROUTE_INVALID');
    }
    for (const entryPoints of [['web', 'websecure'], ['traefik']]) {
      expect(bent((c) => Object.assign(c.http['routers']![router]!, { entryPoints }))).toBe('ROUTE_INVALID');
    }
  });

  it('refuses other names, other formats and template expressions', () => {
    expect(codeOf(() => validateRouteFile({ ...file, name: 'other.yml' }))).toBe('ROUTE_INVALID');
    expect(codeOf(() => validateRouteFile({ ...file, name: 'uabc234.yaml' }))).toBe('ROUTE_INVALID');
    expect(codeOf(() => validateRouteFile({ ...file, name: 'uother2.yml' }))).toBe('ROUTE_INVALID');
    expect(codeOf(() => validateRouteFile({ ...file, content: 'http: {}' }))).toBe('ROUTE_INVALID');
    expect(codeOf(() => validateRouteFile({ ...file, content: file.content.replace('10.131.192.5', '{{ 1 }}') }))).toBe(
      'ROUTE_INVALID',
    );
  });
});

describe('routes of an owner’s domains', () => {
  const hooks: TenantRoutes['routes'][number] = { host: 'dashboard', auth: 'none', address, path: '/hooks/' };
  const file = (domains: string[], change: Partial<TenantRoutes> = {}) =>
    renderTenantRoutes({ ...tenant, routes: [...tenant.routes, hooks], domains, ...change }, settings);
  const parse = ({ content }: { content: string }): DynamicFile => JSON.parse(content) as DynamicFile;

  it('are those of the dashboard’s own host, under the same sign-on, with their certificate', () => {
    const { http, tls } = parse(file(['bot.example.org']));
    const own = parse(file([])).http;
    expect(http.routers).toMatchObject(own.routers);
    expect(http.routers['uabc234-domain0-dashboard']).toEqual({
      ...own.routers['uabc234-dashboard'],
      rule: 'Host(`bot.example.org`)',
      middlewares: ['uabc234-domain-auth', 'away@file'],
    });
    expect(http.routers['uabc234-domain0-dashboard-path']?.rule).toBe(
      'Host(`bot.example.org`) && PathPrefix(`/hooks/`) && !PathRegexp(`;`)',
    );
    expect(http.routers['uabc234-domain0-gate']).toEqual({
      rule: 'Host(`bot.example.org`) && PathPrefix(`/.aviary`)',
      priority: 300,
      middlewares: ['uabc234-domain-mark', 'again@file'],
      service: 'gate@file',
    });
    expect(Object.keys(http.routers).filter((name) => name.includes('domain'))).toHaveLength(3);
    expect(http.middlewares?.['uabc234-domain-auth']).toMatchObject({
      forwardAuth: { address: `http://10.131.255.195:8082/auth?tenant=${tenantId}&slug=uabc234` },
    });
    expect(http.middlewares?.['uabc234-domain-mark']).toEqual({
      headers: {
        customRequestHeaders: { 'X-Aviary-Tenant': tenantId, 'X-Aviary-Page': '', 'X-Aviary-Slug': 'uabc234' },
      },
    });
    expect(tls).toEqual({
      certificates: [{ certFile: '/certs/domains/bot.example.org.crt', keyFile: '/certs/domains/bot.example.org.key' }],
    });
  });

  it('have the proxy ask itself where there are two gates, and say whose dashboard it is', () => {
    const gateUrls = ['http://10.131.255.195:8082', 'http://10.131.255.200:8082'];
    const { http } = render({ domains: ['bot.example.org'] }, { gateUrls, proxyPort: 19_080 });
    expect(http.middlewares?.['uabc234-domain-auth']).toMatchObject({
      forwardAuth: { address: `http://127.0.0.1:19080/auth?tenant=${tenantId}&slug=uabc234` },
    });
  });

  it('say what the gate is to say while the stack sleeps', () => {
    const { http } = parse(file(['bot.example.org'], { serving: 'asleep' }));
    expect(http.routers['uabc234-domain0-dashboard']).toMatchObject({
      service: 'gate@file',
      middlewares: ['uabc234-domain-auth', 'uabc234-domain-mark', 'again@file'],
    });
    expect(http.middlewares?.['uabc234-domain-mark']).toMatchObject({
      headers: { customRequestHeaders: { 'X-Aviary-Page': 'asleep' } },
    });
  });

  it.each(['uptimes.example.org', 'ubuntux.example.org', 'api-uother2.example.org', 'uabc234.example.org'])(
    'are made for %s, which is like a stack’s name and in nobody’s zone but its owner’s',
    (domain) => {
      expect(parse(file([domain])).http.routers['uabc234-domain0-dashboard']?.rule).toContain(`Host(\`${domain}\`)`);
    },
  );

  it('are the same text in whatever order they come', () => {
    expect(file(['b.example.org', 'a.example.org'])).toEqual(file(['a.example.org', 'b.example.org']));
  });

  it.each([
    'aviary.test',
    'x.aviary.test',
    'stacks.test',
    'uother2.stacks.test',
    'Bot.example.org',
    'a`b.org',
    '*.org',
  ])('are never made for %s', (domain) => {
    expect(() => file([domain])).toThrow(expect.objectContaining({ code: 'ROUTE_INVALID' }) as Error);
  });

  it('are refused in a file without their certificate, or with one of another stack’s host', () => {
    const good = parse(file(['bot.example.org']));
    const check = (change: (config: DynamicFile) => void) => () => {
      const config = structuredClone(good);
      change(config);
      validateRouteFile({ name: 'uabc234.yml', content: JSON.stringify(config) });
    };
    const invalid = expect.objectContaining({ code: 'ROUTE_INVALID' }) as Error;
    expect(check(() => undefined)).not.toThrow();
    expect(check((config) => delete config.tls)).toThrow(invalid);
    const pair = (host: string) => ({ certFile: `/certs/domains/${host}.crt`, keyFile: `/certs/domains/${host}.key` });
    for (const host of ['uother2.stacks.test', 'api-uother2.stacks.test', '../portal']) {
      expect(check((config) => config.tls?.certificates.push(pair(host)))).toThrow(invalid);
    }
    // Nothing says then what the platform's own zone is.
    const alone = structuredClone(good);
    for (const name of Object.keys(alone.http.routers).filter((router) => !router.includes('domain'))) {
      delete alone.http.routers[name];
    }
    expect(() => validateRouteFile({ name: 'uabc234.yml', content: JSON.stringify(alone) })).toThrow(invalid);
    expect(check((config) => config.tls?.certificates.push({ certFile: '/certs/portal.crt', keyFile: '/x' }))).toThrow(
      invalid,
    );
    expect(
      check((config) => {
        config.tls = { certificates: [], stores: { default: { defaultCertificate: pair('bot.example.org') } } };
      }),
    ).toThrow(invalid);
  });
});
