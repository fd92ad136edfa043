import type { DynamicFile } from './dynamic.js';
import { validateRouteFile } from './render.js';
import { type EdgeSettings, renderTenantRoutes, type TenantRoutes } from './tenant-routes.js';

const settings: EdgeSettings = {
  portalDomain: 'portal.test',
  tenantDomain: 'stacks.test',
  gateUrl: 'http://10.131.255.195:8082',
  apiUrl: 'http://10.131.255.194:8080',
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
    { host: 'dashboard', auth: 'none', address, path: '/hooks/' },
    { host: 'api', auth: 'token', address },
  ],
};
const file = (domains: string[], change: Partial<TenantRoutes> = {}) =>
  renderTenantRoutes({ ...tenant, domains, ...change }, settings);
const parse = ({ content }: { content: string }): DynamicFile => JSON.parse(content) as DynamicFile;

describe('routes of an owner’s domains', () => {
  it('are those of the dashboard’s own host, under the same sign-on, with their certificate', () => {
    const { http, tls } = parse(file(['bot.example.org']));
    const own = parse(file([])).http;
    expect(http.routers).toMatchObject(own.routers);
    expect(http.routers['uabc234-domain0-dashboard']).toEqual({
      ...own.routers['uabc234-dashboard'],
      rule: 'Host(`bot.example.org`) && !PathRegexp(`/[.][.]?;`)',
      middlewares: ['uabc234-domain-auth', 'uabc234-away'],
    });
    expect(http.routers['uabc234-domain0-dashboard-path']?.rule).toBe(
      'Host(`bot.example.org`) && PathPrefix(`/hooks/`) && !PathRegexp(`;`)',
    );
    expect(http.routers['uabc234-domain0-gate']).toMatchObject({ priority: 300, middlewares: ['uabc234-domain-mark'] });
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

  it('say what the gate is to say while the stack sleeps', () => {
    const { http } = parse(file(['bot.example.org'], { serving: 'asleep' }));
    expect(http.routers['uabc234-domain0-dashboard']).toMatchObject({
      service: 'uabc234-gate',
      middlewares: ['uabc234-domain-auth', 'uabc234-domain-mark'],
    });
    expect(http.middlewares?.['uabc234-domain-mark']).toMatchObject({
      headers: { customRequestHeaders: { 'X-Aviary-Page': 'asleep' } },
    });
  });

  it('are the same text in whatever order they come', () => {
    expect(file(['b.example.org', 'a.example.org'])).toEqual(file(['a.example.org', 'b.example.org']));
  });

  it.each([
    'portal.test',
    'x.portal.test',
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
