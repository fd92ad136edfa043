import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { STORE_TEXT } from '#libs/contracts';
import { createAuthority, issueLeaf, newSigningKey } from '#libs/crypto';
import type { StackFacts } from './planner/want.js';
import { HttpProbes } from './probes.js';

const TENANT = '0b8d9d44-9c5e-4a44-8a39-0a5d6a1f0b11';
const away = { ready: false, code: 'REDIS_AWAY', message: STORE_TEXT.REDIS_AWAY };

/** A runtime on every address of this host; what it answers is asked anew each time, and null is no answer at all. */
let answer: () => { status: number; body: object } | null;
let server: Server;
let facts: StackFacts;
beforeAll(async () => {
  server = createServer((_request, response) => {
    const given = answer();
    if (given) {
      response.writeHead(given.status, { 'content-type': 'application/json' }).end(JSON.stringify(given.body));
    }
  }).listen(0, '0.0.0.0');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  facts = {
    tenantId: TENANT,
    generation: 3,
    tradesAfter: null,
    pool: { base: 127 * 2 ** 24, prefix: 8 },
    edges: { runtime: { edge: 0, slot: 0 } },
    template: { aviary: { runtime: { service: 'runtime', port, ready: '/ready' } } },
  } as unknown as StackFacts;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const probes = new HttpProbes({
  tenantDomain: 'stacks.test',
  proxy: { host: '127.0.0.1', port: 1 },
  ca: () => Promise.resolve(''),
});
const ready = (): Promise<void> => probes.ready(facts, { deadlineMs: 1_000, signal: new AbortController().signal });

describe('a look at a runtime by its address', () => {
  it('says which store it waits for, also where its newest answer does not come in time', async () => {
    const named = { code: 'HEALTH_GATE_FAILED', details: { why: 'not_ready', ready: 'REDIS_AWAY' } };
    answer = () => ({ status: 503, body: away });
    await expect(ready()).rejects.toMatchObject(named);
    let asked = 0;
    answer = () => (asked++ === 0 ? { status: 503, body: away } : null);
    await expect(ready()).rejects.toMatchObject(named);
    expect(asked).toBeGreaterThan(1);
  });

  it('names none once somebody answers otherwise, and is over when the runtime is ready', async () => {
    let asked = 0;
    answer = () => (asked++ === 0 ? { status: 503, body: away } : { status: 502, body: {} });
    const failed = (await ready().catch((error: unknown) => error)) as { message: string; details: object };
    expect(failed.message).toBe('The runtime was not ready after 1 s: status 502.');
    expect(failed.details).not.toHaveProperty('ready');
    const body = { ready: true, tenant: TENANT, generation: 3, release: '1', postgres: 'ok', redis: 'ok' };
    answer = () => ({ status: 200, body });
    await expect(ready()).resolves.toBeUndefined();
  });

  it('counts one only that holds its bots for the upgrade it is to wait for, and for none where that is over', async () => {
    const upgrade = '0b8d9d44-9c5e-4a44-8a39-0a5d6a1f0b12';
    const body = { ready: true, tenant: TENANT, generation: 3, release: '1', postgres: 'ok', redis: 'ok' };
    const look = (waits: string | null, tradesAfter: string | null): Promise<unknown> => {
      answer = () => ({ status: 200, body: { ...body, tradesAfter } });
      const bounds = { deadlineMs: 300, signal: new AbortController().signal };
      return probes.ready({ ...facts, tradesAfter: waits }, bounds).catch((error: Error) => error.message);
    };
    expect(await look(upgrade, upgrade)).toBeUndefined();
    expect(await look(null, upgrade)).toContain(
      `its bots are held for the end of the upgrade ${upgrade}, which is over`,
    );
    expect(await look(upgrade, null)).toContain(`its bots are not held for the end of the upgrade ${upgrade}`);
  });
});

describe('a question to a runtime about its start', () => {
  const bounds = { deadlineMs: 1_000, signal: new AbortController().signal };
  const ask = () => probes.resumption(facts, newSigningKey(), bounds);

  it('is answered by what the contract knows, and by nothing else', async () => {
    const body = { starting: false, failure: null, bots: [], ledger: [] };
    answer = () => ({ status: 200, body });
    expect(await ask()).toEqual(body);
    for (const other of [
      { status: 200, body: { ...body, bots: undefined } },
      { status: 401, body },
    ]) {
      answer = () => other;
      expect(await ask()).toBeNull();
    }
  });
});

describe('a look through the proxy', () => {
  const SLUG = 'uabc234';
  const day = 86_400_000;

  /** What the look says of a proxy with that certificate, by an authority it trusts or by another. */
  async function told(names: string[], issued: Date, { trusted = true } = {}): Promise<object> {
    const [authority, other] = await Promise.all([
      createAuthority(['stacks.test'], issued),
      createAuthority(['stacks.test'], issued),
    ]);
    const { certificate: cert, key } = await issueLeaf(authority, names, issued);
    const proxy = createTlsServer({ cert, key }, (_request, response) => {
      response.writeHead(502).end('{}');
    }).listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    const looks = new HttpProbes({
      tenantDomain: 'stacks.test',
      proxy: { host: '127.0.0.1', port: (proxy.address() as AddressInfo).port },
      ca: () => Promise.resolve((trusted ? authority : other).certificate),
    });
    try {
      await looks.served({ ...facts, slug: SLUG }, { deadlineMs: 500, signal: new AbortController().signal });
    } catch (error) {
      return (error as { details: object }).details;
    } finally {
      proxy.closeAllConnections();
      proxy.close();
    }
    throw new Error('it was served');
  }

  it('names a certificate that has ended, is of another name or of an authority nobody trusts, and no good one', async () => {
    const now = new Date();
    const tls = async (...given: Parameters<typeof told>): Promise<unknown> =>
      ((await told(...given)) as { tls?: string }).tls;
    expect(await tls(['*.stacks.test'], new Date(now.getTime() - 500 * day))).toBe('CERT_HAS_EXPIRED');
    expect(await tls(['elsewhere.stacks.test'], now)).toBe('ERR_TLS_CERT_ALTNAME_INVALID');
    expect(await tls(['*.stacks.test'], now, { trusted: false })).toMatch(/^(UNABLE_TO|CERT_|SELF_SIGNED)/);
    expect(await told(['*.stacks.test'], now)).toEqual({ why: 'not_served', last: 'status 502', seconds: 1 });
  });
});
