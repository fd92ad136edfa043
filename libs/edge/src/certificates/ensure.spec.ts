import { X509Certificate } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { certificateProblems, createAuthority, issueLeaf, type PemPair } from '#libs/crypto';
import { ensureCertificates, readPortalAuthority } from './ensure.js';
import type { CertificateOptions } from './options.js';

const DAY = 86_400_000;
const now = new Date();
const later = (days: number): Date => new Date(now.getTime() + days * DAY);

describe('certificates', () => {
  let dataDir: string;
  let options: CertificateOptions;
  const text = (path: string): Promise<string> => readFile(join(dataDir, path), 'utf8');
  const mode = async (path: string): Promise<string> => ((await stat(join(dataDir, path))).mode & 0o777).toString(8);
  const served = async (): Promise<PemPair> => ({
    certificate: await text('certs/portal.crt'),
    key: await text('certs/portal.key'),
  });

  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'aviary-certs-'));
    options = { mode: 'local', dataDir, portalDomain: 'portal.test', tenantDomain: 'stacks.test', now };
  });
  afterEach(async () => {
    await rm(dataDir, { recursive: true, force: true });
  });

  describe('of the local authority', () => {
    it('are made once, with the modes the proxy needs', async () => {
      const report = await ensureCertificates(options);
      expect(report.changed).toBe(true);
      expect(report.expiresAt.tenants.getTime()).toBeGreaterThan(later(396).getTime());
      const names = ['portal.test', 'stacks.test', '*.stacks.test'];
      const authority = await readPortalAuthority(options);
      expect(certificateProblems(await served(), { names, now, authority })).toEqual([]);
      expect(await text('certs/tenants.crt')).toBe(await text('certs/portal.crt'));
      expect(await mode('ca/ca.key')).toBe('600');
      expect(await mode('certs/portal.key')).toBe('640');
      expect(await mode('certs/portal.crt')).toBe('644');
      expect((await readdir(join(dataDir, 'certs'))).toSorted()).toEqual([
        'portal.crt',
        'portal.key',
        'tenants.crt',
        'tenants.key',
      ]);
      const before = await served();
      expect((await ensureCertificates(options)).changed).toBe(false);
      expect((await ensureCertificates({ ...options, now: later(366) })).changed).toBe(false);
      expect(await served()).toEqual(before);
    });

    it('are renewed in their last thirty days, by the same authority', async () => {
      await ensureCertificates(options);
      const authority = await text('ca/ca.crt');
      const before = await served();
      expect((await ensureCertificates({ ...options, now: later(368) })).changed).toBe(true);
      expect(await text('ca/ca.crt')).toBe(authority);
      expect((await served()).certificate).not.toBe(before.certificate);
      expect(certificateProblems(await served(), { names: ['portal.test'], now: later(700), authority })).toEqual([]);
    });

    it('follow a change of domain with a new authority, since the old one may not speak for it', async () => {
      await ensureCertificates(options);
      const authority = await text('ca/ca.crt');
      expect((await ensureCertificates({ ...options, tenantDomain: 'other.test' })).changed).toBe(true);
      expect(await text('ca/ca.crt')).not.toBe(authority);
      expect(new X509Certificate(await text('certs/tenants.crt')).subjectAltName).toContain('DNS:*.other.test');
    });

    it.each(['ca/ca.key', 'ca/ca.crt', 'certs/portal.key', 'certs/tenants.crt'])('mend a damaged %s', async (file) => {
      await ensureCertificates(options);
      await writeFile(join(dataDir, file), 'damaged');
      await ensureCertificates(options);
      expect((await ensureCertificates(options)).changed).toBe(false);
      const authority = await readPortalAuthority(options);
      expect(certificateProblems(await served(), { names: ['portal.test'], now, authority })).toEqual([]);
    });
  });

  describe('supplied by the operator', () => {
    let authority: PemPair;
    const files = { mode: 'files' } as const;
    const supply = async (name: string, pair: PemPair): Promise<void> => {
      await mkdir(join(dataDir, 'certs'), { recursive: true });
      await writeFile(join(dataDir, 'certs', `supplied-${name}.crt`), pair.certificate);
      await writeFile(join(dataDir, 'certs', `supplied-${name}.key`), pair.key);
    };
    const leaf = (...names: string[]): Promise<PemPair> => issueLeaf(authority, names, now);
    beforeAll(async () => {
      authority = await createAuthority(['portal.test', 'stacks.test'], now);
    });

    it('one pair for everything, or two', async () => {
      const all = await leaf('portal.test', 'stacks.test', '*.stacks.test');
      await supply('portal', all);
      expect(await ensureCertificates({ ...options, ...files })).toMatchObject({ changed: true, warnings: [] });
      expect(await text('certs/tenants.crt')).toBe(all.certificate);
      expect((await ensureCertificates({ ...options, ...files })).changed).toBe(false);
      await supply('portal', await leaf('portal.test'));
      const tenants = await leaf('stacks.test', '*.stacks.test');
      await supply('tenants', tenants);
      expect((await ensureCertificates({ ...options, ...files })).changed).toBe(true);
      expect(await text('certs/tenants.crt')).toBe(tenants.certificate);
      expect(await readPortalAuthority({ ...files, dataDir })).toBe('');
      await writeFile(join(dataDir, 'certs', 'supplied-ca.crt'), authority.certificate);
      expect(await readPortalAuthority({ ...files, dataDir })).toBe(authority.certificate);
    });

    it.each<[string, () => Promise<PemPair>, RegExp]>([
      ['covers too little', () => leaf('portal.test', 'stacks.test'), /does not cover \*\.stacks\.test/],
      [
        'has a foreign key',
        async () => ({ ...(await leaf('portal.test', 'stacks.test', '*.stacks.test')), key: authority.key }),
        /key belongs to another/,
      ],
      [
        'expired',
        () => issueLeaf(authority, ['portal.test', 'stacks.test', '*.stacks.test'], later(-500)),
        /expired on/,
      ],
      [
        'is not valid yet',
        () => issueLeaf(authority, ['portal.test', 'stacks.test', '*.stacks.test'], later(5)),
        /valid only from/,
      ],
      ['is no certificate', () => Promise.resolve({ certificate: 'x', key: 'y' }), /does not read/],
    ])('are refused with the reason and leave the served one when it %s', async (_what, make, reason) => {
      const good = await leaf('portal.test', 'stacks.test', '*.stacks.test');
      await supply('portal', good);
      await ensureCertificates({ ...options, ...files });
      await supply('portal', await make());
      await expect(ensureCertificates({ ...options, ...files })).rejects.toMatchObject({
        code: 'CONFIG_INVALID',
        message: expect.stringMatching(reason) as string,
      });
      expect(await served()).toEqual(good);
    });

    it('say when they end soon, and when there are none', async () => {
      await supply('portal', await leaf('portal.test', 'stacks.test', '*.stacks.test'));
      const report = await ensureCertificates({ ...options, ...files, now: later(380) });
      expect(report.warnings).toEqual([expect.stringMatching(/^supplied-portal\.crt: it expires on /)]);
      await rm(join(dataDir, 'certs'), { recursive: true });
      await expect(ensureCertificates({ ...options, ...files })).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    });
  });

  describe('by ACME, where nothing answers', () => {
    // A resolver port nobody listens on: names have no address, and no order leaves this machine.
    const acme = {
      email: 'ops@example.org',
      directory: 'https://127.0.0.1:1/dir',
      dnsProvider: 'exec',
      dnsServers: ['127.0.0.1:1'],
    };

    it('need an address and a provider', async () => {
      await expect(ensureCertificates({ ...options, mode: 'acme' })).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    });

    it('are not ordered for names without an address, are not counted, and leave a stand-in to serve', async () => {
      await expect(ensureCertificates({ ...options, mode: 'acme', acme })).rejects.toMatchObject({
        code: 'UNAVAILABLE',
        message: expect.stringMatching(/stacks\.test has no address.*portal\.test has no address/) as string,
      });
      expect(await readdir(dataDir)).not.toContain('acme');
      expect(certificateProblems(await served(), { names: ['portal.test'], now })).toEqual([]);
    });

    it('a stand-in never replaces what is served', async () => {
      expect((await ensureCertificates({ ...options, mode: 'stand-in' })).changed).toBe(true);
      const foreign = await issueLeaf(await createAuthority(['portal.test'], now), ['portal.test'], now);
      await writeFile(join(dataDir, 'certs', 'portal.crt'), foreign.certificate);
      await writeFile(join(dataDir, 'certs', 'portal.key'), foreign.key);
      expect((await ensureCertificates({ ...options, mode: 'stand-in' })).changed).toBe(false);
      expect(await served()).toEqual(foreign);
      await rm(join(dataDir, 'certs', 'tenants.key'));
      expect((await ensureCertificates({ ...options, mode: 'stand-in' })).changed).toBe(true);
    });

    it('are not ordered beyond the budget', async () => {
      await mkdir(join(dataDir, 'acme'));
      const order = (certificate: string): object => ({ at: later(-1).toISOString(), certificate, outcome: 'issued' });
      await writeFile(
        join(dataDir, 'acme', 'orders.json'),
        JSON.stringify(['tenants', 'portal'].flatMap((name) => Array<object>(4).fill(order(name)))),
      );
      await expect(ensureCertificates({ ...options, mode: 'acme', acme })).rejects.toMatchObject({
        code: 'RATE_LIMITED',
      });
    });

    it('a damaged count of orders stops ordering', async () => {
      await mkdir(join(dataDir, 'acme'));
      await writeFile(join(dataDir, 'acme', 'orders.json'), '[{');
      await expect(ensureCertificates({ ...options, mode: 'acme', acme })).rejects.toThrow(SyntaxError);
      await chmod(join(dataDir, 'acme', 'orders.json'), 0o600);
    });
  });
});
