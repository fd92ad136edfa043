import type { DynamicFile } from './dynamic.js';
import { renderCanary, renderShared, strippedHeaders } from './shared-routes.js';

const settings = {
  portalDomain: 'aviary.test',
  tenantDomain: 'stacks.test',
  gateUrls: ['http://10.131.255.195:8082'],
  apiUrls: ['http://10.131.255.194:8080'],
  certificateDir: '/certs/',
};
const server = (url: string): unknown => ({
  loadBalancer: { servers: [{ url }], serversTransport: 'near@file' },
});

describe('what all routes share', () => {
  const file = renderShared(settings);

  it('is exactly this', () => {
    expect(file.name).toBe('aviary-shared.yml');
    const pair = (name: string): unknown => ({ certFile: `/certs/${name}.crt`, keyFile: `/certs/${name}.key` });
    expect(JSON.parse(file.content)).toEqual({
      http: {
        routers: {
          portal: {
            rule: 'Host(`aviary.test`) && !PathRegexp(`(?i)^/(internal|metrics)(/|$)`)',
            priority: 100,
            middlewares: ['again'],
            service: 'portal',
          },
          challenge: {
            entryPoints: ['web'],
            rule: 'PathPrefix(`/.well-known/acme-challenge/`)',
            priority: 1000,
            middlewares: ['again'],
            service: 'gate',
          },
          'challenge-secure': {
            rule: 'PathPrefix(`/.well-known/acme-challenge/`)',
            priority: 1000,
            middlewares: ['again'],
            service: 'gate',
          },
          dots: {
            rule: 'PathRegexp(`/[.][.]?;`)',
            priority: 2000,
            middlewares: ['nothing-mark', 'again'],
            service: 'gate',
          },
          'gate-path': {
            rule: 'HostRegexp(`^u[a-z2-7]{6}[.]stacks[.]test$`) && PathPrefix(`/.aviary`)',
            priority: 300,
            middlewares: ['gate-mark', 'again'],
            service: 'gate',
          },
          nothing: {
            rule: 'HostRegexp(`^([a-z0-9-]+[.])*aviary[.]test$`) || HostRegexp(`^([a-z0-9-]+[.])*stacks[.]test$`)',
            priority: 1,
            middlewares: ['nothing-mark', 'again'],
            service: 'gate',
          },
        },
        services: { portal: server('http://10.131.255.194:8080'), gate: server('http://10.131.255.195:8082') },
        middlewares: {
          strip: { headers: { customRequestHeaders: Object.fromEntries(strippedHeaders().map((name) => [name, ''])) } },
          'sign-on': {
            forwardAuth: {
              address: 'http://10.131.255.195:8082/auth',
              authRequestHeaders: ['Cookie', 'Accept'],
              authResponseHeaders: ['X-Aviary-Identity', 'X-Aviary-User'],
              maxResponseBodySize: 65_536,
              trustForwardHeader: false,
            },
          },
          away: { errors: { status: ['502', '504'], service: 'gate@file', query: '/away' } },
          again: { retry: { attempts: 10, initialInterval: '100ms' } },
          'gate-mark': { headers: { customRequestHeaders: { 'X-Aviary-Page': 'gate' } } },
          'nothing-mark': { headers: { customRequestHeaders: { 'X-Aviary-Page': 'nothing' } } },
        },
        serversTransports: {
          fast: { forwardingTimeouts: { dialTimeout: '500ms' } },
          near: { forwardingTimeouts: { dialTimeout: '250ms' } },
        },
      },
      tls: {
        certificates: [pair('portal'), pair('tenants')],
        stores: { default: { defaultCertificate: pair('portal') } },
        options: { default: { minVersion: 'VersionTLS12' } },
      },
    });
  });

  it('balances between apis that take requests, and asks each whether it does', () => {
    const apiUrls = ['http://10.131.255.194:8080', 'http://10.131.255.199:8080'];
    const { http } = JSON.parse(renderShared({ ...settings, apiUrls }).content) as DynamicFile;
    const servers = apiUrls.map((url) => ({ url }));
    expect(http.services).toMatchObject({
      portal: { failover: { service: 'portal-taking@file', fallback: 'portal-any@file' } },
      'portal-taking': {
        loadBalancer: {
          servers,
          healthCheck: { path: '/internal/balancer', port: 8081, interval: '1s', timeout: '2s' },
        },
      },
      'portal-any': { loadBalancer: { servers, serversTransport: 'near@file' } },
    });
    expect(http.services?.['portal-any']).not.toMatchObject({ loadBalancer: { healthCheck: expect.anything() } });
  });

  it('balances between gates, and has the proxy ask itself on loopback who may pass: it tries one address only', () => {
    const gateUrls = ['http://10.131.255.195:8082', 'http://10.131.255.200:8082'];
    const { http } = JSON.parse(renderShared({ ...settings, gateUrls, proxyPort: 19_080 }).content) as DynamicFile;
    const servers = gateUrls.map((url) => ({ url }));
    const healthCheck = { path: '/internal/balancer', interval: '1s', timeout: '2s' };
    expect(http.services).toMatchObject({
      gate: { failover: { service: 'gate-taking@file', fallback: 'gate-any@file' } },
      'gate-taking': { loadBalancer: { servers, serversTransport: 'near@file' } },
      'gate-any': { loadBalancer: { servers, serversTransport: 'near@file' } },
    });
    // On the gate's own port.
    expect(http.services?.['gate-taking']).toEqual({
      loadBalancer: { servers, serversTransport: 'near@file', healthCheck },
    });
    expect(http.routers['sign-on']).toEqual({
      entryPoints: ['traefik'],
      rule: 'Path(`/auth`)',
      priority: 100,
      middlewares: ['again'],
      service: 'gate',
    });
    expect(http.middlewares?.['sign-on']).toMatchObject({ forwardAuth: { address: 'http://127.0.0.1:19080/auth' } });
  });

  it('tells browsers to insist on TLS where they trust the certificate by themselves', () => {
    const strip = (strictTransport: boolean): unknown =>
      (JSON.parse(renderShared({ ...settings, strictTransport }).content) as DynamicFile).http.middlewares?.['strip'];
    expect(strip(true)).toMatchObject({ headers: { stsSeconds: 31_536_000, customRequestHeaders: expect.anything() } });
    expect(strip(false)).not.toMatchObject({ headers: { stsSeconds: expect.anything() } });
  });

  it('names an only domain once', () => {
    const one = JSON.parse(renderShared({ ...settings, tenantDomain: 'aviary.test' }).content) as DynamicFile;
    expect(one.http.routers['nothing']?.rule).toBe('HostRegexp(`^([a-z0-9-]+[.])*aviary[.]test$`)');
  });

  it('strips all spellings of every header only the edge may set', () => {
    expect(strippedHeaders()).toEqual([
      'X-Aviary-Identity',
      'X-Aviary_Identity',
      'X_Aviary-Identity',
      'X_Aviary_Identity',
      'X-Aviary-User',
      'X-Aviary_User',
      'X_Aviary-User',
      'X_Aviary_User',
      'X-Aviary-Tenant',
      'X-Aviary_Tenant',
      'X_Aviary-Tenant',
      'X_Aviary_Tenant',
      'X-Aviary-Page',
      'X-Aviary_Page',
      'X_Aviary-Page',
      'X_Aviary_Page',
      'X-Aviary-Slug',
      'X-Aviary_Slug',
      'X_Aviary-Slug',
      'X_Aviary_Slug',
    ]);
  });

  it.each([
    { portalDomain: 'a`) || Host(`b' },
    { tenantDomain: '{{ .x }}' },
    { apiUrls: ['http://api:8080'] },
    { apiUrls: ['http://10.0.0.2:8080', 'https://10.0.0.1:1'] },
    { apiUrls: ['http://10.0.0.1:8080/internal'] },
    { apiUrls: [] },
    { apiUrls: ['http://10.0.0.256:80'] },
    { gateUrls: ['http://10.0.0.1:99999'] },
    { gateUrls: [] },
    { gateUrls: ['http://10.0.0.1:8082', 'http://gate:8082'], proxyPort: 19_080 },
    // Nothing would choose between them.
    { gateUrls: ['http://10.0.0.1:8082', 'http://10.0.0.2:8082'] },
    { certificateDir: '/certs/{{ .x }}' },
    { certificateDir: 'certs' },
    { certificateDir: '/certs\n' },
  ])('refuses %j', (change) => {
    expect(() => renderShared({ ...settings, ...change })).toThrow(expect.objectContaining({ code: 'ROUTE_INVALID' }));
  });
});

describe('the canary', () => {
  it('answers on its reserved host with the generation and needs no other process', () => {
    const { name, content } = renderCanary(settings, 42);
    expect(name).toBe('aviary-canary.yml');
    expect(JSON.parse(content)).toEqual({
      http: {
        routers: {
          canary: {
            rule: 'Host(`canary.stacks.test`)',
            priority: 1000,
            middlewares: ['canary-generation'],
            service: 'noop@internal',
          },
        },
        middlewares: { 'canary-generation': { headers: { customResponseHeaders: { 'X-Aviary-Routes': '42' } } } },
      },
    });
  });

  it('refuses a generation that is no whole number', () => {
    expect(() => renderCanary(settings, 1.5)).toThrow(expect.objectContaining({ code: 'ROUTE_INVALID' }));
    expect(() => renderCanary(settings, -1)).toThrow(expect.objectContaining({ code: 'ROUTE_INVALID' }));
  });
});
