import { randomBytes, type KeyObject } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { IncomingMessage } from 'node:http';
import { waitFor } from '#libs/async';
import {
  ACTIVITY_AUDIENCE,
  activitySchema,
  IDENTITY_HEADER,
  STORE_TEXT,
  type Activity,
  type Bot,
  type ErrorBody,
  type Market,
  type TokenCreated,
  type TokenView,
} from '#libs/contracts';
import { hashToken, newSigningKey, signToken } from '#libs/crypto';
import { presetParams } from '#libs/trading';
import { TestRedis, TestStack, type RuntimeProcess } from '../support/runtime.js';

const redis = new TestRedis();
let stack: TestStack;
let runtime: RuntimeProcess;
const dashboard = mkdtempSync(join(tmpdir(), 'aviary-dashboard-'));

beforeAll(async () => {
  mkdirSync(join(dashboard, 'assets'));
  writeFileSync(join(dashboard, 'index.html'), '<!doctype html><title>Dashboard</title>');
  writeFileSync(join(dashboard, 'assets', 'main-1a2b.js'), 'export {};');
  await redis.start();
  stack = await TestStack.create({ redis, bots: 2, dashboardUrl: 'https://uabcdef.aviary.localhost' });
  runtime = await stack.startReady({ dashboard });
}, 60_000);
afterAll(async () => {
  await stack?.close();
  await redis.close();
  rmSync(dashboard, { recursive: true, force: true });
});

const me = '/api/v1/me';
const status = async (path: string, headers: Record<string, string>, method = 'GET'): Promise<number> =>
  (await runtime.request(method, path, { headers, anonymous: true })).status;

/** As the platform asks, with the copy of the stack's key that it holds. */
async function askForActivity(options: { key?: KeyObject; issuer?: string; audience?: string; ttlSeconds?: number }) {
  const token = await signToken(
    options.key ?? stack.stackKey,
    {},
    {
      issuer: options.issuer ?? stack.spec.tenant,
      audience: options.audience ?? ACTIVITY_AUDIENCE,
      ttlSeconds: options.ttlSeconds ?? 30,
    },
  );
  const headers = { authorization: `Stack ${token}` };
  return runtime.request<unknown>('GET', '/activity', { headers, anonymous: true });
}

describe('who may come in', () => {
  it('lets the gate’s identity in and answers /ready to everybody', async () => {
    expect(await status(me, await stack.identity())).toBe(200);
    expect(await status('/ready', {})).toBe(200);
  });

  it.each(['/', '/assets/main-1a2b.js', me, '/api/v1/bots', '/api/v1/stream', '/api/v1/none', '/ready/x', '/docs'])(
    'refuses anybody else at %s',
    async (path) => {
      expect(await status(path, {})).toBe(401);
      expect(await status(path, { 'x-aviary-user': 'ana' })).toBe(401);
      expect(await status(path, { cookie: '__Host-aviary-session=x' })).toBe(401);
    },
  );

  it('says what would stop with it to the platform alone, which holds the other copy of its key', async () => {
    const ask = askForActivity;
    expect(await ask({})).toMatchObject({ status: 200, body: { runningBots: 0, openOrders: 0 } });
    for (const wrong of [
      { key: newSigningKey() },
      { key: stack.gateKey },
      { issuer: stack.spec.platform },
      // What the runtime itself signs for its reports opens nothing here.
      { audience: 'aviary-reports' },
      { ttlSeconds: -30 },
    ]) {
      expect((await ask(wrong)).status).toBe(401);
    }
    expect(await status('/activity', {})).toBe(401);
    expect(await status('/activity', await stack.identity())).toBe(401);
  });

  it('refuses identities that are forged, meant for others, of another kind or expired', async () => {
    const valid = (await stack.identity())[IDENTITY_HEADER] ?? '';
    const [header, payload] = valid.split('.');
    const unsigned = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${payload ?? ''}.`;
    const session = await signToken(
      stack.gateKey,
      { sub: stack.spec.tenant, sid: stack.spec.tenant, slug: stack.spec.slug, name: 'ana', role: 'owner' },
      { issuer: 'aviary-portal', audience: stack.spec.tenant, ttlSeconds: 60 },
    );
    const bad: Record<string, string>[] = [
      await stack.identity({ key: newSigningKey() }),
      await stack.identity({ audience: stack.spec.platform }),
      await stack.identity({ ttl: -30 }),
      await stack.identity({ role: 'operator' }),
      { [IDENTITY_HEADER]: session },
      { [IDENTITY_HEADER]: unsigned },
      { [IDENTITY_HEADER]: `${header ?? ''}.${payload ?? ''}.AAAA` },
      { [IDENTITY_HEADER]: '' },
    ];
    for (const headers of bad) {
      expect([headers[IDENTITY_HEADER]?.slice(0, 8), await status(me, headers)]).toEqual([
        headers[IDENTITY_HEADER]?.slice(0, 8),
        401,
      ]);
    }
  });

  it('does not fall back to a token when a forged identity comes with it', async () => {
    const { token } = await runtime.call<TokenCreated>('POST', '/tokens', { name: 'both' });
    const forged = await stack.identity({ key: newSigningKey() });
    expect(await status(me, { ...forged, authorization: `Bearer ${token}` })).toBe(401);
  });

  it('lets support look and not touch', async () => {
    const support = await stack.identity({ role: 'support' });
    expect(await status(me, support)).toBe(200);
    expect(await status('/api/v1/tokens', support, 'POST')).toBe(403);
  });

  it('refuses changes that come from another page', async () => {
    const identity = await stack.identity();
    const post = async (headers: Record<string, string>) =>
      runtime.request<ErrorBody>('POST', '/api/v1/tokens', { headers, body: { name: 'x' } });
    expect((await post({ ...identity, origin: 'https://uzzzzzz.aviary.localhost' })).body.code).toBe('FORBIDDEN');
    expect((await post({ ...identity, 'sec-fetch-site': 'same-site' })).status).toBe(403);
    expect((await post({ ...identity, origin: 'https://uabcdef.aviary.localhost' })).status).toBe(201);
    expect((await post({ ...identity, origin: 'https://bot.example.org' })).status).toBe(403);
  });

  it('takes them from the owner’s own domain of a session made there, and from no other page', async () => {
    const identity = await stack.identity({ host: 'bot.example.org' });
    const post = async (origin: string) =>
      runtime.request('POST', '/api/v1/tokens', { headers: { ...identity, origin }, body: { name: 'own' } });
    expect((await post('https://bot.example.org')).status).toBe(201);
    for (const origin of [
      'https://uabcdef.aviary.localhost',
      'https://example.org',
      'http://bot.example.org',
      'null',
    ]) {
      expect((await post(origin)).status).toBe(403);
    }
  });
});

describe('tokens', () => {
  it('are shown once, stored as a hash, scoped, and over when revoked', async () => {
    const read = await runtime.call<TokenCreated>('POST', '/tokens', { name: 'reader' });
    const trade = await runtime.call<TokenCreated>('POST', '/tokens', { name: 'trader', scope: 'trade' });
    const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
    expect(await status(me, bearer(read.token))).toBe(200);
    expect(await status('/', bearer(read.token))).toBe(401);
    expect(await status('/api/v1/bots', bearer(read.token), 'POST')).toBe(403);
    expect(await status('/api/v1/bots', bearer(trade.token), 'POST')).toBe(422);
    expect(await status('/api/v1/tokens', bearer(trade.token))).toBe(403);
    expect(await status(me, bearer(`${read.token.slice(0, -1)}${read.token.endsWith('A') ? 'B' : 'A'}`))).toBe(401);
    const { items } = await runtime.call<{ items: TokenView[] }>('GET', '/tokens');
    expect(JSON.stringify(items)).not.toContain(read.token);
    expect(items.find(({ id }) => id === read.view.id)?.lastUsedAt).not.toBeNull();
    const rows = await stack.sql('select * from api_tokens');
    expect(JSON.stringify(rows)).not.toContain(read.token);
    expect((await runtime.request('DELETE', `/api/v1/tokens/${read.view.id}`)).status).toBe(204);
    expect(await status(me, bearer(read.token))).toBe(401);
    await stack.sql(`update api_tokens set expires_at = now() where id = $1`, [trade.view.id]);
    expect(await status(me, bearer(trade.token))).toBe(401);
  });

  it('FM-32 are told to the platform as digests, the valid ones alone, so that they wake the stack once it sleeps', async () => {
    await stack.sql('update api_tokens set revoked_at = now() where revoked_at is null');
    const told = async (): Promise<Activity['tokens']> => activitySchema.parse((await askForActivity({})).body).tokens;
    expect(await told()).toEqual([]);
    const mint = (name: string, scope: 'read' | 'trade') =>
      runtime.call<TokenCreated>('POST', '/tokens', { name, scope });
    const [read, trade] = [await mint('reads', 'read'), await mint('trades', 'trade')];
    const [revoked, expired] = [await mint('is revoked', 'trade'), await mint('is over', 'trade')];
    expect((await runtime.request('DELETE', `/api/v1/tokens/${revoked.view.id}`)).status).toBe(204);
    await stack.sql(`update api_tokens set expires_at = now() where id = $1`, [expired.view.id]);
    const digests = [read, trade].map(({ token, view }) => ({ digest: hashToken(token), expiresAt: view.expiresAt }));
    const known = await told();
    expect(known).toHaveLength(2);
    expect(known).toEqual(expect.arrayContaining(digests));
    expect(JSON.stringify(runtime.logs)).not.toContain(hashToken(read.token));
  });
});

describe('bad input', () => {
  const post = (options: { body?: unknown; raw?: string }) =>
    runtime.request<ErrorBody>('POST', '/api/v1/bots', options);

  it.each([
    ['malformed JSON', { raw: '{"pair":' }, 400, 'MALFORMED_JSON'],
    ['a body too large', { raw: JSON.stringify({ name: 'x'.repeat(70_000) }) }, 413, 'BODY_TOO_LARGE'],
    ['no JSON object', { raw: '[]' }, 422, 'VALIDATION_FAILED'],
    ['unknown fields', { body: { pair: 'BTC/USDT', surprise: 1, params: {} } }, 422, 'VALIDATION_FAILED'],
    ['an unknown pair', { body: { pair: 'DOGE/USDT', params: {} } }, 422, 'VALIDATION_FAILED'],
  ])('answers %s with its reason', async (_name, options, code, word) => {
    const answer = await post(options);
    expect([answer.status, answer.body.code]).toEqual([code, word]);
    expect(answer.body.errorId).toMatch(/^[0-9a-f-]{36}$/);
    expect(answer.body.message.length).toBeGreaterThan(10);
  });

  it('names every field that is wrong', async () => {
    const params = { lower: '1e5', upper: '-3', grids: 1, investment: 100 };
    const { body } = await post({ body: { pair: 'BTC/USDT', params } });
    const fields = (body.details['fields'] as { field: string }[]).map(({ field }) => field);
    expect(fields.sort()).toEqual(['params.grids', 'params.investment', 'params.lower', 'params.upper']);
  });

  it('refuses a grid that cannot be traded, in words', async () => {
    const params = { lower: '60000', upper: '70000', grids: 20, investment: '50' };
    const { status: code, body } = await post({ body: { pair: 'BTC/USDT', params } });
    expect([code, body.code]).toEqual([422, 'STRATEGY_INVALID']);
    expect(body.message).toMatch(/below the minimum 5/);
  });

  it('refuses more money than there is, and leaves the bot as it was', async () => {
    const { pairs } = await runtime.call<Market>('GET', '/market');
    const [market] = pairs;
    if (!market) {
      throw new Error('no market');
    }
    const params = presetParams('wide', market, market.price, '10000.01');
    const bot = await runtime.call<Bot>('POST', '/bots', { pair: market.pair, params });
    const start = await runtime.request<ErrorBody>('POST', `/api/v1/bots/${bot.id}/start`);
    expect([start.status, start.body.code]).toEqual([409, 'INSUFFICIENT_BALANCE']);
    expect(await runtime.call('GET', `/bots/${bot.id}`)).toMatchObject({ state: 'created' });
    const pause = await runtime.request<ErrorBody>('POST', `/api/v1/bots/${bot.id}/pause`);
    expect([pause.status, pause.body.code]).toEqual([409, 'WRONG_STATE']);
    expect((await runtime.request('DELETE', `/api/v1/bots/${bot.id}`)).status).toBe(204);
  });

  it('allows as many bots as the plan, also when asked for all at once', async () => {
    const { pairs } = await runtime.call<Market>('GET', '/market');
    const [market] = pairs;
    if (!market) {
      throw new Error('no market');
    }
    const body = { pair: market.pair, params: presetParams('wide', market, market.price, '1000') };
    const answers = await Promise.all(Array.from({ length: 5 }, () => post({ body })));
    expect(answers.map((answer) => String(answer.status)).sort()).toEqual(['201', '201', '403', '403', '403']);
    const refused = answers.find((answer) => answer.status === 403);
    expect(refused?.body).toMatchObject({ code: 'QUOTA_EXCEEDED', details: { limit: 'bots', allowed: 2 } });
    expect(refused?.body.message).toContain('2 bots');
  });

  it('answers 404 for what is not there, and says what is', async () => {
    expect((await runtime.request('GET', '/api/v1/bots/none')).status).toBe(404);
    expect((await runtime.request('GET', '/api/v2/me')).status).toBe(404);
    const wrong = await runtime.request<ErrorBody>('DELETE', '/api/v1/bots');
    expect([wrong.status, wrong.body.message]).toEqual([404, 'Here one can only GET, POST.']);
  });

  it('refuses a cursor beyond any row and a time before any market', async () => {
    const { id } = (await runtime.call<{ items: Bot[] }>('GET', '/bots')).items[0] ?? { id: '' };
    const codes: Record<string, number> = {};
    for (const [path, code] of Object.entries({
      [`/bots/${id}/orders?cursor=${'9'.repeat(18)}`]: 200,
      [`/bots/${id}/events?cursor=${'9'.repeat(18)}`]: 200,
      [`/bots/${id}/orders?cursor=${'9'.repeat(19)}`]: 422,
      '/trades?from=0000-01-01T00:00:00Z': 422,
      '/trades.csv?to=0000-01-01T00:00:00Z': 422,
      '/trades?from=1969-12-31T23:59:59Z': 422,
      '/trades?from=1970-01-01T00:00:00Z': 200,
      '/market/candles?pair=BTC%2FUSDT&to=0000-01-01T00:00:00Z': 422,
    })) {
      codes[path] = (await runtime.request('GET', `/api/v1${path}`)).status - code;
    }
    expect(Object.entries(codes).filter(([, difference]) => difference !== 0)).toEqual([]);
  });

  it('refuses a query parameter given twice and one it does not know', async () => {
    expect((await runtime.request('GET', '/api/v1/equity?range=1D&range=1W')).status).toBe(422);
    expect((await runtime.request('GET', '/api/v1/equity?from=1')).status).toBe(422);
    expect((await runtime.request('GET', '/api/v1/trades?cursor=1%20or%201')).status).toBe(422);
  });
});

describe('the dashboard’s files', () => {
  it('are served with a strict policy, pages by index.html', async () => {
    for (const path of ['/', '/bots/new', '/bots/0193']) {
      const page = await runtime.request<string>('GET', path);
      expect([page.status, page.body]).toEqual([200, expect.stringContaining('<title>Dashboard')]);
      expect(page.headers.get('content-security-policy')).toMatch(/default-src 'none'; script-src 'self';/);
      expect(page.headers.get('x-content-type-options')).toBe('nosniff');
      expect(page.headers.get('cache-control')).toBe('no-cache');
    }
    const script = await runtime.request('GET', '/assets/main-1a2b.js');
    expect(script.headers.get('content-type')).toContain('javascript');
    expect(script.headers.get('cache-control')).toContain('immutable');
    expect((await runtime.request('GET', '/assets/other.js')).status).toBe(404);
  });

  it.each([
    '/../../etc/passwd',
    '/assets/%2e%2e/%2e%2e/etc/passwd',
    '/..%2f..%2fetc%2fpasswd',
    '/%5c..%5cx',
    '/a%00.js',
    '/%',
  ])('never come from outside their folder: %s', async (path) => {
    // Sent as written: fetch would tidy the path first.
    const headers = await stack.identity();
    const request = httpRequest(runtime.origin, { path, headers, agent: false });
    request.end();
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    let body = '';
    for await (const chunk of response) {
      body += String(chunk);
    }
    expect(body).not.toContain('root:');
    expect([404, 200]).toContain(response.statusCode);
    expect(response.statusCode === 404 || body.includes('<title>Dashboard')).toBe(true);
  });
});

describe('a database that is not the stack’s own', () => {
  const refusedBy = async (other: TestStack): Promise<{ body: unknown; api: number }> => {
    const process_ = await other.start();
    const body = await waitFor(
      async () => {
        const answer = await process_.request<{ code: string }>('GET', '/ready', { anonymous: true });
        return answer.status === 503 && answer.body.code === 'DATA_MISSING' ? answer.body : undefined;
      },
      { what: 'the refusal', deadlineMs: 10_000 },
    );
    return { body, api: (await process_.request('GET', me)).status };
  };

  it('is not filled when it is empty after provisioning', async () => {
    const other = await TestStack.create({ redis });
    other.write({ generation: 2 });
    expect(await refusedBy(other)).toMatchObject({ body: { ready: false, code: 'DATA_MISSING' }, api: 503 });
    expect(await other.sql(`select 1 from pg_tables where schemaname = 'public'`)).toEqual([]);
    await other.close();
  }, 30_000);

  it('is not touched when it holds another stack or strange tables', async () => {
    const other = await TestStack.create({ redis, database: stack.database });
    const before = await stack.sql('select tenant, generation from stack');
    expect(await refusedBy(other)).toMatchObject({ body: { code: 'DATA_MISSING' } });
    expect(await stack.sql('select tenant, generation from stack')).toEqual(before);
    await other.close();
    const strange = await TestStack.create({ redis });
    await strange.sql('create table diary (line text)');
    expect(await refusedBy(strange)).toMatchObject({ body: { code: 'DATA_MISSING' } });
    await strange.close();
  }, 30_000);
});

it('tells those who ask /ready that PostgreSQL does not answer as it should, and nothing of what it said', async () => {
  const other = await TestStack.create({ redis });
  const process_ = await other.start();
  await process_.ready();
  await other.sql('alter table stack rename to pile');
  const told = await waitFor(
    async () => {
      const { status, body } = await process_.request('GET', '/ready', { anonymous: true });
      return status === 503 ? body : undefined;
    },
    { what: '/ready saying that PostgreSQL does not', deadlineMs: 10_000 },
  );
  expect(told).toEqual({ ready: false, code: 'POSTGRES_AWAY', message: STORE_TEXT.POSTGRES_AWAY });
  await other.close();
}, 30_000);

it('waits for a role, a password and a database that a first start of Postgres makes later', async () => {
  const { host, port } = stack.database;
  const name = `late_${randomBytes(6).toString('hex')}`;
  const database = { host, port, user: name, password: randomBytes(12).toString('hex'), database: name };
  const late = await TestStack.create({ redis, database });
  const runtime_ = await late.start();
  const notYet = await runtime_.request('GET', '/ready', { anonymous: true });
  expect(notYet.status).toBe(503);
  await stack.sql(`create role ${name} login password '${randomBytes(12).toString('hex')}'`);
  await stack.sql(`create database ${name} owner ${name}`);
  await stack.sql(`alter role ${name} password '${database.password}'`);
  await runtime_.ready();
  await late.close();
}, 30_000);
