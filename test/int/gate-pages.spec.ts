import { waitFor } from '#libs/async';
import { ask } from '../support/gate-process.js';
import { gateWorld, held, HOST, OTHER_TENANT, sid, SLUG, TENANT } from '../support/gate-world.js';

jest.setTimeout(60_000);

describe('pages of the gate', () => {
  const world = gateWorld();
  const { api, authorise, visit } = world;

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
      const reply = await ask(world.gate.port, '/some/path', { headers });
      expect(reply.status).toBe(status);
      expect(reply.body).toContain(`<h1>${title}`);
      expect(reply.body).not.toContain('<script');
      expect(reply.headers['content-security-policy']).toContain("default-src 'none'");
      expect(reply.headers['cache-control']).toBe('no-store');
      const json = await ask(world.gate.port, '/x', { headers: { ...headers, accept: 'application/json' } });
      expect(json.status).toBe(status);
      expect(JSON.parse(json.body)).toMatchObject({ code: status === 404 ? 'NOT_FOUND' : 'UNAVAILABLE' });
    });

    it('stand in for the proxy’s own words when a stack does not answer', async () => {
      const page = await ask(world.gate.port, '/away', { headers: { host: HOST, accept: 'text/html' } });
      expect(page.body).toContain('<h1>Not answering');
      expect(page.body).toContain('/app');
      const json = await ask(world.gate.port, '/away', { headers: { host: HOST, accept: 'application/json' } });
      expect(JSON.parse(json.body)).toMatchObject({ code: 'UNAVAILABLE' });
      // By a route it is a path like any other.
      expect(
        (await ask(world.gate.port, '/away', { headers: { host: HOST, 'x-aviary-page': 'nothing' } })).status,
      ).toBe(404);
    });

    it('a route to a page opens neither forward-auth nor health', async () => {
      const headers = { host: HOST, 'x-aviary-page': 'nothing' };
      expect((await ask(world.gate.port, '/healthz', { headers })).status).toBe(404);
      const cookie = held(await world.gate.session({ tenant: TENANT, slug: SLUG }));
      const reply = await ask(world.gate.port, '/auth', {
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
    const owner = async (digit: number) =>
      held(await world.gate.session({ tenant: TENANT, slug: SLUG, sid: sid(digit) }));
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
    const owner = async (digit: number) =>
      held(await world.gate.session({ tenant: TENANT, slug: SLUG, sid: sid(digit) }));
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
        await asleep(held(await world.gate.session({ tenant: OTHER_TENANT, slug: SLUG }))),
        await asleep(held(await world.gate.session({ tenant: TENANT, slug: SLUG, claims: { role: 'support' } }))),
        await asleep(await owner(208)),
        await asleep(cookie, { method: 'HEAD' }),
        await asleep(cookie, { method: 'POST' }),
        await asleep(cookie, { headers: { accept: 'application/json' } }),
        await asleep(cookie, { headers: { accept: 'text/event-stream' } }),
        await asleep(cookie, { headers: { 'sec-purpose': 'prefetch;prerender' } }),
        await ask(world.gate.port, '/wp-login.php', {
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

  world.logsWithoutTokens();
});
