import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from '#libs/async';
import { GATE_COOKIE, IDENTITY_HEADER } from '#libs/contracts';
import {
  compareServed,
  ensureCertificates,
  GATE_BALANCER,
  readServed,
  renderShared,
  renderTenantRoutes,
  RouteFolder,
  type EdgeSettings,
  type RouteFile,
} from '#libs/edge';
import { Backend, echo } from '../support/echo-backend.js';
import { ApiCounterpart, ask, GateProcess, type Reply } from '../support/gate-process.js';
import { SteadyLoad, type LoadLine } from '../support/steady-load.js';
import { TraefikProcess, traefikBinary } from '../support/traefik.js';

jest.setTimeout(90_000);

const SLUG = 'uabc234';
const OWN = `${SLUG}.stacks.test`;
const TENANT = randomUUID();
/** Of the load. */
const LINES = 6;

/** The proxy with our files before a dashboard and two gates, one of which goes away. */
describe('two gates behind the proxy', () => {
  const dashboard = new Backend('dashboard');
  const api = new ApiCounterpart();
  let base: string;
  let traefik: TraefikProcess;
  let gates: [GateProcess, GateProcess];
  let folder: RouteFolder;
  let settings: EdgeSettings;
  let address: { host: string; port: number };
  let ca: string;
  let cookie: string;
  let load: SteadyLoad | undefined;

  const file = (slug: string, serving: 'tenant' | 'stopped' = 'tenant'): RouteFile =>
    renderTenantRoutes(
      {
        tenantId: slug === SLUG ? TENANT : randomUUID(),
        slug,
        serving,
        routes: [
          { host: 'dashboard', auth: 'portal', address },
          { host: 'api', auth: 'token', address },
        ],
      },
      settings,
    );
  const at = (host: string, path = '/', headers: Record<string, string> = {}, method = 'GET'): Promise<Reply> =>
    traefik.get(host, path, { ca, headers, method });
  /** By the proxy's own word. */
  const until = (gate: GateProcess, status: 'UP' | 'DOWN'): Promise<true> =>
    waitFor(
      async () => {
        const answer = await fetch(`http://127.0.0.1:${traefik.adminPort}/api/http/services/${GATE_BALANCER}`);
        const { serverStatus } = (await answer.json()) as { serverStatus?: Record<string, string> };
        return serverStatus?.[gate.url] === status ? true : undefined;
      },
      { what: `${gate.url} being ${status}`, deadlineMs: 20_000 },
    );
  /** Questions of the proxy that it answered with a yes. */
  const letIn = async (gate: GateProcess): Promise<number> => {
    const { body } = await ask(gate.port, '/metrics');
    return Number(
      /^aviary_gate_request_duration_seconds_count\{kind="auth",status="200"\} (\d+)$/m.exec(body)?.[1] ?? 0,
    );
  };
  /** Of its owner, at the dashboard and at a page that the gates themselves answer. */
  const loaded = async (): Promise<SteadyLoad> => {
    const opens = { host: OWN, path: '/', headers: { accept: 'text/html', cookie } };
    const page = { host: OWN, path: '/.aviary/sign-out', headers: { accept: 'text/html', cookie } };
    const lines: LoadLine[] = [
      ...Array.from({ length: LINES - 2 }, () => ({ requests: [opens] })),
      { requests: [{ ...opens, anew: true }] },
      { requests: [page, opens] },
    ];
    const { httpsPort } = traefik;
    load = new SteadyLoad(
      { portalDomain: 'portal.test', tenantDomain: 'stacks.test', httpsPort, address: '127.0.0.1', ca },
      lines,
    );
    await load.more(50);
    return load;
  };

  beforeAll(async () => {
    base = await mkdtemp(join(tmpdir(), 'aviary-two-gates-'));
    const directory = join(base, 'routes');
    await mkdir(directory);
    traefik = new TraefikProcess({ binary: traefikBinary(), directory: base, routes: directory });
    await traefik.choosePorts();
    await api.start();
    const options = {
      apiPort: api.port,
      stateDirectory: join(base, 'gate'),
      tenantDomain: 'stacks.test',
      httpsPort: traefik.httpsPort,
    };
    const first = new GateProcess(options);
    gates = [first, new GateProcess({ ...options, name: 'gate2', twinOf: first })];
    await Promise.all(gates.map((gate) => gate.start()));
    address = await dashboard.start();
    settings = {
      portalDomain: 'portal.test',
      tenantDomain: 'stacks.test',
      gateUrls: gates.map(({ url }) => url),
      proxyPort: traefik.adminPort,
      apiUrls: [`http://127.0.0.1:${address.port}`],
      certificateDir: join(base, 'certs'),
    };
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
    await folder.adopt([renderShared(settings), file(SLUG), file('uaaaaaa', 'stopped')]);
    await traefik.start();
    cookie = `${GATE_COOKIE}=${await first.session({ tenant: TENANT, slug: SLUG })}`;
    await waitFor(async () => ((await at(OWN, '/', { cookie })).status === 200 ? true : undefined), {
      what: 'the owner to be let in',
      deadlineMs: 10_000,
    });
  });
  afterEach(async () => {
    await load?.end();
    load = undefined;
  });
  afterAll(async () => {
    await traefik.stop();
    await Promise.all(gates.map((gate) => gate.stop('SIGKILL')));
    await api.stop();
    dashboard.stop();
    await rm(base, { recursive: true, force: true });
  });

  it('both are asked, of the host, path and method that were asked for, and nothing a client says changes that', async () => {
    const before = await Promise.all(gates.map(letIn));
    for (let turn = 0; turn < 10; turn += 1) {
      const reply = await at(OWN, '/x?y=1', { cookie });
      expect(echo(reply)).toMatchObject({ name: 'dashboard', url: '/x?y=1' });
      expect(echo(reply).headers[IDENTITY_HEADER]).toMatch(/^eyJ/);
    }
    const after = await Promise.all(gates.map(letIn));
    expect(after.map((count, index) => count > (before[index] ?? 0))).toEqual([true, true]);

    const seen = dashboard.seen.length;
    const start = `https://${OWN}:${traefik.httpsPort}/.aviary/start?next=%2Fbots%3Fa%3D1`;
    const forged = { 'x-forwarded-host': 'uzzz222.stacks.test', 'x-forwarded-uri': '/', 'x-forwarded-method': 'POST' };
    for (const headers of [{}, forged]) {
      const reply = await at(OWN, '/bots?a=1', { accept: 'text/html', ...headers });
      expect([reply.status, reply.headers.location]).toEqual([302, start]);
    }
    expect((await at(OWN, '/bots', { accept: 'text/html', 'x-forwarded-method': 'GET' }, 'POST')).status).toBe(401);
    // A session of this stack at another one's host, and the other way round.
    expect((await at('uaaaaaa.stacks.test', '/', { cookie, 'x-forwarded-host': OWN })).status).toBe(401);
    const other = await gates[0].session({ tenant: randomUUID(), slug: 'uaaaaaa' });
    expect((await at(OWN, '/', { cookie: `${GATE_COOKIE}=${other}`, ...forged })).status).toBe(401);
    expect(dashboard.seen).toHaveLength(seen);
    // The question is asked on loopback alone.
    expect(echo(await at('portal.test', '/auth', { cookie })).headers[IDENTITY_HEADER]).toBeUndefined();
    expect(compareServed(folder.files(), await readServed(traefik.adminPort, AbortSignal.timeout(5_000)))).toEqual([]);
  });

  it('PL-6 one after the other is replaced, routes change meanwhile, and no request of a dashboard fails', async () => {
    const steady = await loaded();
    for (const gate of gates) {
      expect(await gate.stop()).toBe(0);
      // So that the proxy forgets that it is gone.
      await folder.publish(file('ubbbbbb'));
      await steady.more(50);
      await folder.remove('ubbbbbb.yml');
      await gate.start();
      await until(gate, 'UP');
      await steady.more(50);
    }
    await steady.end();
    expect(steady.failed).toEqual([]);
  });

  it('one that is killed takes nothing with it but what it was just answering', async () => {
    const steady = await loaded();
    await gates[1].stop('SIGKILL');
    await steady.more(100);
    // At most one of each line, and an answer takes about a millisecond.
    const early = steady.failed.length;
    expect(early).toBeLessThanOrEqual(LINES);
    // The proxy forgets that it is gone.
    await folder.publish(file('ubbbbbb'));
    await steady.more(50);
    await gates[1].start();
    await until(gates[1], 'UP');
    await steady.more(50);
    expect(steady.failed.slice(early)).toEqual([]);
  });

  it('without both nobody gets in, and routes by token go on', async () => {
    const seen = dashboard.seen.length;
    await Promise.all(gates.map((gate) => gate.stop('SIGKILL')));
    expect((await at(OWN, '/', { cookie })).status).toBeGreaterThanOrEqual(500);
    expect(dashboard.seen).toHaveLength(seen);
    expect((await at(`api-${OWN}`)).status).toBe(200);
    await Promise.all(gates.map((gate) => gate.start()));
    await waitFor(async () => ((await at(OWN, '/', { cookie })).status === 200 ? true : undefined), {
      what: 'the owner to be let in again',
      deadlineMs: 10_000,
    });
  });
});
