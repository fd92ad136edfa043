import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { waitFor } from '#libs/async';
import { BALANCER_PATH } from '#libs/contracts';
import {
  compareServed,
  ensureCertificates,
  PORTAL_BALANCER,
  readServed,
  renderShared,
  renderTenantRoutes,
  RouteFolder,
  SERVED_FILE,
  type DynamicFile,
  type EdgeSettings,
  type RouteFile,
} from '#libs/edge';
import { leafFingerprint, shownFingerprint, unservedFindings } from '../../apps/agent/src/certificate-watch.js';
import { ProxyKeeper } from '../../apps/agent/src/proxy-keeper.js';
import { Backend } from '../support/echo-backend.js';
import { freePort } from '../support/ports.js';
import { linesOf, SteadyLoad } from '../support/steady-load.js';
import { TraefikProcess, traefikBinary } from '../support/traefik.js';

jest.setTimeout(90_000);

/** What is nobody's goes to the gate, which is not there. */
const NOBODY = 502;
const quiet = { warn: () => undefined, info: () => undefined, error: () => undefined };

/** An api as the proxy sees it: its public port, and the private one where it says whether it takes requests. */
class Api {
  requests = 0;
  takes = true;
  private readonly servers: Server[];

  private constructor(
    readonly url: string,
    private readonly host: string,
  ) {
    this.servers = [
      createServer((_request, response) => {
        this.requests += 1;
        response.end('{}');
      }),
      createServer((request, response) => {
        response.writeHead(request.url === `/${BALANCER_PATH}` && this.takes ? 200 : 503).end();
      }),
    ];
  }

  static async start(host: string, { port, healthPort }: { port: number; healthPort: number }): Promise<Api> {
    const api = new Api(`http://${host}:${port}`, host);
    for (const [at, server] of api.servers.entries()) {
      server.listen(at === 0 ? port : healthPort, api.host);
      await once(server, 'listening');
    }
    return api;
  }

  /** As a process that is killed: what it was answering is cut off. */
  stop(): void {
    for (const server of this.servers) {
      server.closeAllConnections();
      server.close();
    }
  }
}

describe('what the proxy serves is what the files say', () => {
  const backend = new Backend('stack');
  let base: string;
  let directory: string;
  let settings: EdgeSettings;
  let traefik: TraefikProcess;
  let folder: RouteFolder;
  let restarts: number;
  let address: { host: string; port: number };
  let ca: string;
  /** Whether the proxy watches its folder. */
  let watches: boolean;

  const newFolder = (): RouteFolder =>
    new RouteFolder({ directory, quarantineDirectory: join(base, 'quarantine'), logger: quiet });
  const file = (slug: string, host = address.host): RouteFile =>
    renderTenantRoutes(
      {
        tenantId: randomUUID(),
        slug,
        serving: 'tenant',
        routes: [{ host: 'api', auth: 'token', address: { host, port: address.port } }],
      },
      settings,
    );
  const status = async (slug: string): Promise<number> =>
    (await traefik.get(`api-${slug}.stacks.test`, '/', { ca })).status;
  const keeper = (): ProxyKeeper =>
    new ProxyKeeper({
      folder,
      read: (signal) => readServed(traefik.adminPort, signal),
      restart: async () => {
        restarts += 1;
        await traefik.stop();
        await traefik.start();
      },
      logger: quiet,
      now: () => new Date(),
    });
  const wrong = async () =>
    compareServed(folder.files(), await readServed(traefik.adminPort, AbortSignal.timeout(5_000)));
  const isTrue = (): Promise<true> =>
    waitFor(async () => ((await wrong()).length === 0 ? true : undefined), {
      what: 'the proxy serving what the files say',
      deadlineMs: 10_000,
    });

  beforeEach(async () => {
    restarts = 0;
    watches = true;
    base = await mkdtemp(join(tmpdir(), 'aviary-truth-'));
    directory = join(base, 'routes');
    await mkdir(directory);
    address = await backend.start();
    settings = {
      portalDomain: 'portal.test',
      tenantDomain: 'stacks.test',
      gateUrls: ['http://127.0.0.1:9'],
      apiUrls: [`http://127.0.0.1:${address.port}`],
      certificateDir: join(base, 'certs'),
    };
    await certificates();
    ca = await readFile(join(base, 'ca/ca.crt'), 'utf8');
    traefik = new TraefikProcess({
      binary: traefikBinary(),
      directory: base,
      routes: directory,
      change: (text) => (watches ? text : text.replace('watch: true', 'watch: false')),
    });
    await traefik.choosePorts();
    folder = newFolder();
    await folder.adopt([renderShared(settings), file('uaaaaaa'), file('ubbbbbb')]);
  });
  afterEach(async () => {
    await traefik.stop();
    backend.stop();
    await rm(base, { recursive: true, force: true });
  });

  const certificates = (now = new Date()) =>
    ensureCertificates({ mode: 'local', dataDir: base, portalDomain: 'portal.test', tenantDomain: 'stacks.test', now });

  it('FM-5 agrees over several pages, names each of six hundred stacks that is not there, and costs little', async () => {
    const slugs = Array.from({ length: 600 }, (_, at) => {
      const digit = (n: number): string => 'abcdefghijklmnopqrstuvwxyz234567'[n % 32] ?? '';
      return `uc${digit(at)}${digit(Math.floor(at / 32))}aaa`;
    });
    for (const slug of slugs) {
      await folder.publish(file(slug));
    }
    await traefik.start();
    await isTrue();
    const served = await readServed(traefik.adminPort, AbortSignal.timeout(5_000));
    // More than one page holds.
    expect(served.services.length).toBeGreaterThan(500);
    const began = performance.now();
    expect(await keeper().turn()).toEqual([]);
    expect(performance.now() - began).toBeLessThan(3_000);
    const rest = served.routers.filter(({ name }) => !slugs.slice(0, 150).some((slug) => name.startsWith(slug)));
    const gone = compareServed(folder.files(), { ...served, routers: rest });
    expect(new Set(gone.map((one) => one.file))).toEqual(new Set(slugs.slice(0, 150).map((slug) => `${slug}.yml`)));
  });

  it('FM-5 a proxy that follows its folder no more is named, written for again, and restarted once', async () => {
    watches = false;
    await traefik.start();
    await isTrue();
    const keep = keeper();
    expect(await keep.turn()).toEqual([]);
    // Up, well by its own word, and deaf.
    await folder.publish(file('uccc234'));
    await folder.remove('ubbbbbb.yml');
    expect(await status('uccc234')).toBe(NOBODY);
    expect((await wrong()).map(({ kind, name }) => `${kind} ${name}`)).toEqual(
      expect.arrayContaining(['missing uccc234-api', 'foreign ubbbbbb-api@file']),
    );
    expect(await keep.turn()).toEqual([]);
    expect(restarts).toBe(1);
    expect(keep.figures).toMatchObject({
      mismatches: 0,
      repairs: { file: 0, restart: 1 },
      routes: { rendered: 2, served: 2 },
    });
    expect([await status('uccc234'), await status('ubbbbbb')]).toEqual([200, NOBODY]);
  });

  it('FM-5 nobody is cut off because routes are written all the time', async () => {
    await traefik.start();
    await isTrue();
    const keep = keeper();
    let writing = true;
    let young = 0;
    const writer = (async () => {
      for (let turn = 0; writing; turn += 1) {
        await folder.publish(
          file(`uw${'abcdefghijklmnopqrstuvwxyz234567'[turn % 32]}aaaa`, `127.0.0.${1 + (Math.floor(turn / 32) % 2)}`),
        );
        await new Promise((resolve) => setTimeout(resolve, 40));
      }
    })();
    try {
      await waitFor(
        async () => {
          young += (await wrong()).length > 0 ? 1 : 0;
          return young >= 5 || undefined;
        },
        { what: 'looks that find a route too young to be served', deadlineMs: 30_000, maxIntervalMs: 50 },
      );
      expect(await keep.turn()).toEqual([]);
    } finally {
      writing = false;
      await writer;
    }
    expect([restarts, keep.figures.repairs]).toEqual([0, { file: 0, restart: 0 }]);
    await isTrue();
  });

  it('FM-5 a difference that no restart mends is told, and cuts nobody off a second time', async () => {
    await traefik.start();
    await isTrue();
    const unserved = file('uddd234');
    const keep = new ProxyKeeper({
      folder: { ...folderLike(folder), files: () => [...folder.files(), unserved] },
      read: (signal) => readServed(traefik.adminPort, signal),
      restart: async () => {
        restarts += 1;
        await traefik.stop();
        await traefik.start();
      },
      logger: quiet,
      now: () => new Date(),
      waits: { settleMs: 500, followMs: 1_500, startMs: 5_000 },
    });
    const told = [
      { key: 'proxy/routes', code: 'PROXY_MISMATCH', severity: 'critical', params: { files: ['uddd234.yml'] } },
    ];
    expect(await keep.turn()).toMatchObject(told);
    expect(await keep.turn()).toMatchObject(told);
    expect(restarts).toBe(1);
    expect(keep.figures.mismatches).toBeGreaterThan(0);
  });

  it('FM-5 a proxy that hangs is restarted', async () => {
    await traefik.start();
    await isTrue();
    const keep = keeper();
    traefik.pause();
    expect(await keep.turn()).toEqual([]);
    expect(restarts).toBe(1);
    expect(await status('uaaaaaa')).toBe(200);
  });

  it('FM-5 a route edited, deleted, or lost with all others is served again without a restart', async () => {
    await traefik.start();
    await isTrue();
    const keep = keeper();
    const served = join(directory, SERVED_FILE);
    const change = async (work: (http: DynamicFile['http']) => void): Promise<void> => {
      const config = JSON.parse(await readFile(served, 'utf8')) as DynamicFile;
      work(config.http);
      await writeFile(served, JSON.stringify(config));
    };
    await change((http) => {
      http.services!['uaaaaaa-api'] = {
        loadBalancer: { servers: [{ url: `http://127.0.0.9:${address.port}` }], serversTransport: 'fast@file' },
      };
      delete http.routers['ubbbbbb-api'];
    });
    await waitFor(async () => ((await status('ubbbbbb')) === NOBODY ? true : undefined), {
      what: 'the lost route',
      deadlineMs: 5_000,
    });
    expect((await wrong()).map(({ kind, part, name }) => `${kind} ${part} ${name}`)).toEqual(
      expect.arrayContaining(['different service uaaaaaa-api', 'missing router ubbbbbb-api']),
    );
    expect(await keep.turn()).toEqual([]);
    expect([await status('uaaaaaa'), await status('ubbbbbb'), restarts]).toEqual([200, 200, 0]);
    // One that does not read changes nothing; after a restart of the proxy there would be no route at all.
    await writeFile(served, 'http: [this is not');
    expect(await status('uaaaaaa')).toBe(200);
    await traefik.stop();
    await traefik.start();
    // Not even the certificate is known then.
    await expect(status('uaaaaaa')).rejects.toThrow('self-signed certificate');
    expect(await keep.turn()).toEqual([]);
    expect([await status('uaaaaaa'), await status('ubbbbbb'), restarts]).toEqual([200, 200, 0]);
    expect(keep.figures.repairs).toEqual({ file: 2, restart: 0 });
  });

  it('FM-8 a renewed certificate is read by the proxy, and one that it does not show is told', async () => {
    await traefik.start();
    await isTrue();
    const proxy = { host: '127.0.0.1', port: traefik.httpsPort };
    const read = (name: string): Promise<string> => readFile(join(base, 'certs', `${name}.crt`), 'utf8');
    const before = await shownFingerprint(proxy, 'portal.test');
    expect(before).toBe(leafFingerprint(await read('portal')));
    // A year on it is renewed; nobody told the proxy.
    expect((await certificates(new Date(Date.now() + 380 * 86_400_000))).changed).toBe(true);
    expect(await shownFingerprint(proxy, 'portal.test')).toBe(before);
    const deps = {
      names: [
        { certificate: 'portal', host: 'portal.test' },
        { certificate: 'tenants', host: 'canary.stacks.test' },
      ],
      read,
      shown: (host: string) => shownFingerprint(proxy, host),
    };
    const told = await unservedFindings({ ...deps, touch: () => Promise.resolve() });
    expect(told).toMatchObject([
      { key: 'certificate/portal/served', code: 'CERTIFICATE_NOT_SERVED', severity: 'critical' },
      { key: 'certificate/tenants/served' },
    ]);
    expect(await unservedFindings({ ...deps, touch: () => folder.touch() })).toEqual([]);
    expect(await shownFingerprint(proxy, 'portal.test')).toBe(leafFingerprint(await read('portal')));
  });

  it('PL-6 requests go on with the other api while one is gone, or says that it leaves', async () => {
    const port = await freePort();
    const healthPort = await freePort();
    const apis = [
      await Api.start('127.0.0.1', { port, healthPort }),
      await Api.start('127.0.0.2', { port, healthPort }),
    ];
    const [one, two] = apis as [Api, Api];
    settings = { ...settings, apiUrls: apis.map(({ url }) => url), apiHealthPort: healthPort };
    await folder.publish(renderShared(settings));
    await traefik.start();
    await isTrue();
    const place = {
      portalDomain: 'portal.test',
      tenantDomain: '',
      httpsPort: traefik.httpsPort,
      address: '127.0.0.1',
      ca,
    };
    const load = new SteadyLoad(place, linesOf(4, ['/']));
    const balanced = (url: string): Promise<string | undefined> =>
      fetch(`http://127.0.0.1:${traefik.adminPort}/api/http/services/${PORTAL_BALANCER}`)
        .then((answer) => answer.json() as Promise<{ serverStatus?: Record<string, string> }>)
        .then(({ serverStatus }) => serverStatus?.[url]);
    const until = (url: string, status: string): Promise<true> =>
      waitFor(async () => ((await balanced(url)) === status ? true : undefined), {
        what: `${url} being ${status}`,
        deadlineMs: 20_000,
      });
    try {
      await load.more(40);
      expect([one.requests > 0, two.requests > 0]).toEqual([true, true]);
      // It says that it leaves, and still answers: nobody is sent there once the proxy knows.
      two.takes = false;
      await until(two.url, 'DOWN');
      const then = two.requests;
      await load.more(40);
      expect(two.requests - then).toBeLessThanOrEqual(4);
      // Where both say no they are asked all the same: what is wrong they say in their own words.
      one.takes = false;
      await until(one.url, 'DOWN');
      await load.more(40);
      one.takes = two.takes = true;
      await until(one.url, 'UP');
      await until(two.url, 'UP');
      expect(load.failed).toEqual([]);

      // Gone without a word; a route that is written meanwhile has the proxy forget what it knew.
      one.stop();
      const early = load.failed.length;
      await load.more(20);
      await folder.publish(file('ueeeeee'));
      await load.more(40);
      await until(one.url, 'DOWN');
      expect(load.failed.length).toBeLessThanOrEqual(Math.max(early, 4));
      const known = load.failed.length;
      await load.more(40);
      expect(load.failed.slice(known)).toEqual([]);
      await isTrue();
    } finally {
      await load.end();
      apis.forEach((api) => api.stop());
    }
  });

  it('says so on loopback alone', async () => {
    await traefik.start();
    await isTrue();
    for (const host of ['portal.test', 'api-uaaaaaa.stacks.test', 'canary.stacks.test', '127.0.0.1']) {
      for (const path of ['/api/http/routers', '/api/rawdata', '/api/overview', '/dashboard/']) {
        const { body } = await traefik.get(host, path, { ca }).catch(() => ({ body: '' }));
        expect(body).not.toContain('"provider"');
        expect(body).not.toContain('"routers"');
      }
    }
    const { stdout } = await promisify(execFile)('ss', ['-ltnH', `sport = :${traefik.adminPort}`]);
    expect(
      stdout
        .trim()
        .split('\n')
        .map((line) => line.split(/\s+/)[3]),
    ).toEqual([`127.0.0.1:${traefik.adminPort}`]);
    // Nothing can be changed there.
    for (const method of ['PUT', 'POST', 'DELETE']) {
      const answer = await fetch(`http://127.0.0.1:${traefik.adminPort}/api/providers/file`, {
        method,
        body: method === 'DELETE' ? null : '{}',
      });
      expect(answer.status).toBeGreaterThanOrEqual(404);
    }
  });
});

const folderLike = (folder: RouteFolder): Pick<RouteFolder, 'quarantine' | 'touch'> => ({
  quarantine: () => folder.quarantine(),
  touch: () => folder.touch(),
});
