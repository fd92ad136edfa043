import { createPublicKey } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { waitFor } from '#libs/async';
import { GATE_COOKIE, GATE_STATE_COOKIE, identityClaimsSchema } from '#libs/contracts';
import { newSigningKey, randomToken, signingKeyFromSeed, verifyToken } from '#libs/crypto';
import { ask, type ApiCounterpart, type Reply } from '../support/gate-process.js';
import { gateWorld, held, HOST, OTHER_TENANT, sid, SLUG, TENANT } from '../support/gate-world.js';

jest.setTimeout(60_000);

describe('the gate', () => {
  const world = gateWorld();
  const { api, authorise, visit } = world;

  describe('forward-auth', () => {
    it('lets the owner in and says who it is, by a token of its own', async () => {
      const before = Math.floor(Date.now() / 1000);
      const reply = await authorise(held(await world.gate.session({ tenant: TENANT, slug: SLUG })));
      expect(reply.status).toBe(200);
      expect(reply.headers['x-aviary-user']).toBe('0193a1f0-0000-7000-8000-00000000000a');
      const gateKey = createPublicKey(signingKeyFromSeed(world.gate.seed));
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
      const reply = await authorise(held(await world.gate.session({ tenant: TENANT, slug: SLUG, ttlSeconds: 20 })));
      const gateKey = createPublicKey(signingKeyFromSeed(world.gate.seed));
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
      const good = await world.gate.session({ tenant: TENANT, slug: SLUG });
      const [head, body, tail] = good.split('.') as [string, string, string];
      const claims = JSON.parse(Buffer.from(body, 'base64url').toString()) as Record<string, unknown>;
      const none = Buffer.from('{"alg":"none"}').toString('base64url');
      const longer = Buffer.from(JSON.stringify({ ...claims, exp: Number(claims['exp']) + 9999 })).toString(
        'base64url',
      );
      const refused: Record<string, string> = {
        'foreign key': held(await world.gate.session({ tenant: TENANT, slug: SLUG, key: newSigningKey() })),
        'wrong host': held(await world.gate.session({ tenant: TENANT, slug: 'uzzz222' })),
        'wrong issuer': held(await world.gate.session({ tenant: TENANT, slug: SLUG, issuer: 'aviary-gate' })),
        expired: held(await world.gate.session({ tenant: TENANT, slug: SLUG, now: new Date(Date.now() - 4_000_000) })),
        'not our claims': held(await world.gate.session({ tenant: TENANT, slug: SLUG, claims: { role: 'operator' } })),
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
      const there = held(await world.gate.session({ tenant: TENANT, slug: SLUG, claims: { host } }));
      const status = async (cookie: string, options: Parameters<typeof authorise>[1]): Promise<number> =>
        (await authorise(cookie, options)).status;
      expect(await status(there, { host, tenant: TENANT })).toBe(200);
      expect(await status(there, { host, tenant: OTHER_TENANT })).toBe(302);
      expect(await status(there, { host: 'other.example.org', tenant: TENANT })).toBe(302);
      expect(await status(there, {})).toBe(302);
      const own = held(await world.gate.session({ tenant: TENANT, slug: SLUG }));
      expect(await status(own, { host, tenant: TENANT })).toBe(302);
      const another = held(await world.gate.session({ tenant: OTHER_TENANT, slug: 'uzzz222', claims: { host } }));
      expect(await status(another, { host, tenant: TENANT })).toBe(302);
      // Only a route can say so, and never of a host of ours.
      expect(await status(there, { host })).toBe(403);
      expect(await status(own, { host: HOST, tenant: TENANT })).toBe(403);
    });

    it('names to the runtime the tenant the portal signed, so that another’s runtime refuses it', async () => {
      const { headers } = await authorise(held(await world.gate.session({ tenant: OTHER_TENANT, slug: SLUG })));
      const [, body = ''] = String(headers['x-aviary-identity']).split('.');
      expect(JSON.parse(Buffer.from(body, 'base64url').toString())).toMatchObject({ aud: OTHER_TENANT });
    });

    it('refuses hosts that are no stack of this platform and routes that name no tenant', async () => {
      const cookie = held(await world.gate.session({ tenant: TENANT, slug: SLUG }));
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
      const cookie = held(await world.gate.session({ tenant: TENANT, slug: SLUG }));
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

  describe('revocation', () => {
    it('reaches the gate within five seconds, and open streams can ask', async () => {
      const token = await world.gate.session({ tenant: TENANT, slug: SLUG, sid: sid(77) });
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
      const token = await world.gate.session({ tenant: TENANT, slug: SLUG, sid: sid(77) });
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
        expect((await authorise(held(await world.gate.session({ tenant: TENANT, slug: SLUG })))).status).toBe(200);
      }
      api.revocations = usual;
    });

    it('outlives a kill while the api is down; sessions that stand go on', async () => {
      const good = held(await world.gate.session({ tenant: TENANT, slug: SLUG }));
      const revoked = held(await world.gate.session({ tenant: TENANT, slug: SLUG, sid: sid(77) }));
      await api.stop();
      await world.gate.stop('SIGKILL');
      await world.gate.start();
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
      const good = held(await world.gate.session({ tenant: TENANT, slug: SLUG }));
      await api.stop();
      await world.gate.stop();
      const kept = join(world.state, 'revocations-gate.json');
      const text = await readFile(kept, 'utf8');
      for (const damaged of [text.slice(0, 20), '{}', null]) {
        await (damaged === null ? rm(kept) : writeFile(kept, damaged));
        await world.gate.start();
        expect((await authorise(good)).status).toBe(302);
        await world.gate.stop();
      }
      await api.start();
      await world.gate.start();
      await waitFor(async () => ((await authorise(good)).status === 200 ? true : undefined), {
        what: 'the gate to trust its list again',
        deadlineMs: 5000,
      });
    });

    it('gives the answers it has begun before it ends, on connections that carry no other, and waits for no one else', async () => {
      const usual = api.redeem;
      const asked = Promise.withResolvers<void>();
      const released = Promise.withResolvers<void>();
      api.redeem = async (_request, response) => {
        asked.resolve();
        await released.promise;
        response.writeHead(403).end('{}');
      };
      // As the proxy has them: one that never carried a request.
      const idle = connect(world.gate.port, '127.0.0.1');
      await once(idle, 'connect');
      const closed = once(idle, 'close');
      try {
        const callback = visit(`/.aviary/callback?code=${randomToken()}`, {
          headers: { cookie: `${GATE_STATE_COOKIE}=${randomToken()}` },
        });
        await asked.promise;
        const ended = world.gate.stop();
        await waitFor(
          () =>
            ask(world.gate.port, '/healthz').then(
              () => undefined,
              () => true,
            ),
          {
            what: 'the gate taking nothing new',
            deadlineMs: 5_000,
          },
        );
        expect(idle.closed).toBe(false);
        released.resolve();
        expect((await callback).status).toBe(403);
        await closed;
        expect(await ended).toBe(0);
      } finally {
        api.redeem = usual;
        idle.destroy();
        await world.gate.start();
      }
    });

    it('ends cleanly when told to', async () => {
      expect(await world.gate.stop()).toBe(0);
      await world.gate.start();
    });
  });

  it('serves ACME answers from its web root and nothing else of its disk', async () => {
    const folder = join(world.state, 'webroot', '.well-known', 'acme-challenge');
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'tok-EN_1'), 'tok-EN_1.thumb');
    await writeFile(join(folder, 'huge'), 'x'.repeat(5000));
    const base = '/.well-known/acme-challenge/';
    const reply = await ask(world.gate.port, `${base}tok-EN_1`);
    expect([reply.status, reply.body]).toEqual([200, 'tok-EN_1.thumb']);
    for (const path of [
      'huge',
      'missing',
      '',
      '..',
      '../../../revocations-gate.json',
      '..%2f..%2frevocations-gate.json',
      'tok-EN_1/',
      'tok-EN_1?x',
      '.',
    ]) {
      expect((await ask(world.gate.port, `${base}${path}`)).status).toBe(404);
    }
  });

  world.logsWithoutTokens();
});
