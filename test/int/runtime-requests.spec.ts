import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { waitFor } from '#libs/async';
import { botSchema, type Bot, type ErrorBody, type Market, type Overview, type TokenCreated } from '#libs/contracts';
import { newSigningKey } from '#libs/crypto';
import { dec, presetParams, text } from '#libs/trading';
import type { App } from '../../apps/runtime/src/app.js';
import { routesOf } from '../../apps/runtime/src/http/routes.js';
import { TestRedis, TestStack, type EventStream, type RuntimeProcess } from '../support/runtime.js';
import { checkBooks } from '../support/runtime-books.js';

const redis = new TestRedis();
let stack: TestStack;
let runtime: RuntimeProcess;

beforeAll(async () => {
  await redis.start();
  stack = await TestStack.create({ redis });
  await stack.provision({ tickMs: 20 });
  runtime = await stack.startReady();
}, 60_000);
afterAll(async () => {
  await stack?.close();
  await redis.close();
}, 20_000);

async function order(investment = '1000'): Promise<{ pair: string; params: object; start: boolean }> {
  const { pairs } = await runtime.call<Market>('GET', '/market');
  const [market] = pairs;
  if (!market) {
    throw new Error('no market');
  }
  return { pair: market.pair, params: presetParams('narrow', market, market.price, investment), start: true };
}
const post = <T>(body: unknown, key: string) =>
  runtime.request<T>('POST', '/api/v1/bots', { body, headers: { 'idempotency-key': key } });
const bots = async (): Promise<Bot[]> => (await runtime.call<{ items: Bot[] }>('GET', '/bots')).items;
async function clear(): Promise<void> {
  for (const { id, state } of await bots()) {
    if (state !== 'stopped') {
      await runtime.call('POST', `/bots/${id}/stop`, { onExit: 'sell' });
    }
    await runtime.request('DELETE', `/api/v1/bots/${id}`);
  }
}

describe('a request to make a bot that is repeated', () => {
  afterEach(clear);

  it('gives the same bot, also when both come at once, and reserves its money once', async () => {
    const body = await order();
    const before = await runtime.call<Overview>('GET', '/overview');
    const answers = await Promise.all([post<Bot>(body, 'twice'), post<Bot>(body, 'twice')]);
    expect(answers.map(({ status }) => status)).toEqual([201, 201]);
    expect(new Set(answers.map((answer) => botSchema.parse(answer.body).id)).size).toBe(1);
    expect(answers.filter(({ headers }) => headers.get('idempotency-replayed') === 'true')).toHaveLength(1);
    expect(await bots()).toHaveLength(1);
    const after = await runtime.call<Overview>('GET', '/overview');
    expect(text(dec(before.free).minus(after.free))).toBe('1000');
  });

  it('gives the same bot after a restart, and says so when it was deleted', async () => {
    const body = await order();
    const first = await post<Bot>(body, 'later');
    await runtime.stop();
    runtime = await stack.startReady();
    expect((await post<Bot>(body, 'later')).body.id).toBe(first.body.id);
    await clear();
    for (const restart of [false, true]) {
      if (restart) {
        await runtime.stop();
        runtime = await stack.startReady();
      }
      const again = await post<ErrorBody>(body, 'later');
      expect([again.status, again.body.code, again.body.details]).toEqual([
        404,
        'NOT_FOUND',
        { reason: 'no_such_bot', id: first.body.id },
      ]);
      expect(again.body.message).toMatch(/was deleted.*new key/);
    }
    expect(await bots()).toEqual([]);
  }, 30_000);

  it('is refused when it asks for something else, and when the key is none', async () => {
    const body = await order();
    expect((await post(body, 'other')).status).toBe(201);
    const other = await post<ErrorBody>({ ...body, name: 'Another' }, 'other');
    expect([other.status, other.body.code]).toEqual([422, 'IDEMPOTENCY_KEY_REUSED']);
    const bad = await post<ErrorBody>(body, 'k'.repeat(201));
    expect([bad.status, bad.body.details['reason']]).toEqual([422, 'idempotency_key']);
    expect(await bots()).toHaveLength(1);
  });

  it('leaves the key free, and no bot behind, when the bot could not be made', async () => {
    // The bots before this one may have sold at a profit.
    const { free } = await runtime.call<Overview>('GET', '/overview');
    const body = await order(text(dec(free).plus('0.01')));
    const refused = await post<ErrorBody>(body, 'poor');
    expect([refused.status, refused.body.code]).toEqual([409, 'INSUFFICIENT_BALANCE']);
    expect(await bots()).toEqual([]);
    expect(await stack.sql(`select 1 from requests where key = 'poor'`)).toEqual([]);
    expect((await post(await order(), 'poor')).status).toBe(201);
  });

  it('may come as something new after a day', async () => {
    const body = await order();
    const first = await post<Bot>(body, 'daily');
    await stack.sql(`update requests set at = at - interval '24 hours' where key = 'daily'`);
    const second = await post<Bot>({ ...body, name: 'Next day' }, 'daily');
    expect(second.status).toBe(201);
    expect(second.body.id).not.toBe(first.body.id);
  });
});

it('never counts an investment twice or not at all while bots begin and end', async () => {
  let done = false;
  const seen: Overview[] = [];
  const stream = await runtime.stream(await stack.identity());
  const look = async (): Promise<void> => {
    while (!done) {
      seen.push(await runtime.call<Overview>('GET', '/overview'));
    }
  };
  const lookers = [look(), look(), look()];
  const churn = async (): Promise<void> => {
    for (let round = 0; round < 6; round += 1) {
      const { id } = await runtime.call<Bot>('POST', '/bots', await order('2000'));
      await runtime.call('POST', `/bots/${id}/stop`, { onExit: round % 2 === 0 ? 'sell' : 'keep' });
      await runtime.request('DELETE', `/api/v1/bots/${id}`);
    }
  };
  await Promise.all([churn(), churn()]);
  done = true;
  await Promise.all(lookers);
  const told = stream.of('overview').map(({ data }) => data);
  stream.close();
  const wrong = [...seen, ...told].filter(
    ({ equity, deposit, allTime }) => equity !== text(dec(deposit).plus(allTime.total)),
  );
  expect(wrong).toEqual([]);
  // Fees and a moving price cost little; an investment counted twice or not at all would be 2000.
  expect(seen.filter(({ equity }) => dec(equity).minus(10_000).abs().gt(500))).toEqual([]);
  expect(seen.length).toBeGreaterThan(50);
  // The account's table, changed in the bots' transactions, says what the figures say.
  const { balances } = await runtime.call<Overview>('GET', '/overview');
  const rows = await stack.sql<{ asset: string; amount: string }>('select asset, amount from assets order by asset');
  expect(balances.map(({ asset, amount }) => [asset, amount])).toEqual(
    rows.map(({ asset, amount }) => [asset, text(dec(amount))]),
  );
  expect(await runtime.stop()).toBe(0);
  await checkBooks(stack);
  runtime = await stack.startReady();
  const restarted = await runtime.call<Overview>('GET', '/overview');
  expect(restarted.balances.map(({ amount }) => amount)).toEqual(balances.map(({ amount }) => amount));
}, 90_000);

describe('every route', () => {
  const routes = routesOf({} as App);
  const id = '0190b7a0-0000-7000-8000-000000000000';
  const paths = [
    ...routes.map(({ method, path }) => [method, `/api/v1${path.replace(':id', id)}`] as const),
    ['GET', '/'] as const,
    ['GET', '/api/v1/none'] as const,
    ['POST', '/api/v1/none'] as const,
    ['DELETE', '/api/v1'] as const,
  ];

  it('is in the document of the API', () => {
    const document = readFileSync(new URL('../../docs/api.md', import.meta.url), 'utf8');
    const rows = document.split('\n').filter((line) => line.startsWith('| `'));
    const missing = routes.filter(({ method, path }) => {
      // Actions of a bot share a row.
      const [place = '', action = ''] = path.replace(':id', '{id}').split(/(?=\/(?:start|pause|resume)$)/);
      const named = (row: string): boolean => new RegExp(`${place.replaceAll(/[{}.]/g, '\\$&')}(?=[\`?/])`).test(row);
      return !rows.some((row) => row.includes(`\`${method}`) && named(row) && row.includes(action));
    });
    expect(missing.map(({ method, path }) => `${method} ${path}`)).toEqual([]);
  });

  it('is one of those this test knows to walk', () => {
    expect(routes.length).toBeGreaterThan(20);
    expect(new Set(routes.map(({ method, path }) => `${method} ${path}`)).size).toBe(routes.length);
  });

  it.each(paths)('is closed to everybody the gate or a token did not let in: %s %s', async (method, path) => {
    const forged = await stack.identity({ key: newSigningKey() });
    const stranger = await stack.identity({ audience: stack.spec.platform });
    const strangers: Record<string, string>[] = [
      {},
      forged,
      stranger,
      { authorization: 'Bearer avt_nonsense' },
      { cookie: 'session=x', 'x-forwarded-user': 'ana' },
    ];
    for (const headers of strangers) {
      const answer = await runtime.request<ErrorBody>(method, path, { headers, anonymous: true });
      expect([answer.status, answer.body.code]).toEqual([401, 'UNAUTHENTICATED']);
    }
  });

  it.each(routes.filter(({ access }) => access !== 'look').map(({ method, path }) => [method, path] as const))(
    'that changes something is closed to those who may look: %s %s',
    async (method, path) => {
      const read = await runtime.call<TokenCreated>('POST', '/tokens', { name: 'reader', expiresInDays: 1 });
      for (const headers of [
        await stack.identity({ role: 'support' }),
        { authorization: `Bearer ${read.token}` },
      ] as Record<string, string>[]) {
        const answer = await runtime.request<ErrorBody>(method, `/api/v1${path.replace(':id', id)}`, {
          headers,
          anonymous: true,
        });
        expect([path, answer.status]).toEqual([path, 403]);
        expect(typeof answer.body.details['reason']).toBe('string');
      }
      await runtime.request('DELETE', `/api/v1/tokens/${read.view.id}`);
    },
  );
});

describe('live streams', () => {
  it('are not opened by HEAD', async () => {
    const head = await runtime.request('HEAD', '/api/v1/stream');
    expect([head.status, head.headers.get('content-type')]).toEqual([200, 'text/event-stream; charset=utf-8']);
    const csv = await runtime.request('HEAD', '/api/v1/trades.csv');
    expect([csv.status, csv.body]).toEqual([200, '']);
  });

  it('are at most twelve of one session, and leave room for others', async () => {
    const sid = '0190b7a0-0000-7000-8000-00000000000a';
    const mine = async (): Promise<EventStream> => runtime.stream(await stack.identity({ sid }));
    const streams = await Promise.all(Array.from({ length: 12 }, mine));
    const headers = await stack.identity({ sid });
    const refused = await runtime.request<ErrorBody>('GET', '/api/v1/stream', { headers });
    expect([refused.status, refused.body.details['reason']]).toEqual([429, 'streams_of_caller']);
    const other = await runtime.stream(await stack.identity());
    streams[0]?.close();
    const again = await waitFor(() => mine(), { what: 'a free place', deadlineMs: 5_000 });
    for (const stream of [...streams, other, again]) {
      stream.close();
    }
  }, 30_000);
});

it('does not call it an error of its own when a client goes away', async () => {
  await clear();
  const { id } = await runtime.call<Bot>('POST', '/bots', await order());
  // Enough rows that the file is still being written when its reader leaves.
  await stack.sql(
    `insert into fills (trade_id, bot_id, order_id, side, purpose, pair, price, quantity, fee, at)
     select 1000000 + n, $1, (select id from orders where bot_id = $1 limit 1), 'buy', 'grid', 'BTC/USDT', 1, 1, 0, now()
     from generate_series(1, 200000) n`,
    [id],
  );
  for (let i = 0; i < 3; i += 1) {
    const request = httpRequest(`${runtime.origin}/api/v1/trades.csv`, {
      headers: await stack.identity(),
      agent: false,
    }).end();
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    await once(response, 'data');
    response.destroy();
  }
  const upload = httpRequest(`${runtime.origin}/api/v1/bots`, {
    method: 'POST',
    headers: { ...(await stack.identity()), 'content-type': 'application/json', 'content-length': '1000' },
    agent: false,
  });
  upload.on('error', () => undefined);
  upload.write('{"pair"');
  await delay(200);
  upload.destroy();
  await delay(1_000);
  expect(runtime.logs.filter(({ level }) => Number(level) >= 50)).toEqual([]);
  await stack.sql('delete from fills where trade_id > 1000000');
}, 60_000);

it('writes prices with the digits of the tick, and every event with its code', async () => {
  const rows = await stack.sql<{ text: string; code: string; params: Record<string, string> }>(
    'select text, code, params from events where bot_id is not null',
  );
  expect(rows.length).toBeGreaterThan(20);
  for (const { text: line, code, params } of rows) {
    expect([line, typeof code]).toEqual([line, 'string']);
    for (const value of [params['price'], params['limit']].filter((given) => given !== undefined)) {
      expect([line, value]).toEqual([line, expect.stringMatching(/^\d+\.\d$/)]);
      expect(line === 'Stopped' || line.includes(value)).toBe(true);
    }
  }
});
