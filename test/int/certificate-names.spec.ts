import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureCertificates, type AcmeOptions } from '#libs/edge';
import { DnsServer } from '../support/dns-server.js';

const HERE = '192.0.2.10';
const dns = new DnsServer();
let home: string;

beforeAll(() => dns.start());
afterAll(() => dns.stop());
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'aviary-names-'));
  // In the place of lego: it leaves word of what was ordered, and issues nothing.
  await writeFile(join(home, 'lego'), `#!/bin/sh\necho "$*" >> '${join(home, 'ordered')}'\nexit 1\n`);
  await chmod(join(home, 'lego'), 0o755);
  dns.setAddresses('*.stacks.test', HERE);
  dns.setAddresses('stacks.test', HERE);
  dns.setFault('portal.test', null);
});
afterEach(() => rm(home, { recursive: true, force: true }));

/** What is said of a portal that leads there, and for which names orders were made. */
async function ordering(portal: string[], publicAddresses?: string[]): Promise<{ said: string; ordered: string[] }> {
  dns.setAddresses('portal.test', ...portal);
  const acme: AcmeOptions = {
    email: 'ops@example.org',
    directory: 'https://127.0.0.1:1/dir',
    dnsProvider: 'exec',
    lego: join(home, 'lego'),
    dnsServers: [dns.address],
    ...(publicAddresses ? { publicAddresses } : {}),
  };
  const said = await ensureCertificates({
    mode: 'acme',
    dataDir: home,
    portalDomain: 'portal.test',
    tenantDomain: 'stacks.test',
    now: new Date(),
    acme,
  }).then(
    () => 'issued',
    (error: unknown) => (error as Error).message,
  );
  const orders = await readFile(join(home, 'ordered'), 'utf8');
  return { said, ordered: [...orders.matchAll(/--domains (\S+)/g)].map(([, name]) => name ?? '') };
}

describe('FM-8 the portal’s certificate', () => {
  it('is ordered once its name leads to this host', async () => {
    expect((await ordering([HERE], [HERE, '2001:db8::1'])).ordered).toContain('portal.test');
  });

  it.each([
    ['elsewhere', ['198.51.100.9']],
    ['here and elsewhere, of which an authority may ask either', [HERE, '198.51.100.9']],
  ])('costs no order while its name leads %s', async (_where, addresses) => {
    const { said, ordered } = await ordering(addresses, [HERE]);
    expect(ordered).not.toContain('portal.test');
    expect(said).toContain('No certificate was ordered: portal.test leads to 198.51.100.9');
    expect(said).toContain('AVIARY_PUBLIC_ADDRESSES');
  });

  it('costs no order while DNS does not say where its name leads', async () => {
    dns.setFault('portal.test', 'broken');
    const { said, ordered } = await ordering([HERE], [HERE]);
    expect(ordered).not.toContain('portal.test');
    expect(said).toContain('No certificate was ordered: DNS did not say where portal.test leads (ESERVFAIL)');
  });

  it('costs no order while its name has no address', async () => {
    const { said, ordered } = await ordering([], [HERE]);
    expect(ordered).not.toContain('portal.test');
    expect(said).toContain('No certificate was ordered: portal.test has no address in DNS');
  });

  it('is ordered for any address where nobody said which are this host’s', async () => {
    expect((await ordering(['198.51.100.9'])).ordered).toContain('portal.test');
  });
});

it('the stacks’ wildcard is proven by a record, and ordered wherever it leads yet', async () => {
  dns.setAddresses('*.stacks.test', '198.51.100.9');
  expect((await ordering([HERE], [HERE])).ordered).toEqual(['stacks.test', '*.stacks.test', 'portal.test']);
});
