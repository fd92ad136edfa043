import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type PeerCertificate } from 'node:tls';
import { waitFor } from '#libs/async';
import { GATE_COOKIE } from '#libs/contracts';
import { issueLeaf } from '#libs/crypto';
import {
  type DynamicFile,
  type EdgeSettings,
  RouteFolder,
  SERVED_FILE,
  type TenantRoute,
  canaryHost,
  composeFiles,
  ensureCertificates,
  renderCanary,
  renderShared,
  renderTenantRoutes,
  strippedHeaders,
} from '#libs/edge';
import { Backend, echo } from '../support/echo-backend.js';
import { ApiCounterpart, GateProcess, ask, type Reply } from '../support/gate-process.js';
import { freePort } from '../support/ports.js';

import { TraefikProcess, traefikBinary } from '../support/traefik.js';

jest.setTimeout(60_000);

describe('the proxy with the files we render', () => {
  const SLUG = 'uabc234';
  const TENANT = randomUUID();
  const OWN = `${SLUG}.stacks.test`;
  const API = `api-${SLUG}.stacks.test`;
  const portal = new Backend('portal');
  const dashboard = new Backend('dashboard');
  const token = new Backend('token');
  const hooks = new Backend('hooks');
  const backends = [portal, dashboard, token, hooks];
  const api = new ApiCounterpart();
  let base: string;
  let gate: GateProcess;
  let traefik: TraefikProcess;
  let folder: RouteFolder;
  let settings: EdgeSettings;
  let routes: TenantRoute[];
  let ca = '';
  let cookie = '';
  let generation = 0;

  const at = (
    host: string,
    path = '/',
    headers: Record<string, string | string[]> = {},
    method = 'GET',
  ): Promise<Reply> => traefik.get(host, path, { ca, headers, method });
  const arrived = (): string[] => backends.flatMap((backend) => backend.seen.map(({ url }) => url));
  const tenantFile = (slug: string, serving: 'tenant' | 'asleep' = 'tenant', tenantId = TENANT) =>
    renderTenantRoutes({ tenantId, slug, serving, routes: slug === SLUG ? routes : routes.slice(0, 2) }, settings);
  /** Publishes the next generation and waits until the proxy serves it; resolves with false when it never does. */
  const follows = async (deadlineMs = 5000): Promise<boolean> => {
    generation += 1;
    await folder.publish(renderCanary(settings, generation));
    return waitFor(
      async () =>
        (await at(canaryHost('stacks.test'))).headers['x-aviary-routes'] === String(generation) ? true : undefined,
      { what: 'the proxy to follow', deadlineMs },
    ).catch(() => false);
  };

  beforeAll(async () => {
    base = await mkdtemp(join(tmpdir(), 'aviary-proxy-'));
    const directory = join(base, 'routes');
    await mkdir(directory);
    traefik = new TraefikProcess({ binary: traefikBinary(), directory: base, routes: directory });
    await traefik.choosePorts();
    await api.start();
    gate = new GateProcess({
      apiPort: api.port,
      stateDirectory: join(base, 'gate'),
      tenantDomain: 'stacks.test',
      httpsPort: traefik.httpsPort,
    });
    await gate.start();
    const [portalAt, dashboardAt, tokenAt, hooksAt] = await Promise.all(backends.map((backend) => backend.start()));
    settings = {
      portalDomain: 'portal.test',
      tenantDomain: 'stacks.test',
      gateUrls: [`http://127.0.0.1:${gate.port}`],
      apiUrls: [`http://127.0.0.1:${portalAt!.port}`],
      certificateDir: join(base, 'certs'),
    };
    routes = [
      { host: 'dashboard', auth: 'portal', address: dashboardAt! },
      { host: 'api', auth: 'token', address: tokenAt! },
      { host: 'api', auth: 'none', address: hooksAt!, path: '/hooks/' },
    ];
    await ensureCertificates({
      mode: 'local',
      dataDir: base,
      portalDomain: 'portal.test',
      tenantDomain: 'stacks.test',
      now: new Date(),
    });
    ca = await readFile(join(base, 'ca', 'ca.crt'), 'utf8');
    folder = new RouteFolder({
      directory,
      quarantineDirectory: join(base, 'quarantine'),
      logger: { warn: () => undefined, info: () => undefined },
    });
    await folder.adopt([renderShared(settings), renderCanary(settings, 0), tenantFile(SLUG)]);
    await traefik.start();
    cookie = `${GATE_COOKIE}=${await gate.session({ tenant: TENANT, slug: SLUG })}`;
    expect(await follows()).toBe(true);
    await waitFor(async () => ((await at(OWN, '/', { cookie })).status === 200 ? true : undefined), {
      what: 'the owner to be let in',
      deadlineMs: 5000,
    });
  });
  afterAll(async () => {
    await traefik.stop();
    await gate.stop('SIGKILL');
    await api.stop();
    backends.forEach((backend) => backend.stop());
    await rm(base, { recursive: true, force: true });
  });
  beforeEach(() => {
    for (const backend of backends) {
      backend.seen.length = 0;
    }
  });

  describe('routes', () => {
    it('lead each host to its process over TLS, and plain HTTP to HTTPS', async () => {
      expect(echo(await at('portal.test', '/api/v1/me')).name).toBe('portal');
      expect(echo(await at(OWN, '/x', { cookie })).name).toBe('dashboard');
      expect(echo(await at(API, '/x')).name).toBe('token');
      expect(echo(await at(API, '/hooks/x')).name).toBe('hooks');
      for (const [method, status] of [
        ['GET', 301],
        ['POST', 308],
      ] as const) {
        const reply = await ask(traefik.httpPort, '/a?b=c', { method, headers: { host: OWN } });
        expect([reply.status, reply.headers.location]).toEqual([status, `https://${OWN}:${traefik.httpsPort}/a?b=c`]);
      }
      expect(arrived()).toEqual(['/api/v1/me', '/x', '/x', '/hooks/x']);
    });

    it('send a visitor without a session to sign-on and let no other customer in', async () => {
      const reply = await at(OWN, '/bots', { accept: 'text/html' });
      expect([reply.status, reply.headers.location]).toEqual([
        302,
        `https://${OWN}:${traefik.httpsPort}/.aviary/start?next=%2Fbots`,
      ]);
      const start = await at(OWN, '/.aviary/start?next=/bots');
      expect(start.status).toBe(302);
      expect(start.headers.location).toContain(`https://portal.test:${traefik.httpsPort}/sign-on?stack=${SLUG}&state=`);
      const stranger = await gate.session({ tenant: randomUUID(), slug: 'uzzz222' });
      expect((await at(OWN, '/', { cookie: `${GATE_COOKIE}=${stranger}` })).status).toBe(401);
      expect((await at(OWN, '/')).status).toBe(401);
      expect(arrived()).toEqual([]);
    });

    it('answer unknown hosts and the api’s private paths with a page of nothing', async () => {
      for (const [host, path] of [
        ['uzzz222.stacks.test', '/'],
        ['portal.test', '/internal/redeem'],
        ['portal.test', '/INTERNAL/redeem'],
        ['portal.test', '/metrics'],
        ['portal.test', '//internal/redeem'],
        ['portal.test', '/x/../internal/redeem'],
        ['portal.test', '/%69nternal/redeem'],
        ['portal.test', '/..;/internal/redeem'],
      ] as const) {
        expect(`${path} ${(await at(host, path)).status}`).toBe(`${path} 404`);
      }
      expect(arrived()).toEqual([]);
    });

    it('serve ACME answers over plain HTTP without a redirect', async () => {
      const challenges = join(base, 'gate', 'webroot', '.well-known', 'acme-challenge');
      await mkdir(challenges, { recursive: true });
      await writeFile(join(challenges, 'tok'), 'tok.print');
      const reply = await ask(traefik.httpPort, '/.well-known/acme-challenge/tok', {
        headers: { host: 'portal.test' },
      });
      expect([reply.status, reply.body]).toEqual([200, 'tok.print']);
      expect((await at('portal.test', '/.well-known/acme-challenge/tok')).body).toBe('tok.print');
    });

    it('tell browsers to insist on TLS, each host of its own and over TLS only, where that was asked for', async () => {
      const said = async (): Promise<unknown[]> => {
        const replies = [
          await at('portal.test'),
          await at(OWN, '/', { cookie }),
          await at(OWN, '/', { accept: 'text/html' }),
          await at(API),
          await at('uzzz222.stacks.test'),
        ];
        return [...new Set(replies.map(({ headers }) => headers['strict-transport-security']))];
      };
      expect(await said()).toEqual([undefined]);
      await folder.publish(renderShared({ ...settings, strictTransport: true }));
      try {
        expect(await follows()).toBe(true);
        expect(await said()).toEqual(['max-age=31536000']);
        const plain = await ask(traefik.httpPort, '/', { headers: { host: OWN } });
        expect([plain.status, plain.headers['strict-transport-security']]).toEqual([301, undefined]);
      } finally {
        await folder.publish(renderShared(settings));
      }
      expect(await follows()).toBe(true);
    });
  });

  describe('what a client must not be able to say', () => {
    const forged = Object.fromEntries(strippedHeaders().map((header) => [header, 'forged']));

    it('identity headers are stripped on every route, in every spelling', async () => {
      const reached = [
        echo(await at('portal.test', '/', forged)),
        echo(await at(OWN, '/', { ...forged, cookie })),
        echo(await at(API, '/', forged)),
        echo(await at(API, '/hooks/x', forged)),
      ];
      for (const { name, headers } of reached) {
        const left = Object.entries(headers).filter(([key, value]) => /aviary/i.test(key) && value.includes('forged'));
        expect([name, left]).toEqual([name, []]);
      }
      const twice = echo(await at(API, '/', { 'x-AVIARY-identity': ['forged', 'forged'] }));
      expect(JSON.stringify(twice.headers)).not.toContain('forged');
    });

    it('the dashboard hears of its person from the gate alone', async () => {
      const { headers } = echo(await at(OWN, '/', { ...forged, cookie }));
      expect(headers['x-aviary-identity']?.split('.')).toHaveLength(3);
      expect(headers['x-aviary-user']).toBe('0193a1f0-0000-7000-8000-00000000000a');
    });

    it('the mark of a route cannot be taken off by naming it hop-by-hop', async () => {
      const connection = ['X-Aviary-Page', 'X-Aviary-Tenant', 'X-Aviary-Identity', 'X-Forwarded-Host'].join(', ');
      expect((await at('uzzz222.stacks.test', '/healthz', { connection })).status).toBe(404);
      expect((await at('uzzz222.stacks.test', '/auth', { connection, cookie })).status).toBe(404);
      expect((await at(OWN, '/.aviary/start', { connection })).status).toBe(302);
      expect((await at(OWN, '/', { connection })).status).toBe(401);
      // The header does arrive: what it names of the client's own is taken off.
      const seen = echo(await at(API, '/', { connection: 'X-Own', 'x-own': '1', 'x-other': '2' })).headers;
      expect([seen['x-own'], seen['x-other']]).toEqual([undefined, '2']);
    });

    it('no header of a client reaches the gate’s own decisions', async () => {
      const claims = {
        'x-forwarded-host': 'uzzz222.stacks.test',
        'x-forwarded-uri': '//evil',
        'x-forwarded-method': 'GET',
      };
      const reply = await at(OWN, '/bots', { ...forged, ...claims, accept: 'text/html' });
      expect(reply.headers.location).toBe(`https://${OWN}:${traefik.httpsPort}/.aviary/start?next=%2Fbots`);
      const page = await at('uzzz222.stacks.test', '/.aviary/start', {
        'x-aviary-tenant': TENANT,
        accept: 'text/html',
      });
      // Whose sign-on it is says the host alone; of a stack that is none, the portal says so.
      expect(page.headers.location).toContain('/sign-on?stack=uzzz222&');
      expect(page.headers.location).not.toContain(TENANT);
      expect((await at('uzzz222.stacks.test', '/healthz')).status).toBe(404);
      expect((await at('uzzz222.stacks.test', '/auth', { cookie })).status).toBe(404);
    });
  });

  describe('the folder', () => {
    it('a new stack is live within a second, and gone with its file', async () => {
      await folder.publish(tenantFile('unew222', 'tenant', randomUUID()));
      const begun = performance.now();
      await waitFor(async () => ((await at('api-unew222.stacks.test')).status === 200 ? true : undefined), {
        what: 'the new route',
        deadlineMs: 5000,
      });
      expect(performance.now() - begun).toBeLessThan(2000);
      await folder.remove('unew222.yml');
      expect(await follows()).toBe(true);
      expect((await at('api-unew222.stacks.test')).status).toBe(404);
    });

    it('a sleeping stack answers by the gate, to its owner alone', async () => {
      await folder.publish(tenantFile(SLUG, 'asleep'));
      expect(await follows()).toBe(true);
      const page = await at(OWN, '/bots', { cookie, accept: 'text/html' });
      expect(page.status).toBe(503);
      expect(page.body).toContain('<h1>Waking up');
      expect(api.woken).toHaveLength(1);
      expect((await at(OWN, '/bots', { accept: 'text/html' })).status).toBe(302);
      expect(JSON.parse((await at(API, '/x')).body)).toMatchObject({ code: 'UNAVAILABLE' });
      expect(api.woken).toHaveLength(1);
      await folder.publish(tenantFile(SLUG));
      expect(await follows()).toBe(true);
      expect((await at(OWN, '/', { cookie })).status).toBe(200);
    });

    it('a stack that does not answer is spoken for by the gate, to its owner alone', async () => {
      const closed = { host: '127.0.0.1', port: await freePort() };
      const nobody = routes.map((route) => ({ ...route, address: closed }));
      await folder.publish(
        renderTenantRoutes({ tenantId: TENANT, slug: SLUG, serving: 'tenant', routes: nobody }, settings),
      );
      expect(await follows()).toBe(true);
      const page = await at(OWN, '/bots', { cookie, accept: 'text/html' });
      expect([page.status, page.headers['cache-control']]).toEqual([502, 'no-store']);
      expect(page.body).toContain('<h1>Not answering');
      expect((await at(OWN, '/bots', { accept: 'text/html' })).status).toBe(302);
      const posted = await at(API, '/api/v1/bots', {}, 'POST');
      expect([posted.status, (JSON.parse(posted.body) as { code: string }).code]).toEqual([502, 'UNAVAILABLE']);
      await folder.publish(tenantFile(SLUG));
      expect(await follows()).toBe(true);
      expect((await at(OWN, '/', { cookie })).status).toBe(200);
    });

    it('FM-5 a broken file beside ours stops nothing, neither an update nor a start', async () => {
      await writeFile(join(base, 'routes', 'broken.yml'), 'http:\n  routers: [');
      expect(await follows()).toBe(true);
      await traefik.stop();
      await traefik.start();
      expect(await follows()).toBe(true);
      expect((await at(OWN, '/', { cookie })).status).toBe(200);
      expect(await folder.quarantine()).toMatchObject([{ name: 'broken.yml', reason: 'broken' }]);
    });

    it('FM-5 what the proxy reads torn in the middle changes nothing, and is whole again', async () => {
      const served = join(base, 'routes', SERVED_FILE);
      const good = await readFile(served, 'utf8');
      await truncate(served, Math.floor(good.length / 2));
      expect((await at(OWN, '/', { cookie })).status).toBe(200);
      expect(await folder.quarantine()).toMatchObject([{ name: SERVED_FILE, reason: 'altered' }]);
      expect(await readFile(served, 'utf8')).toBe(good);
      expect(await follows()).toBe(true);
      expect((await at(OWN, '/', { cookie })).status).toBe(200);
    });

    it('a file that would take a host over takes nothing, and neither does one in the served file for long', async () => {
      const thief = tenantFile(SLUG)
        .content.replaceAll(`${SLUG}-`, 'thief-')
        .replaceAll('"priority": 100', '"priority": 900')
        .replaceAll(`:${routes[1]!.address.port}"`, `:${routes[2]!.address.port}"`);
      await writeFile(join(base, 'routes', 'thief.yml'), thief);
      expect(await follows()).toBe(true);
      expect(echo(await at(API, '/')).name).toBe('token');
      expect(await folder.quarantine()).toMatchObject([{ name: 'thief.yml', reason: 'broken' }]);
      const parse = (text: string): DynamicFile => JSON.parse(text) as DynamicFile;
      const served = join(base, 'routes', SERVED_FILE);
      await writeFile(served, composeFiles([parse(await readFile(served, 'utf8')), parse(thief)]));
      await waitFor(async () => (echo(await at(API, '/')).name === 'hooks' ? true : undefined), {
        what: 'the thief to be followed',
        deadlineMs: 5000,
      });
      expect(await folder.quarantine()).toMatchObject([{ name: SERVED_FILE, reason: 'altered' }]);
      expect(await follows()).toBe(true);
      expect(echo(await at(API, '/')).name).toBe('token');
    });

    it('a renewed certificate is served once the folder was touched', async () => {
      const served = (): Promise<string> =>
        new Promise((resolve, reject) => {
          const socket = connect({ port: traefik.httpsPort, host: '127.0.0.1', servername: OWN, ca }, () => {
            resolve((socket.getPeerCertificate() as PeerCertificate).serialNumber);
            socket.destroy();
          });
          socket.on('error', reject);
        });
      const before = await served();
      const authority = { certificate: ca, key: await readFile(join(base, 'ca', 'ca.key'), 'utf8') };
      const leaf = await issueLeaf(authority, ['portal.test', 'stacks.test', '*.stacks.test'], new Date());
      for (const name of ['portal', 'tenants']) {
        await writeFile(join(base, 'certs', `${name}.key`), leaf.key);
        await writeFile(join(base, 'certs', `${name}.crt`), leaf.certificate);
      }
      await folder.touch();
      await waitFor(async () => ((await served()) === before ? undefined : true), {
        what: 'the new certificate',
        deadlineMs: 5000,
      });
      expect((await at(OWN, '/', { cookie })).status).toBe(200);
    });
  });

  it('speaks no TLS older than 1.2', async () => {
    const attempt = (maxVersion: 'TLSv1.1' | 'TLSv1.2'): Promise<string> =>
      new Promise((resolve) => {
        const socket = connect(
          {
            port: traefik.httpsPort,
            host: '127.0.0.1',
            servername: OWN,
            ca,
            minVersion: 'TLSv1',
            maxVersion,
            ciphers: 'DEFAULT@SECLEVEL=0',
          },
          () => {
            resolve(socket.getProtocol() ?? '');
            socket.destroy();
          },
        );
        socket.on('error', () => resolve('refused'));
      });
    expect(await attempt('TLSv1.1')).toBe('refused');
    expect(await attempt('TLSv1.2')).toBe('TLSv1.2');
  });

  it('without the gate fails closed, while routes by token go on', async () => {
    await gate.stop('SIGKILL');
    const reply = await at(OWN, '/', { cookie });
    expect(reply.status).toBeGreaterThanOrEqual(500);
    expect(dashboard.seen).toEqual([]);
    expect((await at(API, '/')).status).toBe(200);
    await gate.start();
    expect((await at(OWN, '/', { cookie })).status).toBe(200);
  });
});
