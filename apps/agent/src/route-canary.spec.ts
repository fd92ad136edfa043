import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAuthority, issueLeaf } from '#libs/crypto';
import { CANARY_FILE, canaryHost, GENERATION_HEADER, RouteFolder, type EdgeSettings } from '#libs/edge';
import { RouteCanary } from './route-canary.js';

const edge: EdgeSettings = {
  portalDomain: 'aviary.test',
  tenantDomain: 'stacks.test',
  gateUrls: ['http://10.0.0.2:8082'],
  apiUrls: ['http://10.0.0.3:8080'],
  certificateDir: '/certs',
};

describe('the canary', () => {
  let directory: string;
  let server: Server;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'aviary-canary-'));
    // A stand-in's authority, which no client knows, as before an ACME authority has issued.
    const now = new Date();
    const leaf = await issueLeaf(await createAuthority(['stacks.test'], now), [canaryHost('stacks.test')], now);
    server = createServer({ cert: leaf.certificate, key: leaf.key }, (_request, response) => {
      readFile(join(directory, CANARY_FILE), 'utf8').then(
        (text) => {
          response.setHeader(GENERATION_HEADER, /"x-aviary-routes":\s*"(\d+)"/i.exec(text)?.[1] ?? '').end();
        },
        (error: unknown) => response.destroy(error as Error),
      );
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterEach(async () => {
    server.closeAllConnections();
    server.close();
    await rm(directory, { recursive: true, force: true });
  });

  const canary = (): RouteCanary =>
    new RouteCanary({
      folder: new RouteFolder({
        directory,
        quarantineDirectory: join(directory, 'quarantine'),
        logger: { warn: () => undefined, info: () => undefined },
      }),
      edge,
      proxy: { host: '127.0.0.1', port: (server.address() as AddressInfo).port },
    });

  it('proves that routes are live behind a certificate nobody trusts yet, or ACME could never begin', async () => {
    await expect(canary().sing(1_795_000_000)).resolves.toBeGreaterThanOrEqual(0);
  });
});
