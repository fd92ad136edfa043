import { waitFor } from '#libs/async';
import { GATE_COOKIE, GATE_STATE_COOKIE } from '#libs/contracts';
import { hashToken, newSigningKey, randomToken } from '#libs/crypto';
import { ask, type Reply } from '../support/gate-process.js';
import { gateWorld, held, HOST, SLUG, TENANT } from '../support/gate-world.js';

jest.setTimeout(60_000);

describe('the gate', () => {
  const world = gateWorld();
  const { api, authorise, visit } = world;
  const setCookies = (reply: Reply): string[] => reply.headers['set-cookie'] ?? [];

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
      answerWith(200, { token: await world.gate.session({ tenant: TENANT, slug: SLUG }), next });
      const reply = await callback((await start()).nonce);
      expect(reply.status).toBe(303);
      expect(reply.headers.location).toBe('/');
    });

    it('takes no path longer than the portal does', async () => {
      expect((await start(`/${'x'.repeat(2000)}`)).location.searchParams.get('next')).toBe('/');
    });

    it('ends with a cookie for this host alone, and the code is redeemed with host and state', async () => {
      const { nonce } = await start('/bots');
      const token = await world.gate.session({ tenant: TENANT, slug: SLUG, ttlSeconds: 600 });
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
      const token = await world.gate.session({ tenant: TENANT, slug: SLUG });
      const again = await callback(nonce, CODE, `; ${held(token)}`);
      expect([again.status, again.headers.location]).toEqual([303, '/']);
    });

    it('believes no hostile answer of its counterpart', async () => {
      const good = await world.gate.session({ tenant: TENANT, slug: SLUG });
      const hostile: [string, () => Promise<void> | void][] = [
        [
          'foreign key',
          async () =>
            answerWith(200, {
              token: await world.gate.session({ tenant: TENANT, slug: SLUG, key: newSigningKey() }),
              next: '/',
            }),
        ],
        [
          'other slug',
          async () =>
            answerWith(200, { token: await world.gate.session({ tenant: TENANT, slug: 'uzzz222' }), next: '/' }),
        ],
        [
          'expired',
          async () =>
            answerWith(200, {
              token: await world.gate.session({ tenant: TENANT, slug: SLUG, now: new Date(0) }),
              next: '/',
            }),
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
      const token = await world.gate.session({ tenant: TENANT, slug: SLUG, claims: { name: 'leaving' } });
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
      expect((await ask(world.gate.port, '/.aviary/start', { headers: { host: HOST } })).status).toBe(404);
      expect((await visit('/.aviary/start', { headers: { host: 'portal.test' } })).status).toBe(404);
      expect((await visit('/.aviary/else')).status).toBe(404);
      expect((await visit('/.aviary/start', { method: 'POST' })).status).toBe(404);
    });
  });

  world.logsWithoutTokens();
});
