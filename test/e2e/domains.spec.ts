import { X509Certificate } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { Semaphore, waitFor } from '#libs/async';
import { GATE_COOKIE, IDENTITY_HEADER, type Actor, type DomainView } from '#libs/contracts';
import { TenantEntity, type TenantEntity as Tenant } from '#libs/db';
import { ensureCertificates, readDomainRecords, renderShared, type CertificateOptions } from '#libs/edge';
import { createLogger } from '#libs/telemetry';
import { DomainKeeper } from '../../apps/agent/src/domains/domain-keeper.js';
import { stackRoutes } from '../../apps/agent/src/domains/stack-routes.js';
import { acmeSettings } from '../support/acme-settings.js';
import { AcmeAuthority, goTools } from '../support/acme-authority.js';
import { Backend, echo } from '../support/echo-backend.js';
import { ApiCounterpart, GateProcess, type Reply } from '../support/gate-process.js';
import { ENGINE_ID, PLACES, stackWorld, type StackWorld } from '../support/stack-world.js';
import { TraefikProcess, traefikBinary } from '../support/traefik.js';

// The first run builds lego.
jest.setTimeout(900_000);

const DAY = 86_400_000;
const DOMAIN = 'bot.example.org';
const CERTIFICATE = `domains/${DOMAIN}`;

/** Claims of the token the gate hands on. */
const identityOf = (headers: Record<string, string>): unknown =>
  JSON.parse(Buffer.from((headers[IDENTITY_HEADER] ?? '').split('.')[1] ?? '', 'base64url').toString());

/** Owners' domains with the real database, DNS server, ACME authority and client, proxy and gate. */
describe('domains of owners’ own', () => {
  const api = new ApiCounterpart();
  const dashboard = new Backend('dashboard');
  let dataDir: string;
  let traefik: TraefikProcess;
  let gate: GateProcess;
  let authority: AcmeAuthority;
  let world: StackWorld;
  let keeper: DomainKeeper;
  let owner: Actor & { accountId: string };
  let stack: Tenant;
  let days = 0;
  const now = (): Date => new Date(Date.now() + days * DAY);

  const orders = async (): Promise<string[]> => {
    try {
      const text = await readFile(join(dataDir, 'acme', 'orders.json'), 'utf8');
      return (JSON.parse(text) as { certificate: string; outcome: string }[])
        .filter(({ certificate }) => certificate.startsWith('domains/'))
        .map(({ certificate, outcome }) => `${certificate} ${outcome}`);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
        return [];
      }
      throw error;
    }
  };

  /** As if its time had come: everything due is looked at, and what came of it is in place. */
  async function look(slug = stack.slug): Promise<DomainView> {
    await world.database.dataSource.query(`update tenant_domains set next_check_at = 'epoch'`);
    await keeper.turn();
    await keeper.ended();
    await keeper.turn();
    return view(slug);
  }

  async function view(slug = stack.slug): Promise<DomainView> {
    const { items } = await world.domains.list(owner, slug);
    return items.find(({ domain }) => domain === DOMAIN)!;
  }

  const txtOf = (domain: DomainView): { name: string; value: string } =>
    domain.records.find(({ type }) => type === 'TXT')!;

  /** What the proxy shows to who asks for the domain, and whether a client that knows only the authority trusts it. */
  async function shown(): Promise<{ trusted: boolean; serial: string }> {
    const ca = await authority.root();
    return new Promise((resolve, reject) => {
      const target = { host: '127.0.0.1', port: traefik.httpsPort, servername: DOMAIN, ca };
      const socket = connect({ ...target, rejectUnauthorized: false }, () => {
        resolve({ trusted: socket.authorized, serial: socket.getPeerCertificate().serialNumber });
        socket.destroy();
      });
      socket.on('error', reject);
    });
  }

  const untilTrusted = (trusted: boolean): Promise<true> =>
    waitFor(async () => ((await shown()).trusted === trusted ? true : undefined), {
      what: `the proxy to show ${trusted ? 'the domain’s' : 'another'} certificate`,
      deadlineMs: 5_000,
    });

  async function visit(path: string, cookie?: string): Promise<Reply> {
    const headers = { accept: 'text/html', ...(cookie === undefined ? {} : { cookie: `${GATE_COOKIE}=${cookie}` }) };
    return traefik.get(DOMAIN, path, { ca: await authority.root(), headers });
  }

  async function newStack(): Promise<Tenant> {
    const { stack: made, operation } = await world.stacks.create(owner, { template: 'standard' });
    await world.runner().run(operation.id, made.id, new AbortController().signal);
    return world.database.dataSource.manager.findOneByOrFail(TenantEntity, { id: made.id });
  }

  beforeAll(async () => {
    const { default: startPostgres } = await import('../support/postgres-global.mjs');
    await startPostgres();
    const tools = await goTools();
    dataDir = await mkdtemp(join(tmpdir(), 'aviary-domains-'));
    for (const folder of ['acme', 'authority', 'routes']) {
      await mkdir(join(dataDir, folder));
    }
    traefik = new TraefikProcess({ binary: traefikBinary(), directory: dataDir, routes: join(dataDir, 'routes') });
    await traefik.choosePorts();
    await api.start();
    const { tenantDomain } = PLACES;
    gate = new GateProcess({
      apiPort: api.port,
      stateDirectory: join(dataDir, 'gate'),
      tenantDomain,
      httpsPort: traefik.httpsPort,
    });
    await gate.start();
    authority = new AcmeAuthority({ tools, folder: join(dataDir, 'authority'), httpPort: traefik.httpPort });
    await authority.start();
    await writeFile(join(dataDir, 'acme', 'provider.env'), `LEGO_CA_CERTIFICATES=${authority.tlsCaFile}\n`);
    const options = (): CertificateOptions =>
      acmeSettings(dataDir, { directory: authority.directory, lego: join(tools, 'lego'), dns: authority.dns }, now());
    await ensureCertificates({ ...options(), mode: 'local' });
    world = await stackWorld({
      routes: join(dataDir, 'routes'),
      // Addresses that this machine has, so that something can stand behind a route.
      pool: { base: 127 * 2 ** 24, prefix: 14 },
      edge: {
        certificateDir: join(dataDir, 'certs'),
        gateUrls: [`http://127.0.0.1:${gate.port}`],
        apiUrls: [`http://127.0.0.1:${api.port}`],
      },
    });
    await world.folder.publish(renderShared(world.edge));
    await traefik.start();
    const { dataSource } = world.database;
    keeper = new DomainKeeper({
      dataSource,
      queue: world.queue,
      portalUrl: `https://${PLACES.portalDomain}`,
      engineId: ENGINE_ID,
      tenantDomain,
      folder: world.folder,
      routes: stackRoutes({ dataSource, routes: world.routes, settings: world.facts, now }),
      read: (names) => readDomainRecords(names, [authority.dns]),
      certificates: options,
      authority: 'authority.test',
      ordering: new Semaphore(1),
      ready: () => Promise.resolve(),
      prove: () => Promise.resolve(),
      logger: createLogger('test', 'silent'),
      now,
    });
    owner = await world.account();
    stack = await newStack();
  });
  afterAll(async () => {
    dashboard.stop();
    await keeper?.ended();
    await authority?.stop();
    await traefik?.stop();
    await gate?.stop('SIGKILL');
    await api.stop();
    await world?.close();
    await (globalThis as { stopPostgres?: () => Promise<void> }).stopPostgres?.();
    await rm(dataDir, { recursive: true, force: true });
  });

  it('FM-8 orders nothing for a domain while its DNS is not right, and says what to set', async () => {
    const added = await world.domains.add(owner, stack.slug, DOMAIN);
    const txt = txtOf(added);
    expect(txt).toMatchObject({ name: `_aviary.${DOMAIN}`, value: expect.stringMatching(/^aviary-domain=\S{43}$/) });
    expect(await look()).toMatchObject({ state: 'waiting', problem: 'TXT_MISSING' });

    await authority.addText(txt.name, 'aviary-domain=somebody-else’s');
    expect(await look()).toMatchObject({ state: 'waiting', problem: 'TXT_OTHER' });

    await authority.addText(txt.name, txt.value);
    await authority.setAddress(DOMAIN, '192.0.2.7');
    expect(await look()).toMatchObject({
      state: 'waiting',
      problem: 'ADDRESS_OTHER',
      problemParams: { found: '192.0.2.7' },
      records: expect.arrayContaining([
        { purpose: 'route_instead', type: 'A', name: DOMAIN, value: '127.0.0.1' },
      ]) as unknown,
    });

    await authority.setAddress(DOMAIN, '');
    expect(await look()).toMatchObject({ state: 'waiting', problem: 'DNS_FAILED' });
    await authority.clearFault(DOMAIN);

    await authority.setAuthorities('example.org', ['other.test']);
    await authority.setAddress(DOMAIN, '127.0.0.1');
    // Proven now, and still nothing that the authority would have to refuse.
    expect(await look()).toMatchObject({
      state: 'failing',
      problem: 'CAA_FORBIDS',
      problemParams: { authority: 'authority.test', found: 'other.test' },
    });
    expect(await orders()).toEqual([]);
    expect((await shown()).trusted).toBe(false);
  });

  it('gets its certificate by HTTP-01 once its DNS is right, and the proxy serves the dashboard with it', async () => {
    await authority.setAuthorities('example.org', ['authority.test']);
    const live = await look();
    expect(live).toMatchObject({ state: 'live', problem: null, message: null });
    expect(await orders()).toEqual([`${CERTIFICATE} issued`]);
    await untilTrusted(true);
    const certificate = new X509Certificate(await readFile(join(dataDir, 'certs', `${CERTIFICATE}.crt`)));
    expect(certificate.subjectAltName).toBe(`DNS:${DOMAIN}`);
    expect(live.certificateUntil).toBe(certificate.validToDate.toISOString());
    expect(keeper.served()).toEqual([{ certificate: CERTIFICATE, host: DOMAIN, until: certificate.validToDate }]);
  });

  it('asks for the same sign-on there, for a session of that very host', async () => {
    const first = await visit('/bots?x=1');
    const start = `https://${DOMAIN}:${traefik.httpsPort}/.aviary/start?next=${encodeURIComponent('/bots?x=1')}`;
    expect([first.status, first.headers.location]).toEqual([302, start]);
    const led = new URL((await visit(start.slice(start.indexOf('/.aviary')))).headers.location ?? '');
    expect(Object.fromEntries(led.searchParams)).toMatchObject({ stack: stack.slug, host: DOMAIN, next: '/bots?x=1' });

    const person = { tenant: stack.id, slug: stack.slug };
    const route = (await world.folder.read(`${stack.slug}.yml`)) ?? '';
    const [, address = ''] = /"http:\/\/(127\.3\.[\d.]+):8080"/.exec(route) ?? [];
    await dashboard.start({ host: address, port: 8080 });
    const entered = await visit('/', await gate.session({ ...person, claims: { host: DOMAIN } }));
    expect(entered.status).toBe(200);
    expect(identityOf(echo(entered).headers)).toMatchObject({ slug: stack.slug, host: DOMAIN });
    expect(echo(entered).headers).not.toHaveProperty('x-aviary-slug');
    for (const stranger of [
      await gate.session(person),
      await gate.session({ ...person, claims: { host: 'other.example.org' } }),
      await gate.session({ ...person, tenant: '0193a1f0-0000-7000-8000-00000000000c', claims: { host: DOMAIN } }),
    ]) {
      expect((await visit('/', stranger)).status).toBe(302);
    }
    // And one of the domain opens nothing at the stack's own host.
    const own = await traefik.get(`${stack.slug}.${PLACES.tenantDomain}`, '/', {
      ca: await readFile(join(dataDir, 'ca', 'ca.crt'), 'utf8'),
      headers: {
        accept: 'text/html',
        cookie: `${GATE_COOKIE}=${await gate.session({ ...person, claims: { host: DOMAIN } })}`,
        'x-aviary-slug': stack.slug,
      },
    });
    expect(own.status).toBe(302);
    expect(dashboard.seen).toHaveLength(1);
  });

  it('signs in and out there as at the stack’s own host', async () => {
    const ca = await authority.root();
    const cookieOf = (reply: Reply): string =>
      ([reply.headers['set-cookie'] ?? []].flat()[0] ?? '').split(';')[0] ?? '';
    const started = await visit('/.aviary/start?next=/bots');
    const token = await gate.session({ tenant: stack.id, slug: stack.slug, claims: { host: DOMAIN } });
    api.redeem = (_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ token, next: '/bots' }));
    };
    const code = 'c'.repeat(43);
    const entered = await traefik.get(DOMAIN, `/.aviary/callback?code=${code}`, {
      ca,
      headers: { cookie: cookieOf(started) },
    });
    expect([entered.status, entered.headers.location, cookieOf(entered)]).toEqual([
      303,
      '/bots',
      `${GATE_COOKIE}=${token}`,
    ]);
    expect(api.redeemed).toEqual([expect.objectContaining({ code, host: DOMAIN })]);
    expect((await visit('/bots', token)).status).toBe(200);

    const signOut = (origin: string): Promise<Reply> =>
      traefik.get(DOMAIN, '/.aviary/sign-out', {
        ca,
        method: 'POST',
        headers: { cookie: `${GATE_COOKIE}=${token}`, origin },
      });
    expect((await signOut(`https://${stack.slug}.${PLACES.tenantDomain}:${traefik.httpsPort}`)).status).toBe(403);
    expect((await signOut(`https://${DOMAIN}:${traefik.httpsPort}`)).status).toBe(303);
    expect((await visit('/bots', token)).status).toBe(302);
  });

  it('FM-8 is renewed in its last thirty days and not before, and the proxy shows the new one', async () => {
    const { serial } = await shown();
    days = 58;
    await look();
    expect((await shown()).serial).toBe(serial);
    days = 61;
    expect(await look()).toMatchObject({ state: 'live', problem: null });
    // The count keeps a week.
    expect(await orders()).toEqual([`${CERTIFICATE} issued`]);
    await waitFor(async () => ((await shown()).serial === serial ? undefined : true), {
      what: 'the proxy to show the renewed certificate',
      deadlineMs: 5_000,
    });
    days = 0;
  });

  it('FM-8 is not renewed while it leads elsewhere, which is told after three days', async () => {
    await authority.setAddress(DOMAIN, '192.0.2.7');
    days = 61;
    expect(await look()).toMatchObject({ state: 'failing', problem: 'ADDRESS_OTHER' });
    expect(keeper.findings()).toEqual([]);
    days = 65;
    await look();
    expect(keeper.findings()).toEqual([
      expect.objectContaining({
        code: 'DOMAIN_AWAY',
        severity: 'warning',
        params: expect.objectContaining({ domain: DOMAIN }),
      }),
    ]);
    expect(await orders()).toHaveLength(1);
    days = 0;
    await authority.setAddress(DOMAIN, '127.0.0.1');
    expect(await look()).toMatchObject({ state: 'live', problem: null });
    expect(keeper.findings()).toEqual([]);
  });

  it('stays with its stack while its record stands, and goes to who alone has one', async () => {
    const second = await newStack();
    const claim = txtOf(await world.domains.add(owner, second.slug, DOMAIN));
    await authority.addText(claim.name, claim.value);
    expect(await look(second.slug)).toMatchObject({ state: 'waiting', problem: 'TAKEN' });
    expect(await view()).toMatchObject({ state: 'live' });

    await authority.clearTexts(claim.name);
    expect(await look(second.slug)).toMatchObject({ state: 'waiting', problem: 'TXT_MISSING' });
    await authority.addText(claim.name, claim.value);
    await look(second.slug);
    expect(await view()).toMatchObject({ state: 'waiting', verifiedAt: null });
    expect(await world.folder.read(`${stack.slug}.yml`)).not.toContain(DOMAIN);
    expect(await look(second.slug)).toMatchObject({ state: 'live' });
    expect(await world.folder.read(`${second.slug}.yml`)).toContain(DOMAIN);
    await world.domains.remove(owner, stack.slug, DOMAIN);
    stack = second;
  });

  it('leads nowhere once removed, its certificate with it', async () => {
    await untilTrusted(true);
    await world.domains.remove(owner, stack.slug, DOMAIN);
    await keeper.turn();
    expect(await world.folder.read(`${stack.slug}.yml`)).not.toContain(DOMAIN);
    await untilTrusted(false);
    expect(await readdir(join(dataDir, 'certs', 'domains'))).toEqual([]);
    expect((await readdir(join(dataDir, 'acme', 'certificates'))).filter((name) => name.startsWith(DOMAIN))).toEqual(
      [],
    );
    expect(await world.database.dataSource.query('select domain from tenant_domains')).toEqual([]);
  });

  it('goes with its stack', async () => {
    const txt = txtOf(await world.domains.add(owner, stack.slug, DOMAIN));
    await authority.clearTexts(txt.name);
    await authority.addText(txt.name, txt.value);
    expect(await look()).toMatchObject({ state: 'live' });
    await untilTrusted(true);
    const { operation } = await world.stacks.request(owner, stack.slug, 'destroy');
    await world.runner().run(operation.id, stack.id, new AbortController().signal);
    await keeper.turn();
    await untilTrusted(false);
    expect(await readdir(join(dataDir, 'certs', 'domains'))).toEqual([]);
    expect(await world.folder.read(`${stack.slug}.yml`)).toBeNull();
  });
});
