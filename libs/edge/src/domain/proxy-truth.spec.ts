import { renderCanary, renderShared } from './shared-routes.js';
import { compareServed, countServed, describeMismatches, type Served } from './proxy-truth.js';
import { renderTenantRoutes, type EdgeSettings } from './tenant-routes.js';
import type { DynamicFile, RouteFile } from './dynamic.js';

const settings: EdgeSettings = {
  portalDomain: 'aviary.test',
  tenantDomain: 'stacks.test',
  gateUrls: ['http://10.0.0.2:8082', 'http://10.0.0.4:8082'],
  proxyPort: 19_080,
  apiUrls: ['http://10.0.0.3:8080'],
  certificateDir: '/certs',
};
const stack = (host: string, slug = 'uabcdef', serving: 'tenant' | 'asleep' = 'tenant'): RouteFile =>
  renderTenantRoutes(
    {
      tenantId: '0b8d9d44-9c5e-4a44-8a39-0a5d6a1f0b11',
      slug,
      serving,
      routes: [
        { host: 'dashboard', auth: 'portal', address: { host, port: 8080 } },
        { host: 'api', auth: 'token', address: { host, port: 8080 } },
      ],
    },
    settings,
  );
const files = [
  renderShared(settings),
  renderCanary(settings, 42),
  stack('10.1.2.3'),
  stack('10.1.2.4', 'uasleep', 'asleep'),
];

/** As Traefik 3.6.12 answers for those files: names get @file, the entry point's middleware comes first, defaults are said. */
function servedOf(given: readonly RouteFile[]): Served {
  const all = given.map(({ content }) => (JSON.parse(content) as DynamicFile).http);
  const each = <T extends object>(things: Readonly<Record<string, T>> | undefined) =>
    Object.entries(things ?? {}).map(([name, it]) => ({
      ...it,
      name: `${name}@file`,
      provider: 'file',
      status: 'enabled',
    }));
  return {
    routers: [
      ...all.flatMap(({ routers }) =>
        each(routers).map((router) => ({
          ...router,
          entryPoints: router.entryPoints ?? ['websecure'],
          middlewares: [
            ...(router.entryPoints?.[0] === 'traefik' ? [] : ['strip@file']),
            ...(router.middlewares ?? []).map(qualified),
          ],
          ...(router.entryPoints ? {} : { tls: { options: 'default' } }),
        })),
      ),
      {
        name: 'api@internal',
        provider: 'internal',
        status: 'enabled',
        rule: 'PathPrefix(`/api`)',
        priority: 2 ** 62,
        service: 'api@internal',
        entryPoints: ['traefik'],
        middlewares: [],
      },
    ],
    services: all.flatMap(({ services }) =>
      each(services).map((one) =>
        'loadBalancer' in one
          ? { ...one, loadBalancer: { ...one.loadBalancer, strategy: 'wrr', passHostHeader: true } }
          : one,
      ),
    ),
    middlewares: all.flatMap(({ middlewares }) =>
      each(middlewares).map((one) => JSON.parse(JSON.stringify(one, leaveOutFalse)) as typeof one),
    ),
  };
}
const qualified = (name: string): string => (name.includes('@') ? name : `${name}@file`);
const leaveOutFalse = (_key: string, value: unknown): unknown => (value === false ? undefined : value);

describe('what the proxy serves', () => {
  it('is what the files say', () => {
    expect(compareServed(files, servedOf(files))).toEqual([]);
  });

  it('misses a file it did not take over, and still has one that is gone', () => {
    const others = [...files.slice(0, 2), ...files.slice(3)];
    const missing = compareServed(files, servedOf(others));
    expect(missing.map(({ kind, part, name }) => `${kind} ${part} ${name}`)).toEqual([
      'missing router uabcdef-dashboard',
      'missing router uabcdef-api',
      'missing service uabcdef-dashboard',
    ]);
    expect(missing.every(({ file }) => file === 'uabcdef.yml')).toBe(true);
    const foreign = compareServed(others, servedOf(files));
    expect(new Set(foreign.map(({ kind, file }) => `${kind} ${file}`))).toEqual(new Set(['foreign null']));
    expect(foreign).toHaveLength(3);
  });

  it('differs where an old address, an old stack id or a lost guard is served', () => {
    const old = compareServed(files, servedOf([...files.slice(0, 2), stack('10.9.9.9'), ...files.slice(3)]));
    expect(old.map(({ kind, part, name }) => `${kind} ${part} ${name}`)).toEqual([
      'different service uabcdef-dashboard',
    ]);
    const served = servedOf(files);
    const changes: [router: string, change: Partial<Served['routers'][number]>][] = [
      ['uabcdef-dashboard', { middlewares: ['strip@file'] }],
      ['uasleep-api', { middlewares: ['uasleep-mark@file', 'again@file'] }],
      ['gate-path', { entryPoints: ['web', 'websecure'] }],
      ['portal', { rule: 'Host(`elsewhere.test`)' }],
      ['uabcdef-api', { status: 'disabled' }],
      ['canary', { priority: 1 }],
      ['challenge', { tls: {} }],
      ['uabcdef-api', { tls: undefined }],
      ['sign-on', { entryPoints: ['websecure'] }],
    ];
    for (const [router, change] of changes) {
      const changed = served.routers.map((one) => (one.name === `${router}@file` ? { ...one, ...change } : one));
      expect(compareServed(files, { ...served, routers: changed })).toMatchObject([
        { kind: 'different', name: router },
      ]);
    }
    const marks = served.middlewares.map((one) =>
      one.name === 'uasleep-mark@file'
        ? { ...one, headers: { customRequestHeaders: { 'X-Aviary-Tenant': 'x' } } }
        : one,
    );
    expect(compareServed(files, { ...served, middlewares: marks })).toMatchObject([{ name: 'uasleep-mark' }]);
  });

  it('is told in words, the first few by name', () => {
    const words = describeMismatches(compareServed(files, servedOf(files.slice(0, 2))));
    expect(words).toContain('router uabcdef-dashboard of uabcdef.yml is not served; ');
    expect(words.endsWith('; and 1 more')).toBe(true);
  });
});

it('counts the stacks of which all is served, and no file of ours', () => {
  expect(countServed(files, compareServed(files, servedOf(files)))).toEqual({ rendered: 2, served: 2 });
  const all = servedOf(files);
  const less = { ...all, routers: all.routers.filter(({ name }) => !name.startsWith('uasleep')) };
  expect(countServed(files, compareServed(files, less))).toEqual({ rendered: 2, served: 1 });
  const more = servedOf([...files, stack('10.1.2.5', 'uforeig')]);
  expect(countServed(files, compareServed(files, more))).toEqual({ rendered: 2, served: 2 });
});
