import { createPublicKey } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from '#libs/async';
import { GATE_COOKIE, GATE_STATE_COOKIE, identityClaimsSchema } from '#libs/contracts';
import { hashToken, newSigningKey, randomToken, signingKeyFromSeed, verifyToken } from '#libs/crypto';
import { ApiCounterpart, ask, GateProcess, type Reply } from '../support/gate-process.js';

jest.setTimeout(60_000);

const TENANT = '0193a1f0-0000-7000-8000-000000000001';
const OTHER_TENANT = '0193a1f0-0000-7000-8000-000000000002';
const SLUG = 'uabc234';
const HOST = `${SLUG}.stacks.test`;
const sid = (digit: number): string => `0193a1f0-0000-7000-8000-${String(digit).padStart(12, '0')}`;

describe('the gate', () => {
  const api = new ApiCounterpart();
  let state: string;
  let gate: GateProcess;

  /** Traefik's question for a request of a browser. */
  const authorise = (
    cookie: string | null,
    options: {
      tenant?: string;
      host?: string;
      uri?: string;
      method?: string;
      accept?: string;
      extra?: Record<string, string>;
    } = {},
  ): Promise<Reply> =>
    // By an owner's domain the route says whose it is; at the stack's own host, the host does.
    ask(gate.port, options.tenant === undefined ? '/auth' : `/auth?tenant=${options.tenant}&slug=${SLUG}`, {
      headers: {
        'x-forwarded-host': options.host ?? HOST,
        'x-forwarded-uri': options.uri ?? '/',
        'x-forwarded-method': options.method ?? 'GET',
        accept: options.accept ?? 'text/html,application/xhtml+xml',
        ...(cookie === null ? {} : { cookie }),
        ...options.extra,
      },
    });
  /** A request by the route of the gate's own path, or by one of a stack that the gate answers for. */
  const visit = (path: string, options: Parameters<typeof ask>[2] = {}): Promise<Reply> =>
    ask(gate.port, path, {
      ...options,
      headers: {
        host: HOST,
        accept: 'text/html',
        ...(options.headers?.['x-aviary-page'] === undefined
          ? { 'x-aviary-page': 'gate' }
          : { 'x-aviary-tenant': TENANT }),
        ...options.headers,
      },
    });
  const held = (token: string): string => `${GATE_COOKIE}=${token}`;
  const setCookies = (reply: Reply): string[] => reply.headers['set-cookie'] ?? [];

  beforeAll(async () => {
    state = await mkdtemp(join(tmpdir(), 'aviary-gate-'));
    await api.start();
    gate = new GateProcess({ apiPort: api.port, stateDirectory: state, tenantDomain: 'stacks.test' });
    await gate.start();
    await waitFor(() => (api.polls > 0 ? true : undefined), { what: 'the first list', deadlineMs: 5000 });
  });
  afterAll(async () => {
    await gate.stop('SIGKILL');
    await api.stop();
    await rm(state, { recursive: true, force: true });
  });

  describe('forward-auth', () => {
    it('lets the owner in and says who it is, by a token of its own', async () => {
      const before = Math.floor(Date.now() / 1000);
      const reply = await authorise(held(await gate.session({ tenant: TENANT, slug: SLUG })));
      expect(reply.status).toBe(200);
      expect(reply.headers['x-aviary-user']).toBe('0193a1f0-0000-7000-8000-00000000000a');
      const gateKey = createPublicKey(signingKeyFromSeed(gate.seed));
      const token = String(reply.headers['x-aviary-identity']);
      const claims = identityClaimsSchema.parse(
        await verifyToken(gateKey, token, { issuer: 'aviary-gate', audience: TENANT }),
      );
      expect(claims).toMatchObject({ slug: SLUG, name: 'ana', role: 'owner' });
      expect(claims.exp - claims.iat).toBe(60);
      expect(claims.iat).toBeGreaterThanOrEqual(before);
      expect(await verifyToken(gateKey, token, { issuer: 'aviary-gate', audience: OTHER_TENANT })).toBeNull();
    });

    it('never hands out an identity that outlives the session', async () => {
      const reply = await authorise(held(await gate.session({ tenant: TENANT, slug: SLUG, ttlSeconds: 20 })));
      const gateKey = createPublicKey(signingKeyFromSeed(gate.seed));
      const claims = await verifyToken(gateKey, String(reply.headers['x-aviary-identity']), {
        issuer: 'aviary-gate',
        audience: TENANT,
      });
      expect(claims!.exp! * 1000).toBeLessThanOrEqual(Date.now() + 20_000);
    });

    it('leads a person without a session to sign-on, on the same host', async () => {
      const reply = await authorise(null, { uri: '/bots?tab=1&x=ü' });
      expect(reply.status).toBe(302);
      expect(reply.headers.location).toBe(`https://${HOST}/.aviary/start?next=%2Fbots%3Ftab%3D1%26x%3D%C3%BC`);
    });

    it('tells scripts, writes and sockets without a session no, and leads them nowhere', async () => {
      for (const options of [
        { accept: 'application/json' },
        { accept: '' },
        { method: 'POST' },
        { accept: 'text/event-stream' },
      ]) {
        const reply = await authorise(null, options);
        expect(reply.status).toBe(401);
        expect(JSON.parse(reply.body)).toMatchObject({ code: 'UNAUTHENTICATED', details: {} });
        expect(reply.headers.location).toBeUndefined();
      }
    });

    it('accepts no cookie but a valid one of this stack, and no identity from outside', async () => {
      const good = await gate.session({ tenant: TENANT, slug: SLUG });
      const [head, body, tail] = good.split('.') as [string, string, string];
      const claims = JSON.parse(Buffer.from(body, 'base64url').toString()) as Record<string, unknown>;
      const none = Buffer.from('{"alg":"none"}').toString('base64url');
      const longer = Buffer.from(JSON.stringify({ ...claims, exp: Number(claims['exp']) + 9999 })).toString(
        'base64url',
      );
      const refused: Record<string, string> = {
        'foreign key': held(await gate.session({ tenant: TENANT, slug: SLUG, key: newSigningKey() })),
        'wrong host': held(await gate.session({ tenant: TENANT, slug: 'uzzz222' })),
        'wrong issuer': held(await gate.session({ tenant: TENANT, slug: SLUG, issuer: 'aviary-gate' })),
        expired: held(await gate.session({ tenant: TENANT, slug: SLUG, now: new Date(Date.now() - 4_000_000) })),
        'not our claims': held(await gate.session({ tenant: TENANT, slug: SLUG, claims: { role: 'operator' } })),
        'changed claims': held(`${head}.${longer}.${tail}`),
        'no signature': held(`${head}.${body}.`),
        'algorithm none': held(`${none}.${body}.`),
        'flipped bit': held(`${head}.${body}.${tail.startsWith('A') ? 'B' : 'A'}${tail.slice(1)}`),
        empty: held(''),
        garbage: held('a.b.c'),
        'given twice': `${held(good)}; ${held(good)}`,
        'another name': `session=${good}`,
        'a name that ends alike': `x${held(good)}`,
        quoted: `${GATE_COOKIE}="${good}"`,
      };
      const answers = await Promise.all(
        Object.entries(refused).map(async ([what, cookie]) => `${what} ${(await authorise(cookie)).status}`),
      );
      expect(answers).toEqual(Object.keys(refused).map((what) => `${what} 302`));
      // The same token opens nothing when the host is another stack's, remembered or not.
      expect((await authorise(held(good))).status).toBe(200);
      expect((await authorise(held(good), { host: 'uzzz222.stacks.test' })).status).toBe(302);
      expect((await authorise(null, { extra: { 'x-aviary-identity': 'a.b.c', 'x-aviary-user': 'root' } })).status).toBe(
        302,
      );
    });

    it('at a domain of an owner’s own opens to a session for there, of the stack its route names', async () => {
      const host = 'bot.example.org';
      const there = held(await gate.session({ tenant: TENANT, slug: SLUG, claims: { host } }));
      const status = async (cookie: string, options: Parameters<typeof authorise>[1]): Promise<number> =>
        (await authorise(cookie, options)).status;
      expect(await status(there, { host, tenant: TENANT })).toBe(200);
      expect(await status(there, { host, tenant: OTHER_TENANT })).toBe(302);
      expect(await status(there, { host: 'other.example.org', tenant: TENANT })).toBe(302);
      expect(await status(there, {})).toBe(302);
      const own = held(await gate.session({ tenant: TENANT, slug: SLUG }));
      expect(await status(own, { host, tenant: TENANT })).toBe(302);
      const another = held(await gate.session({ tenant: OTHER_TENANT, slug: 'uzzz222', claims: { host } }));
      expect(await status(another, { host, tenant: TENANT })).toBe(302);
      // Only a route can say so, and never of a host of ours.
      expect(await status(there, { host })).toBe(403);
      expect(await status(own, { host: HOST, tenant: TENANT })).toBe(403);
    });

    it('names to the runtime the tenant the portal signed, so that another’s runtime refuses it', async () => {
      const { headers } = await authorise(held(await gate.session({ tenant: OTHER_TENANT, slug: SLUG })));
      const [, body = ''] = String(headers['x-aviary-identity']).split('.');
      expect(JSON.parse(Buffer.from(body, 'base64url').toString())).toMatchObject({ aud: OTHER_TENANT });
    });

    it('refuses hosts that are no stack of this platform and routes that name no tenant', async () => {
      const cookie = held(await gate.session({ tenant: TENANT, slug: SLUG }));
      for (const host of [
        'evil.test',
        'stacks.test',
        'api-uabc234.stacks.test',
        'x.uabc234.stacks.test',
        'uabc234.stacks.test.evil.test',
        '',
        'UABC234',
      ]) {
        expect((await authorise(cookie, { host })).status).toBe(403);
      }
      for (const tenant of ['', 'x', `${TENANT}&tenant=${OTHER_TENANT}`, TENANT.toUpperCase()]) {
        expect((await authorise(cookie, { tenant })).status).not.toBe(200);
      }
      expect((await authorise(cookie, { host: `${HOST}:8443` })).status).toBe(200);
    });

    it('answers fast once a session is known', async () => {
      const cookie = held(await gate.session({ tenant: TENANT, slug: SLUG }));
      await authorise(cookie);
      const times: number[] = [];
      for (let turn = 0; turn < 200; turn += 1) {
        const start = performance.now();
        await authorise(cookie);
        times.push(performance.now() - start);
      }
      const median = times.toSorted((a, b) => a - b)[100] ?? Infinity;
      // A new connection each time and two busy cores: the gate's own share is a tenth of this.
      expect(median).toBeLessThan(20);
    });
  });

  describe('sign-on', () => {
    const CODE = randomToken();
    const start = async (next?: string): Promise<{ nonce: string; location: URL; cookie: string }> => {
      const reply = await visit(`/.aviary/start${next === undefined ? '' : `?next=${encodeURIComponent(next)}`}`);
      expect(reply.status).toBe(302);
      const cookie = setCookies(reply)[0] ?? '';
      const nonce = /^__Host-aviary-state=([^;]+);/.exec(cookie)?.[1] ?? '';
      return { nonce, cookie, location: new URL(reply.headers.location ?? '') };
    };
    const callback = (nonce: string | null, code = CODE, extra = ''): Promise<Reply> =>
      visit(`/.aviary/callback?code=${code}`, {
        headers: nonce === null ? {} : { cookie: `${GATE_STATE_COOKIE}=${nonce}${extra}` },
      });
    const answerWith = (status: number, body: unknown): void => {
      api.redeem = (_request, response) => {
        response.writeHead(status, { 'content-type': 'application/json' });
        response.end(typeof body === 'string' ? body : JSON.stringify(body));
      };
    };

    it('begins at the portal with a state only this browser can answer', async () => {
      const { nonce, location, cookie } = await start('/bots/1?x=y');
      expect(location.origin + location.pathname).toBe('https://portal.test/sign-on');
      expect(Object.fromEntries(location.searchParams)).toEqual({
        stack: SLUG,
        state: hashToken(nonce),
        next: '/bots/1?x=y',
      });
      expect(cookie).toBe(`${GATE_STATE_COOKIE}=${nonce}; Path=/; Max-Age=600; Secure; HttpOnly; SameSite=Lax`);
      expect((await start()).nonce).not.toBe(nonce);
    });

    it.each([
      'https://evil.test/',
      '//evil.test',
      '/\\evil.test',
      '\\\\evil.test',
      '/a\r\nset-cookie: x=1',
      '/\tx',
      'javascript:alert(1)',
      '/.aviary/sign-out',
      '',
    ])('leads nowhere but to its own host afterwards: %j', async (next) => {
      expect((await start(next)).location.searchParams.get('next')).toBe('/');
      answerWith(200, { token: await gate.session({ tenant: TENANT, slug: SLUG }), next });
      const reply = await callback((await start()).nonce);
      expect(reply.status).toBe(303);
      expect(reply.headers.location).toBe('/');
    });

    it('takes no path longer than the portal does', async () => {
      expect((await start(`/${'x'.repeat(2000)}`)).location.searchParams.get('next')).toBe('/');
    });

    it('ends with a cookie for this host alone, and the code is redeemed with host and state', async () => {
      const { nonce } = await start('/bots');
      const token = await gate.session({ tenant: TENANT, slug: SLUG, ttlSeconds: 600 });
      answerWith(200, { token, next: '/bots?ü' });
      api.redeemed.length = 0;
      const reply = await callback(nonce);
      expect(reply.status).toBe(303);
      expect(reply.headers.location).toBe('/bots?%C3%BC');
      expect(api.redeemed).toEqual([{ code: CODE, host: HOST, state: hashToken(nonce) }]);
      const [session, cleared] = setCookies(reply);
      expect(session).toMatch(
        /^__Host-aviary-session=[^;]+; Path=\/; Max-Age=(600|599|598); Secure; HttpOnly; SameSite=Lax$/,
      );
      expect(cleared).toBe(`${GATE_STATE_COOKIE}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax`);
      expect((await authorise(held(token))).status).toBe(200);
    });

    it('does not ask the api for a browser that never began, or with a malformed code', async () => {
      api.redeemed.length = 0;
      expect((await callback(null)).status).toBe(403);
      expect((await callback('short')).status).toBe(403);
      expect((await callback((await start()).nonce, 'x')).status).toBe(403);
      const { nonce } = await start();
      expect((await callback(nonce, CODE, `; ${GATE_STATE_COOKIE}=${randomToken()}`)).status).toBe(403);
      expect(api.redeemed).toEqual([]);
    });

    it('refuses what the api refuses (reuse, another state), with a way to go on; a signed-in person goes on', async () => {
      answerWith(403, { code: 'TOKEN_INVALID', message: 'used', errorId: 'x', details: {} });
      const { nonce } = await start();
      const reply = await callback(nonce);
      expect(reply.status).toBe(403);
      expect(reply.body).toContain('href="/.aviary/start"');
      expect(setCookies(reply).join()).not.toContain(`${GATE_COOKIE}=`);
      const token = await gate.session({ tenant: TENANT, slug: SLUG });
      const again = await callback(nonce, CODE, `; ${held(token)}`);
      expect([again.status, again.headers.location]).toEqual([303, '/']);
    });

    it('believes no hostile answer of its counterpart', async () => {
      const good = await gate.session({ tenant: TENANT, slug: SLUG });
      const hostile: [string, () => Promise<void> | void][] = [
        [
          'foreign key',
          async () =>
            answerWith(200, {
              token: await gate.session({ tenant: TENANT, slug: SLUG, key: newSigningKey() }),
              next: '/',
            }),
        ],
        [
          'other slug',
          async () => answerWith(200, { token: await gate.session({ tenant: TENANT, slug: 'uzzz222' }), next: '/' }),
        ],
        [
          'expired',
          async () =>
            answerWith(200, { token: await gate.session({ tenant: TENANT, slug: SLUG, now: new Date(0) }), next: '/' }),
        ],
        ['not JSON', () => answerWith(200, '<html>')],
        ['no token', () => answerWith(200, { next: '/' })],
        ['token with a line break', () => answerWith(200, { token: `${good}\r\nset-cookie: x=1`, next: '/' })],
        ['server error', () => answerWith(500, {})],
        ['too long', () => answerWith(200, { token: good, next: '/', padding: 'x'.repeat(100_000) })],
        [
          'redirect',
          () => {
            api.redeem = (_request, response) => {
              response.writeHead(307, { location: 'http://127.0.0.1:1/' }).end();
            };
          },
        ],
        [
          'broken off',
          () => {
            api.redeem = (_request, response) => {
              response.writeHead(200, { 'content-length': '500' });
              response.write('{"token":');
              setImmediate(() => response.destroy());
            };
          },
        ],
      ];
      for (const [what, prepare] of hostile) {
        await prepare();
        const reply = await callback((await start()).nonce);
        expect(`${what} ${reply.status}`).toBe(`${what} 503`);
        expect(setCookies(reply).join()).not.toContain(`${GATE_COOKIE}=`);
        expect(reply.headers['retry-after']).toBeDefined();
      }
    });

    it('answers within its deadline when the api hangs', async () => {
      api.redeem = () => undefined;
      const begun = performance.now();
      const reply = await callback((await start()).nonce);
      expect(reply.status).toBe(503);
      expect(performance.now() - begun).toBeLessThan(6000);
    });

    it('spares the api a flood of codes', async () => {
      const { nonce } = await start();
      const waiting: (() => void)[] = [];
      api.redeem = (_request, response) => {
        waiting.push(() => response.writeHead(403).end('{}'));
      };
      api.redeemed.length = 0;
      let refused = 0;
      const flood = Array.from({ length: 60 }, async () => {
        const reply = await callback(nonce, randomToken());
        refused += reply.status === 503 ? 1 : 0;
        return reply;
      });
      // All 60 must have arrived before a place becomes free again.
      await waitFor(() => (waiting.length === 32 && refused === 28 ? true : undefined), {
        what: 'the gate being full and refusing the rest',
        deadlineMs: 3000,
      });
      waiting.forEach((answer) => answer());
      const statuses = (await Promise.all(flood)).map(({ status }) => status);
      expect(api.redeemed).toHaveLength(32);
      expect(statuses.filter((status) => status === 503)).toHaveLength(28);
      expect(statuses.filter((status) => status === 403)).toHaveLength(32);
    });

    it('signs out only from its own pages, and the old token then opens nothing', async () => {
      const token = await gate.session({ tenant: TENANT, slug: SLUG, claims: { name: 'leaving' } });
      const out = (origin?: string): Promise<Reply> =>
        visit('/.aviary/sign-out', { method: 'POST', headers: { cookie: held(token), ...(origin ? { origin } : {}) } });
      for (const origin of [
        undefined,
        'null',
        'https://portal.test',
        'https://uzzz222.stacks.test',
        `http://${HOST}`,
      ]) {
        expect((await out(origin)).status).toBe(403);
      }
      expect((await authorise(held(token))).status).toBe(200);
      expect((await visit('/.aviary/sign-out', { headers: { cookie: held(token) } })).status).toBe(200);
      expect((await authorise(held(token))).status).toBe(200);
      const reply = await out(`https://${HOST}`);
      expect([reply.status, reply.headers.location]).toEqual([303, 'https://portal.test/app']);
      expect(setCookies(reply)[0]).toContain(`${GATE_COOKIE}=; Path=/; Max-Age=0`);
      expect((await authorise(held(token))).status).toBe(302);
    });

    it('works only by a route, and on a dashboard’s host', async () => {
      expect((await ask(gate.port, '/.aviary/start', { headers: { host: HOST } })).status).toBe(404);
      expect((await visit('/.aviary/start', { headers: { host: 'portal.test' } })).status).toBe(404);
      expect((await visit('/.aviary/else')).status).toBe(404);
      expect((await visit('/.aviary/start', { method: 'POST' })).status).toBe(404);
    });
  });

  describe('revocation', () => {
    it('reaches the gate within five seconds, and open streams can ask', async () => {
      const token = await gate.session({ tenant: TENANT, slug: SLUG, sid: sid(77) });
      expect((await authorise(held(token))).status).toBe(200);
      api.revoked = [sid(77)];
      const begun = performance.now();
      await waitFor(async () => ((await authorise(held(token))).status === 302 ? true : undefined), {
        what: 'the revocation',
        deadlineMs: 5000,
        intervalMs: 50,
        maxIntervalMs: 100,
      });
      expect(performance.now() - begun).toBeLessThan(5000);
      const check = (body: string): Promise<Reply> => visit('/.aviary/sessions', { method: 'POST', body });
      const reply = await check(JSON.stringify({ sids: [sid(77), sid(78)] }));
      expect([reply.status, JSON.parse(reply.body)]).toEqual([200, { revoked: [sid(77)] }]);
      expect((await check('{')).status).toBe(400);
      expect((await check('{"sids":["x"]}')).status).toBe(400);
      expect((await check('{"sids":[],"more":1}')).status).toBe(400);
      expect((await check(JSON.stringify({ sids: Array<string>(101).fill(sid(1)) }))).status).toBe(400);
      expect((await check('x'.repeat(9000))).status).toBe(413);
    });

    it('is not undone by a shorter, hostile or missing list', async () => {
      const token = await gate.session({ tenant: TENANT, slug: SLUG, sid: sid(77) });
      const answers: ((response: Parameters<ApiCounterpart['revocations']>[1]) => void)[] = [
        (response) => response.writeHead(200).end('{"revoked":[]}'),
        (response) => response.writeHead(200).end('{"revoked":null}'),
        (response) => response.writeHead(500).end('x'),
        (response) => response.destroy(),
      ];
      const usual = api.revocations;
      for (const answer of answers) {
        api.revocations = (_request, response) => answer(response);
        const seen = api.polls;
        await waitFor(() => (api.polls > seen ? true : undefined), { what: 'a poll', deadlineMs: 6000 });
        expect((await authorise(held(token))).status).toBe(302);
        expect((await authorise(held(await gate.session({ tenant: TENANT, slug: SLUG })))).status).toBe(200);
      }
      api.revocations = usual;
    });

    it('outlives a kill while the api is down; sessions that stand go on', async () => {
      const good = held(await gate.session({ tenant: TENANT, slug: SLUG }));
      const revoked = held(await gate.session({ tenant: TENANT, slug: SLUG, sid: sid(77) }));
      await api.stop();
      await gate.stop('SIGKILL');
      await gate.start();
      expect((await authorise(good)).status).toBe(200);
      expect((await authorise(revoked)).status).toBe(302);
      const { nonce } = { nonce: randomToken() };
      const callback = await visit(`/.aviary/callback?code=${randomToken()}`, {
        headers: { cookie: `${GATE_STATE_COOKIE}=${nonce}` },
      });
      expect(callback.status).toBe(503);
      await api.start();
    });

    it('without any list, or with a damaged one, lets nobody in until the api gives it', async () => {
      const good = held(await gate.session({ tenant: TENANT, slug: SLUG }));
      await api.stop();
      await gate.stop();
      const kept = join(state, 'revocations.json');
      const text = await readFile(kept, 'utf8');
      for (const damaged of [text.slice(0, 20), '{}', null]) {
        await (damaged === null ? rm(kept) : writeFile(kept, damaged));
        await gate.start();
        expect((await authorise(good)).status).toBe(302);
        await gate.stop();
      }
      await api.start();
      await gate.start();
      await waitFor(async () => ((await authorise(good)).status === 200 ? true : undefined), {
        what: 'the gate to trust its list again',
        deadlineMs: 5000,
      });
    });

    it('ends cleanly when told to', async () => {
      expect(await gate.stop()).toBe(0);
      await gate.start();
    });
  });

  describe('stand-in pages', () => {
    it.each([
      ['asleep', 503, 'Asleep'],
      ['starting', 503, 'Starting'],
      ['stopped', 503, 'Stopped'],
      ['suspended', 503, 'Suspended'],
      ['nothing', 404, 'Nothing here'],
      ['<script>', 404, 'Nothing here'],
    ])('%s', async (page, status, title) => {
      const headers = { host: HOST, accept: 'text/html', 'x-aviary-page': page };
      const reply = await ask(gate.port, '/some/path', { headers });
      expect(reply.status).toBe(status);
      expect(reply.body).toContain(`<h1>${title}`);
      expect(reply.body).not.toContain('<script');
      expect(reply.headers['content-security-policy']).toContain("default-src 'none'");
      expect(reply.headers['cache-control']).toBe('no-store');
      const json = await ask(gate.port, '/x', { headers: { ...headers, accept: 'application/json' } });
      expect(json.status).toBe(status);
      expect(JSON.parse(json.body)).toMatchObject({ code: status === 404 ? 'NOT_FOUND' : 'UNAVAILABLE' });
    });

    it('stand in for the proxy’s own words when a stack does not answer', async () => {
      const page = await ask(gate.port, '/away', { headers: { host: HOST, accept: 'text/html' } });
      expect(page.body).toContain('<h1>Not answering');
      expect(page.body).toContain('/app');
      const json = await ask(gate.port, '/away', { headers: { host: HOST, accept: 'application/json' } });
      expect(JSON.parse(json.body)).toMatchObject({ code: 'UNAVAILABLE' });
      // By a route it is a path like any other.
      expect((await ask(gate.port, '/away', { headers: { host: HOST, 'x-aviary-page': 'nothing' } })).status).toBe(404);
    });

    it('a route to a page opens neither forward-auth nor health', async () => {
      const headers = { host: HOST, 'x-aviary-page': 'nothing' };
      expect((await ask(gate.port, '/healthz', { headers })).status).toBe(404);
      const cookie = held(await gate.session({ tenant: TENANT, slug: SLUG }));
      const reply = await ask(gate.port, '/auth', {
        headers: { ...headers, cookie, 'x-forwarded-host': HOST },
      });
      expect(reply.status).toBe(404);
      expect(reply.headers['x-aviary-identity']).toBeUndefined();
    });
  });

  describe('a stack that starts', () => {
    const starts = (cookie: string | null) =>
      visit('/bots', { headers: { 'x-aviary-page': 'starting', ...(cookie === null ? {} : { cookie }) } });
    const says = (body: string, status = 200): void => {
      api.begin = (_request, response) => {
        response.writeHead(status, { 'content-type': 'application/json' }).end(body);
      };
    };
    // Answers are shared for a moment by all who look, so each test looks in a session of its own.
    const owner = async (digit: number) => held(await gate.session({ tenant: TENANT, slug: SLUG, sid: sid(digit) }));
    beforeEach(() => {
      api.starting.length = 0;
    });

    it('is waited for as long as its start is under way', async () => {
      says('{"state":"starting","reason":null}');
      const replies = await Promise.all(Array.from({ length: 50 }, async () => starts(await owner(401))));
      for (const { status, body } of replies) {
        expect(status).toBe(503);
        expect(body).toContain('<h1>Starting');
        expect(body).toContain('http-equiv="refresh" content="2"');
      }
      expect(api.starting).toEqual([{ tenant: TENANT, slug: SLUG, sid: sid(401) }]);
    });

    it('is no longer waited for once its start failed: the page says so, why to its owner, and leads to the portal', async () => {
      says('{"state":"failed","reason":"The image <x> is not on the host."}');
      const { status, body, headers } = await starts(await owner(402));
      expect(status).toBe(503);
      expect(body).toContain('<h1>It did not start');
      expect(body).toContain('The image &lt;x&gt; is not on the host.');
      expect(body).toContain(`/app/stacks/${SLUG}"`);
      expect(body).not.toContain('http-equiv="refresh"');
      expect(headers['retry-after']).toBe('10');
    });

    it('tells no reason to anybody else, whatever the portal says, and names no session that it has not verified', async () => {
      says('{"state":"failed","reason":"The image is not on the host."}');
      for (const [tenant, cookie] of [
        [TENANT, null],
        [OTHER_TENANT, held('a.b.c')],
      ] as const) {
        const { body } = await visit('/', {
          headers: { 'x-aviary-page': 'starting', 'x-aviary-tenant': tenant, ...(cookie === null ? {} : { cookie }) },
        });
        expect(body).toContain('<h1>It did not start');
        expect(body).not.toContain('image');
        expect(body).not.toContain('http-equiv="refresh"');
      }
      expect(api.starting).toEqual([TENANT, OTHER_TENANT].map((tenant) => ({ tenant, slug: SLUG, sid: null })));
    });

    it('is waited for while the portal is away or says what nobody understands', async () => {
      for (const [digit, body, status] of [
        [403, '{"state":"failed"}', 500],
        [404, '{"state":"lost","reason":null}', 200],
        [405, `{"state":"failed","reason":"${'x'.repeat(70_000)}"}`, 200],
      ] as const) {
        says(body, status);
        expect((await starts(await owner(digit))).body).toContain('<h1>Starting');
      }
    });
  });

  describe('a stack that sleeps', () => {
    const asleep = (cookie: string | null, options: { method?: string; headers?: Record<string, string> } = {}) =>
      visit('/bots?tab=1', {
        method: options.method ?? 'GET',
        headers: { 'x-aviary-page': 'asleep', ...(cookie === null ? {} : { cookie }), ...options.headers },
      });
    const owner = async (digit: number) => held(await gate.session({ tenant: TENANT, slug: SLUG, sid: sid(digit) }));
    beforeEach(() => {
      api.woken.length = 0;
    });

    it('FM-32 is woken by its owner’s visit, once for all who look at the same time', async () => {
      const cookie = await owner(206);
      const replies = await Promise.all(Array.from({ length: 100 }, () => asleep(cookie)));
      for (const reply of replies) {
        expect(reply.status).toBe(503);
        expect(reply.body).toContain('<h1>Waking up');
        expect(reply.body).toContain('http-equiv="refresh" content="2"');
        expect(reply.headers['retry-after']).toBe('2');
      }
      expect(api.woken).toEqual([{ tenant: TENANT, slug: SLUG, sid: sid(206) }]);
    });

    it('is said to have failed where a wake did, with a way to the portal and no more asking', async () => {
      const before = api.wake;
      api.wake = (_request, response) => {
        response.writeHead(200, { 'content-type': 'application/json' }).end('{"state":"failed","reason":"No room."}');
      };
      const { body } = await asleep(await owner(219));
      api.wake = before;
      expect(body).toContain('<h1>It did not start');
      expect(body).toContain('No room.');
      expect(body).not.toContain('http-equiv="refresh"');
    });

    it('FM-32 is not woken by anybody else: no session, another’s, one that ended, a scanner, a browser that looks ahead', async () => {
      const cookie = await owner(207);
      api.revoked.push(sid(208));
      await waitFor(async () => ((await authorise(await owner(208))).status === 302 ? true : undefined), {
        what: 'the revocation',
        deadlineMs: 5000,
      });
      const replies = [
        await asleep(null),
        await asleep(held('a.b.c')),
        await asleep(held(await gate.session({ tenant: OTHER_TENANT, slug: SLUG }))),
        await asleep(held(await gate.session({ tenant: TENANT, slug: SLUG, claims: { role: 'support' } }))),
        await asleep(await owner(208)),
        await asleep(cookie, { method: 'HEAD' }),
        await asleep(cookie, { method: 'POST' }),
        await asleep(cookie, { headers: { accept: 'application/json' } }),
        await asleep(cookie, { headers: { accept: 'text/event-stream' } }),
        await asleep(cookie, { headers: { 'sec-purpose': 'prefetch;prerender' } }),
        await ask(gate.port, '/wp-login.php', {
          headers: { host: `api-${HOST}`, accept: '*/*', 'x-aviary-tenant': TENANT, 'x-aviary-page': 'asleep' },
        }),
      ];
      expect(replies.map(({ status }) => status)).toEqual(replies.map(() => 503));
      expect(api.woken).toEqual([]);
      expect((await asleep(cookie)).body).toContain('<h1>Waking up');
      expect(api.woken).toHaveLength(1);
    });

    it.each([
      { what: 'it still falls asleep', digit: 201, status: 409, body: '{}', shown: 503, text: '<h1>Waking up' },
      {
        what: 'it does not sleep any more',
        digit: 202,
        status: 200,
        body: '{"state":"away"}',
        shown: 503,
        text: '<h1>Starting',
      },
      { what: 'the portal’s session has ended', digit: 203, status: 401, body: '{}', shown: 302, text: '' },
      { what: 'the portal is ill', digit: 204, status: 500, body: '{}', shown: 503, text: 'tries again by itself' },
      {
        what: 'the portal talks nonsense',
        digit: 205,
        status: 200,
        body: '<html>',
        shown: 503,
        text: 'tries again by itself',
      },
    ])('shows the right page when $what', async ({ digit, status, body, shown, text }) => {
      const before = api.wake;
      api.wake = (_request, response) => {
        response.writeHead(status, { 'content-type': 'application/json' }).end(body);
      };
      const reply = await asleep(await owner(digit));
      api.wake = before;
      expect(reply.status).toBe(shown);
      expect(reply.body).toContain(text);
      if (shown === 302) {
        expect(reply.headers.location).toBe(`https://${HOST}/.aviary/start?next=%2Fbots%3Ftab%3D1`);
      }
    });

    it('waits with its owner while the portal is away, and wakes it when it is back', async () => {
      const cookie = await owner(209);
      await api.stop();
      const away = await asleep(cookie);
      expect([away.status, away.headers['retry-after']]).toEqual([503, '10']);
      expect(away.body).toContain('tries again by itself');
      await api.start();
      await waitFor(async () => ((await asleep(cookie)).body.includes('<h1>Waking up') ? true : undefined), {
        what: 'the wake',
        deadlineMs: 5000,
      });
    });
  });

  it('serves ACME answers from its web root and nothing else of its disk', async () => {
    const folder = join(state, 'webroot', '.well-known', 'acme-challenge');
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'tok-EN_1'), 'tok-EN_1.thumb');
    await writeFile(join(folder, 'huge'), 'x'.repeat(5000));
    const base = '/.well-known/acme-challenge/';
    const reply = await ask(gate.port, `${base}tok-EN_1`);
    expect([reply.status, reply.body]).toEqual([200, 'tok-EN_1.thumb']);
    for (const path of [
      'huge',
      'missing',
      '',
      '..',
      '../../../revocations.json',
      '..%2f..%2frevocations.json',
      'tok-EN_1/',
      'tok-EN_1?x',
      '.',
    ]) {
      expect((await ask(gate.port, `${base}${path}`)).status).toBe(404);
    }
  });

  it('logs one JSON object a line, without tokens', () => {
    const lines = gate.log.trim().split('\n');
    for (const line of lines) {
      expect(JSON.parse(line)).toMatchObject({ service: 'gate', msg: expect.any(String) as string });
    }
    expect(gate.log).not.toMatch(/eyJ[A-Za-z0-9_-]{20}/);
  });
});
