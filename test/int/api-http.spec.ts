import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from '#libs/async';
import type { OpenAPIObject } from '@nestjs/swagger';
import { ERROR_CODES, type ErrorBody } from '#libs/contracts';
import { RATE_LIMITS } from '../../apps/api/src/http/rate-limits.js';
import { person, testApi, type TestApi } from '../support/api.js';

const code = (answer: { body: unknown }): string => (answer.body as ErrorBody).code;
/** Another name each time: the lock of one name is not what these tests are about. */
const login = (t: TestApi, identifier = randomUUID()) =>
  t.http.post('/api/v1/auth/login').send({ identifier, password: 'wrong' });

describe('with the built pages', () => {
  let t: TestApi;
  let web: string;
  beforeAll(async () => {
    web = mkdtempSync(join(tmpdir(), 'aviary-web-'));
    mkdirSync(join(web, 'assets'));
    writeFileSync(join(web, 'index.html'), '<!doctype html><title>pages</title>');
    writeFileSync(join(web, 'assets', 'index-Ab12Cd34.js'), 'export {};');
    writeFileSync(join(web, 'favicon.svg'), '<svg xmlns="http://www.w3.org/2000/svg"/>');
    t = await testApi({ AVIARY_WEB_DIR: web });
  });
  afterAll(async () => {
    await t.close();
    rmSync(web, { recursive: true });
  });

  it('outlasts the idle connections of the proxy on both listeners: whoever asks must be the one who closes', async () => {
    for (const http of [t.http, t.internal]) {
      const answer = await http.get('/healthz').set('Connection', 'keep-alive');
      const seconds = /timeout=(\d+)/.exec(String(answer.headers['keep-alive']))?.[1];
      expect(Number(seconds)).toBeGreaterThan(90);
    }
  });

  describe('errors', () => {
    it('have one shape, and their id is that of the request and of the log line', async () => {
      const answer = await t.http.get('/api/v1/nothing/here').expect(404);
      const body = answer.body as ErrorBody;
      expect(Object.keys(body).toSorted()).toEqual(['code', 'details', 'errorId', 'message']);
      expect(body.code).toBe('NOT_FOUND');
      expect(body.errorId).toBe(answer.headers['x-request-id']);
      expect(t.logs.some((line) => line.includes(body.errorId))).toBe(true);
    });

    it('tell malformed JSON, wrong types and too large bodies apart', async () => {
      const send = (body: string) =>
        t.http.post('/api/v1/auth/login').set('Content-Type', 'application/json').send(body);
      const malformed = await send('{"identifier": ');
      expect([malformed.status, code(malformed)]).toEqual([400, 'MALFORMED_JSON']);
      expect(malformed.text).not.toContain('identifier');
      const array = await send('[1]');
      expect([array.status, code(array)]).toEqual([400, 'VALIDATION_FAILED']);
      const large = await send(JSON.stringify({ identifier: 'x'.repeat(110_000), password: 'x' }));
      expect([large.status, code(large)]).toEqual([413, 'BODY_TOO_LARGE']);
      const form = await t.http.post('/api/v1/auth/login').type('form').send({ identifier: 'a', password: 'b' });
      expect([form.status, code(form)]).toEqual([400, 'VALIDATION_FAILED']);
      const proto = await send('{"identifier":"a","password":"b","__proto__":{"admin":true},"constructor":1}');
      expect(proto.status).toBe(401);
      expect(({} as Record<string, unknown>)['admin']).toBeUndefined();
    });

    it('of our own are 500 without a word about the cause, which is in the log', async () => {
      const { auth } = await person(t);
      const list = jest
        .spyOn(t.api.services.stacks, 'list')
        .mockRejectedValueOnce(new Error('password=hunter2 in column x'));
      const answer = await t.http.get('/api/v1/stacks').set(auth);
      list.mockRestore();
      expect([answer.status, code(answer)]).toEqual([500, 'INTERNAL']);
      expect(answer.text).not.toContain('hunter2');
      const { errorId } = answer.body as ErrorBody;
      const line = t.logs
        .map((text) => JSON.parse(text) as { errorId?: string; err?: { message: string } })
        .find((one) => one.errorId === errorId);
      expect(line?.err?.message).toContain('hunter2');
    });

    it('of badly encoded addresses are the sender’s', async () => {
      const answer = await fetch(`${t.url}/api/v1/stacks/%E0%A4%A`);
      expect(answer.status).toBeLessThan(500);
      expect(ERROR_CODES).toContain(((await answer.json()) as ErrorBody).code);
    });

    it('never log a credential', async () => {
      const { auth, password, accessToken, cookie } = await person(t);
      await t.http.get('/api/v1/auth/me').set(auth).set('Cookie', cookie).expect(200);
      const all = t.logs.join('');
      for (const secret of [password, accessToken, cookie.split('=')[1] ?? '']) {
        expect(secret.length).toBeGreaterThan(20);
        expect(all).not.toContain(secret);
      }
    });
  });

  describe('headers', () => {
    it('let no page run what is not ours, be framed, or leak where it was', async () => {
      const page = await t.http.get('/').expect(200);
      const policy = String(page.headers['content-security-policy']);
      expect(policy).toContain("default-src 'none'");
      expect(policy).toContain("script-src 'self'");
      expect(policy).toContain("frame-ancestors 'none'");
      expect(policy).not.toMatch(/script-src[^;]*unsafe/);
      expect(page.headers).toMatchObject({
        'x-content-type-options': 'nosniff',
        'x-frame-options': 'DENY',
        'referrer-policy': 'no-referrer',
        'cross-origin-opener-policy': 'same-origin',
      });
      expect(page.headers['strict-transport-security']).toMatch(/^max-age=31536000/);
      expect(page.headers['x-powered-by']).toBeUndefined();
    });

    it('keep answers of the API out of every cache, also refused ones', async () => {
      for (const path of ['/api/v1/auth/disclaimer', '/api/v1/stacks']) {
        const answer = await t.http.get(path);
        expect(answer.headers['cache-control']).toBe('no-store');
        expect(answer.headers['content-security-policy']).toContain("default-src 'none'");
        expect(answer.headers['access-control-allow-origin']).toBeUndefined();
      }
    });
  });

  describe('pages', () => {
    it('are index.html at every address of the application, never cached', async () => {
      for (const path of ['/', '/login', '/stack/uaaaaaa', '/operations/1?tab=2']) {
        const page = await t.http.get(path).set('Accept', 'text/html').expect(200);
        expect(page.text).toContain('<title>pages</title>');
        expect(page.headers['cache-control']).toBe('no-cache');
      }
    });

    it('keep hashed files for ever and others not', async () => {
      const script = await t.http.get('/assets/index-Ab12Cd34.js').expect(200);
      expect(script.headers['cache-control']).toBe('public, max-age=31536000, immutable');
      const icon = await t.http.get('/favicon.svg').expect(200);
      expect(icon.headers['cache-control']).toBe('no-cache');
    });

    it('do not stand in for missing files, API addresses or other methods', async () => {
      for (const path of ['/assets/index-gone0000.js', '/robots.txt', '/api/v1/nope', '/internal/redeem', '/metrics']) {
        const answer = await t.http.get(path).set('Accept', 'text/html').expect(404);
        expect(code(answer)).toBe('NOT_FOUND');
      }
      await t.http.post('/login').expect(404);
      const outside = await fetch(`${t.url}/..%2f..%2fetc%2fpasswd`, { headers: { Accept: '*/*' } });
      expect(await outside.text()).not.toContain('root:');
    });
  });

  describe('document', () => {
    it('describes every route with its answers, bodies and who may call', async () => {
      const document = (await t.http.get('/docs-json').expect(200)).body as OpenAPIObject;
      const routes = Object.entries(document.paths).flatMap(([path, item]) =>
        (['get', 'post', 'delete'] as const).flatMap((method) => {
          const operation = item[method];
          return operation ? [{ name: `${method} ${path}`, path, operation }] : [];
        }),
      );
      expect(routes.length).toBeGreaterThan(22);
      expect(routes.filter(({ path }) => path.startsWith('/internal') || path === '/metrics')).toEqual([]);
      for (const { name, operation } of routes) {
        const stream = name.endsWith('/events');
        const answers = Object.entries(operation.responses).filter(([status]) => status.startsWith('2'));
        const described = answers.some(
          ([status, answer]) => status === '204' || (answer && 'content' in answer && Boolean(answer.content)),
        );
        expect([name, stream || described]).toEqual([name, true]);
        expect([name, operation.summary?.length ?? 0]).not.toEqual([name, 0]);
        expect([name, 'default' in operation.responses]).toEqual([name, true]);
      }
      const create = document.paths['/api/v1/stacks']?.post;
      expect(JSON.stringify(create?.requestBody)).toContain('"maxLength":60');
      expect(JSON.stringify(create?.responses['202'])).toContain('dashboardUrl');
      expect(create?.security).toEqual([{ 'access-token': [] }]);
      expect(JSON.stringify(create?.parameters)).toContain('Idempotency-Key');
      expect(JSON.stringify(document.paths['/api/v1/auth/register']?.post?.requestBody)).toContain('disclaimerVersion');
    });

    it('is shown by a page whose parts all come from here and fit its own policy', async () => {
      const page = await t.http.get('/docs').set('Accept', 'text/html').redirects(1).expect(200);
      expect(page.text).toContain('swagger-ui');
      expect(page.text).not.toMatch(/<script(?![^>]*src=)[^>]*>/);
      const sources = [...page.text.matchAll(/(?:src|href)=["']([^"']+)["']/g)].map(([, source]) => source ?? '');
      expect(sources.length).toBeGreaterThan(3);
      for (const source of sources) {
        expect(source).not.toMatch(/^(https?:)?\/\//);
        await t.http.get(new URL(source, 'http://x/docs').pathname).expect(200);
      }
    });
  });

  describe('health', () => {
    it('is public without details and private with them', async () => {
      expect((await t.http.get('/healthz').expect(200)).body).toEqual({ status: 'ok' });
      expect((await t.http.get('/readyz').expect(200)).body).toEqual({ status: 'ok' });
      const detailed = await t.internal.get('/readyz').expect(200);
      expect(detailed.body).toEqual({ status: 'ok', parts: [{ name: 'database', optional: false, ok: true }] });
    });

    it('is measured by route pattern, on the private listener only', async () => {
      const { auth } = await person(t);
      await t.http.get('/api/v1/stacks/uaaaaaa').set(auth).expect(404);
      const metrics = await t.internal.get('/metrics').expect(200);
      expect(metrics.headers['content-type']).toContain('text/plain');
      expect(metrics.text).toContain('route="/api/v1/stacks/:slug",status="404"');
      expect(metrics.text).not.toContain('uaaaaaa');
      await t.http.get('/metrics').expect(404);
    });
  });
});

describe('rate limits', () => {
  const few = { quota: 3, windowSeconds: 60 };

  it('refuse with the time to wait, and count each class on its own', async () => {
    const t = await testApi({}, { rateLimits: { sign_in: few } });
    try {
      for (let left = 2; left >= 0; left -= 1) {
        const answer = await login(t);
        expect(answer.status).toBe(401);
        expect(answer.headers['ratelimit']).toMatch(new RegExp(`^"sign_in";r=${left};t=\\d+$`));
        expect(answer.headers['ratelimit-policy']).toBe('"sign_in";q=3;w=60');
      }
      const refused = await login(t);
      expect([refused.status, code(refused)]).toEqual([429, 'RATE_LIMITED']);
      expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
      expect(Number(refused.headers['retry-after'])).toBeLessThanOrEqual(60);
      await t.http.get('/api/v1/auth/disclaimer').expect(200);
      await t.http.get('/healthz').expect(200);
    } finally {
      await t.close();
    }
  });

  it('are per account for signed-in people, so one does not use up another’s', async () => {
    const t = await testApi({}, { rateLimits: { read: few } });
    try {
      await t.db.dataSource.query('select 1');
      const [a, b] = [await person(t), await person(t)];
      const read = async (who: typeof a) => (await t.http.get('/api/v1/stacks').set(who.auth)).status;
      expect([await read(a), await read(a), await read(a), await read(a)]).toEqual([200, 200, 200, 429]);
      expect(await read(b)).toBe(200);
    } finally {
      await t.close();
    }
  });

  it('believe X-Forwarded-For from trusted proxies only', async () => {
    const statuses = async (t: TestApi): Promise<number[]> => {
      const seen: number[] = [];
      for (let index = 0; index < 5; index += 1) {
        seen.push((await login(t).set('X-Forwarded-For', `203.0.113.${index}`)).status);
      }
      return seen;
    };
    const direct = await testApi({}, { rateLimits: { sign_in: few } });
    try {
      expect(await statuses(direct)).toEqual([401, 401, 401, 429, 429]);
      const { id } = await person(await fresh(direct));
      const [row]: { ip: string }[] = await direct.db.dataSource.query(
        'select ip from sessions where account_id = $1',
        [id],
      );
      expect(row?.ip).toBe('127.0.0.1');
    } finally {
      await direct.close();
    }
    const behind = await testApi(
      { AVIARY_TRUSTED_PROXIES: '127.0.0.0/8, 10.0.0.0/8' },
      { rateLimits: { sign_in: few } },
    );
    try {
      expect(await statuses(behind)).toEqual([401, 401, 401, 401, 401]);
      // The last address the trusted proxy wrote counts; what the sender wrote before it does not.
      const spoofed: number[] = [];
      for (let index = 0; index < 4; index += 1) {
        spoofed.push((await login(behind).set('X-Forwarded-For', `198.51.100.${index}, 203.0.113.99`)).status);
      }
      expect(spoofed).toEqual([401, 401, 401, 429]);
    } finally {
      await behind.close();
    }
  });

  /** The limit of sign-ins is used up; the rest of the test is about something else. */
  async function fresh(t: TestApi): Promise<TestApi> {
    t.api.services.rateLimits.sign_in = RATE_LIMITS.sign_in;
    return Promise.resolve(t);
  }

  it('are not left to a mistyped list of proxies', async () => {
    await expect(testApi({ AVIARY_TRUSTED_PROXIES: 'traefik' })).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });

  it('go on in memory when Redis is not there, without a slow or failed request', async () => {
    const t = await testApi({ AVIARY_REDIS_URL: 'redis://127.0.0.1:1' }, { rateLimits: { sign_in: few } });
    try {
      const started = performance.now();
      const statuses = [];
      for (let index = 0; index < 4; index += 1) {
        statuses.push((await login(t)).status);
      }
      expect(statuses).toEqual([401, 401, 401, 429]);
      expect(performance.now() - started).toBeLessThan(4_000);
      const ready = await t.internal.get('/readyz').expect(200);
      expect(ready.body).toMatchObject({ status: 'ok', parts: [{ name: 'database' }, { name: 'redis', ok: false }] });
      expect(t.logs.filter((line) => line.includes('Redis does not answer')).length).toBe(1);
    } finally {
      await t.close();
    }
  });

  it('go on in memory when Redis takes connections and answers nothing', async () => {
    const sockets: Socket[] = [];
    const silent: Server = createServer((socket) => void sockets.push(socket));
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as { port: number };
    const t = await testApi({ AVIARY_REDIS_URL: `redis://127.0.0.1:${port}` }, { rateLimits: { sign_in: few } });
    try {
      const statuses = [];
      for (let index = 0; index < 4; index += 1) {
        statuses.push((await login(t)).status);
      }
      expect(statuses).toEqual([401, 401, 401, 429]);
    } finally {
      await t.close();
      sockets.forEach((socket) => socket.destroy());
      await new Promise((resolve) => silent.close(resolve));
    }
  });
});

it('ends although a connection never carried a request, and the answer under way on another is given whole', async () => {
  const ending = await testApi();
  const silent = connect(Number(new URL(ending.url).port), '127.0.0.1');
  const gone = once(silent, 'close');
  await once(silent, 'connect');
  let letGo = (): void => undefined;
  const held = new Promise<void>((resolve) => (letGo = resolve));
  const list = jest.spyOn(ending.api.services.stacks, 'list').mockImplementationOnce(async () => {
    await held;
    return { items: [], next: null };
  });
  const { auth } = await person(ending);
  const answer = fetch(`${ending.url}/api/v1/stacks`, { headers: auth });
  await waitFor(() => list.mock.calls.length > 0 || undefined, { what: 'the request', deadlineMs: 5_000 });
  const closed = ending.close();
  letGo();
  await expect((await answer).json()).resolves.toEqual({ items: [], next: null });
  await closed;
  await gone;
}, 20_000);
