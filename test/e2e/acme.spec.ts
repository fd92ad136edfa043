import { X509Certificate } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { waitFor } from '#libs/async';
import {
  type CertificateOptions,
  type CertificateReport,
  RouteFolder,
  ensureCertificates,
  renderShared,
} from '#libs/edge';
import { AcmeAuthority, goTools } from '../support/acme-authority.js';
import { ApiCounterpart, GateProcess } from '../support/gate-process.js';
import { TraefikProcess, traefikBinary } from '../support/traefik.js';

// The first run builds lego.
jest.setTimeout(900_000);

const DAY = 86_400_000;
const later = (days: number): Date => new Date(Date.now() + days * DAY);

/** lego orders from Pebble; Pebble asks back through Traefik and the gate, and through a DNS server. */
describe('certificates by ACME', () => {
  const api = new ApiCounterpart();
  let dataDir: string;
  let tools: string;
  let traefik: TraefikProcess;
  let gate: GateProcess;
  let folder: RouteFolder;
  let authority: AcmeAuthority;
  let options: CertificateOptions;

  const ensure = (change: Partial<CertificateOptions> = {}): Promise<CertificateReport> =>
    ensureCertificates({ ...options, now: new Date(), ...change });
  const text = (path: string): Promise<string> => readFile(join(dataDir, path), 'utf8');
  const serial = async (name: string): Promise<string> =>
    new X509Certificate(await text(`certs/${name}.crt`)).serialNumber;
  const orders = async (): Promise<string[]> =>
    (JSON.parse(await text('acme/orders.json')) as { certificate: string; outcome: string }[]).map(
      ({ certificate, outcome }) => `${certificate} ${outcome}`,
    );
  /** What a client that trusts only the authority makes of the proxy's certificate for this name. */
  const trusted = async (servername: string): Promise<boolean> => {
    const ca = await authority.root();
    return new Promise((resolve) => {
      const socket = connect({ host: '127.0.0.1', port: traefik.httpsPort, servername, ca }, () => {
        resolve(true);
        socket.destroy();
      });
      socket.on('error', () => resolve(false));
    });
  };

  beforeAll(async () => {
    tools = await goTools();
    dataDir = await mkdtemp(join(tmpdir(), 'aviary-acme-'));
    await mkdir(join(dataDir, 'acme'));
    await mkdir(join(dataDir, 'authority'));
    await mkdir(join(dataDir, 'routes'));
    traefik = new TraefikProcess({ binary: traefikBinary(), directory: dataDir, routes: join(dataDir, 'routes') });
    await traefik.choosePorts();
    await api.start();
    gate = new GateProcess({
      apiPort: api.port,
      stateDirectory: join(dataDir, 'gate'),
      tenantDomain: 'stacks.test',
      httpsPort: traefik.httpsPort,
    });
    await gate.start();
    authority = new AcmeAuthority({ tools, folder: join(dataDir, 'authority'), httpPort: traefik.httpPort });
    await authority.start();
    options = {
      mode: 'acme',
      dataDir,
      portalDomain: 'portal.test',
      tenantDomain: 'stacks.test',
      now: new Date(),
      acme: {
        email: 'ops@example.org',
        directory: authority.directory,
        dnsProvider: 'exec',
        lego: join(tools, 'lego'),
        dnsServers: [authority.dns],
        legoArguments: ['--dns.resolvers', authority.dns, '--dns.propagation-disable-ans'],
      },
    };
    await writeFile(
      join(dataDir, 'acme', 'provider.env'),
      `# for lego's exec provider\nEXEC_PATH=${authority.dnsHook}\nEXEC_SEQUENCE_INTERVAL=1\nEXEC_POLLING_INTERVAL=1\nLEGO_CA_CERTIFICATES="${authority.tlsCaFile}"\n`,
    );
    // What `up` does: something to serve before the agent orders.
    await ensure({ mode: 'local' });
    folder = new RouteFolder({
      directory: join(dataDir, 'routes'),
      quarantineDirectory: join(dataDir, 'quarantine'),
      logger: { warn: () => undefined, info: () => undefined },
    });
    const url = (port: number): string => `http://127.0.0.1:${port}`;
    await folder.adopt([
      renderShared({
        portalDomain: 'portal.test',
        tenantDomain: 'stacks.test',
        gateUrls: [url(gate.port)],
        apiUrls: [url(api.port)],
        certificateDir: join(dataDir, 'certs'),
      }),
    ]);
    await traefik.start();
  });
  afterAll(async () => {
    await authority?.stop();
    await traefik?.stop();
    await gate?.stop('SIGKILL');
    await api.stop();
    await rm(dataDir, { recursive: true, force: true });
  });

  it('FM-8 orders nothing for a name that leads nowhere, and does not count it', async () => {
    await authority.setAddress('portal.test', '');
    await authority.setAddress('stacks.test', '');
    await expect(ensure()).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(text('acme/orders.json')).rejects.toMatchObject({ code: 'ENOENT' });
    await authority.clearFault('portal.test');
    await authority.clearFault('stacks.test');
  });

  it('keeps what is served when the authority refuses, says why, and counts the attempt', async () => {
    const before = await serial('portal');
    // Nobody answers the challenge.
    await gate.stop('SIGKILL');
    await expect(ensure()).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringMatching(/certificate portal was not issued: .*portal\.test/s) as string,
    });
    expect(await orders()).toEqual(['tenants issued', 'portal failed']);
    expect(await serial('portal')).toBe(before);
    await gate.start();
  });

  it('FM-9 replaces the stand-ins, made outside the proxy and handed to it as files: a wildcard by DNS-01, the portal by HTTP-01 through proxy and gate', async () => {
    const report = await ensure();
    expect(report.changed).toBe(true);
    expect(await orders()).toEqual(['tenants issued', 'portal failed', 'portal issued']);
    expect(new X509Certificate(await text('certs/tenants.crt')).subjectAltName).toBe(
      'DNS:stacks.test, DNS:*.stacks.test',
    );
    expect(new X509Certificate(await text('certs/portal.crt')).subjectAltName).toBe('DNS:portal.test');
    expect(report.expiresAt.portal.getTime()).toBeGreaterThan(later(89).getTime());
    await folder.touch();
    for (const host of ['portal.test', 'uabc234.stacks.test', 'api-uabc234.stacks.test']) {
      await waitFor(async () => ((await trusted(host)) ? true : undefined), {
        what: `${host} over TLS`,
        deadlineMs: 5000,
      });
    }
  });

  it('FM-8 orders nothing while both are good, and both again in their last thirty days', async () => {
    const before = [await serial('portal'), await serial('tenants')];
    expect((await ensure({ now: later(58) })).changed).toBe(false);
    expect([await serial('portal'), await serial('tenants')]).toEqual(before);
    expect((await ensure({ now: later(61) })).changed).toBe(true);
    expect(await serial('portal')).not.toBe(before[0]);
    expect(await serial('tenants')).not.toBe(before[1]);
  });

  it('uses the wildcard for a portal it covers, with one order', async () => {
    const count = (await orders()).length;
    const { changed } = await ensure({ portalDomain: 'portal.stacks.test' });
    expect(changed).toBe(true);
    expect(await text('certs/portal.crt')).toBe(await text('certs/tenants.crt'));
    expect(await orders()).toHaveLength(count);
  });

  it('FM-8 stops at the budget', async () => {
    const at = new Date().toISOString();
    const issued = ['tenants', 'portal'].flatMap((certificate) =>
      Array(4).fill({ at, certificate, outcome: 'issued' }),
    );
    await writeFile(join(dataDir, 'acme', 'orders.json'), JSON.stringify(issued));
    await rm(join(dataDir, 'certs', 'tenants.crt'));
    await expect(ensure()).rejects.toMatchObject({ code: 'RATE_LIMITED' });
    expect(await orders()).toHaveLength(8);
  });
});
