import { execFile, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import pg from 'pg';
import { waitFor } from '#libs/async';
import type { Bot, Market, OperationList, TokenCreated } from '#libs/contracts';
import { randomToken } from '#libs/crypto';
import { docker, engineEndpoint, spawnBeside } from '../support/engine.js';
import { PlatformWorld, SOON, type RunningStack } from './platform/world.js';

const PAGE = { headers: { accept: 'text/html' } };

/** What lies down, what wakes it, and what does not: on the whole platform, through proxy and gate as visitors come. */
describe('a stack that rests', () => {
  let world: PlatformWorld;
  let stack: RunningStack;
  /** All that the engine says it does; it keeps only the last few itself. */
  const heard: string[] = [];
  let events: ChildProcess;
  beforeAll(async () => {
    const format = ['--format', '{{.Type}} {{.Action}}'];
    events = spawnBeside('docker', ['-H', engineEndpoint(), 'events', ...format], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    createInterface({ input: events.stdout as Readable }).on('line', (line) => heard.push(line));
    world = await PlatformWorld.open();
    stack = await world.runningStack();
  }, 600_000);
  afterAll(async () => {
    events.kill();
    await world?.platform.stop();
  }, 120_000);

  const up = async (): Promise<string[]> =>
    (await docker('ps', '--format', '{{.Names}}')).split('\n').filter((name) => name.includes(stack.slug));
  const operations = async (kind: string): Promise<number> => {
    const { items } = await world.operator.api<OperationList>('GET', `/operations?slug=${stack.slug}`);
    return items.filter((operation) => operation.kind === kind).length;
  };

  it('FM-32 goes to sleep when no bot runs, keeps its data, and is not woken by strangers, scanners or made-up tokens', async () => {
    const { owner, slug } = stack;
    await world.platform.stackSql(slug, `create table kept as select 'still here' as text`);
    // Its first report may still be on its way.
    await waitFor(async () => ((await owner.stack(slug)).heartbeat === null ? undefined : true), {
      what: 'the first report',
      ...SOON,
    });
    expect(await world.platform.cli('tenant', 'hibernate', slug)).toMatchObject({
      code: 0,
      document: { ok: true, data: { kind: 'hibernate', state: 'done' } },
    });
    expect(await up()).toEqual([]);
    expect((await owner.stack(slug)).status).toBe('asleep');

    const anonymous = world.platform.client();
    const knocks = await Promise.all([
      anonymous.ask(owner.dashboardHost(slug), '/', PAGE),
      anonymous.ask(owner.dashboardHost(slug), '/wp-login.php', PAGE),
      anonymous.ask(owner.apiHost(slug), '/', PAGE),
      anonymous.ask(owner.apiHost(slug), '/api/v1/bots', { headers: { authorization: `Bearer avt_${randomToken()}` } }),
      owner.ask(owner.dashboardHost(slug), '/', { ...PAGE, method: 'HEAD' }),
    ]);
    expect(knocks.map(({ status }) => status)).toEqual([302, 302, 503, 503, 503]);
    expect(knocks[3]?.body).toMatchObject({ code: 'UNAVAILABLE', details: { state: 'asleep' } });
    expect(await operations('wake')).toBe(0);
    expect(await up()).toEqual([]);
  }, 180_000);

  it('FM-32 wakes for its owner’s visit, once for many, behind a page that waits with them', async () => {
    const { owner, slug } = stack;
    const host = owner.dashboardHost(slug);
    const visits = await Promise.all(Array.from({ length: 40 }, () => owner.ask(host, '/', PAGE)));
    for (const { status, text } of visits) {
      expect(status).toBe(503);
      expect(text).toMatch(/<h1>(Waking up|Starting)/);
      expect(text).toContain('http-equiv="refresh"');
    }
    const seen = new Set<number>();
    await waitFor(
      async () => {
        const { status, text } = await owner.ask(host, '/', PAGE);
        seen.add(status);
        return status === 200 && text.includes('<script') ? true : undefined;
      },
      { what: 'the dashboard after its wake', ...SOON },
    );
    // Never an error of the proxy: the waiting page, then the dashboard.
    expect([...seen].filter((status) => status !== 200 && status !== 503)).toEqual([]);
    expect(await operations('wake')).toBe(1);
    expect(await world.platform.stackSql(slug, 'select text from kept')).toBe('still here');
    await waitFor(async () => ((await owner.stack(slug)).status === 'running' ? true : undefined), {
      what: 'the stack being told as running',
      ...SOON,
    });
  }, 180_000);

  it('FM-32 wakes for a program with a valid token, once for many, and no longer once that was revoked', async () => {
    const { owner, slug } = stack;
    const mint = async (name: string): Promise<TokenCreated> =>
      (await owner.ask<TokenCreated>(owner.dashboardHost(slug), '/api/v1/tokens', { method: 'POST', body: { name } }))
        .body;
    const [valid, revoked] = [await mint('reads'), await mint('is revoked')];
    const revoke = `/api/v1/tokens/${revoked.view.id}`;
    expect((await owner.ask(owner.dashboardHost(slug), revoke, { method: 'DELETE' })).status).toBe(204);
    const program = world.platform.client();
    const bots = ({ token }: TokenCreated) =>
      program.ask(owner.apiHost(slug), '/api/v1/bots', { headers: { authorization: `Bearer ${token}` } });
    expect([(await bots(valid)).status, (await bots(revoked)).status]).toEqual([200, 401]);
    expect(await world.platform.cli('tenant', 'hibernate', slug)).toMatchObject({ code: 0 });
    const before = await operations('wake');

    const refused = await bots(revoked);
    expect(refused).toMatchObject({ status: 503, body: { code: 'UNAVAILABLE', details: { state: 'asleep' } } });
    expect(refused.headers['retry-after']).toBeUndefined();
    expect(await operations('wake')).toBe(before);

    const knocks = await Promise.all(Array.from({ length: 40 }, () => bots(valid)));
    expect(knocks.map(({ status, headers }) => [status, headers['retry-after']])).toEqual(knocks.map(() => [503, '3']));
    const seen = new Set<number>();
    await waitFor(
      async () => {
        const { status } = await bots(valid);
        seen.add(status);
        return status === 200 ? true : undefined;
      },
      { what: 'the API after its wake', ...SOON },
    );
    // Told to wait, and then what it asked for: never an error of the proxy, never that its token is wrong.
    expect([...seen].filter((status) => status !== 200 && status !== 503)).toEqual([]);
    expect(await operations('wake')).toBe(before + 1);
    expect((await bots(revoked)).status).toBe(401);
    expect(await world.platform.sql('select count(*) from sleep_tokens')).toBe('0');
    await waitFor(async () => ((await owner.stack(slug)).status === 'running' ? true : undefined), {
      what: 'the stack being told as running',
      ...SOON,
    });
  }, 180_000);

  it('stops while an operator holds it and comes back when it is let go', async () => {
    const { owner, slug } = stack;
    expect((await world.platform.cli('tenant', 'suspend', slug, '--note', 'A chargeback')).code).toBe(2);
    expect(
      await world.platform.cli('tenant', 'suspend', slug, '--note', 'A chargeback', `--confirm=${slug}`),
    ).toMatchObject({ code: 0, document: { data: { kind: 'suspend', state: 'done' } } });
    expect(await up()).toEqual([]);
    expect(await owner.stack(slug)).toMatchObject({ status: 'suspended', holdNote: 'A chargeback' });
    expect((await owner.ask(owner.dashboardHost(slug), '/', PAGE)).text).toContain('<h1>Suspended');
    expect((await world.platform.cli('tenant', 'start', slug)).document.error?.code).toBe('WRONG_STATE');
    expect((await world.platform.cli('tenant', 'resume', slug)).code).toBe(0);
    await world.served(stack);
    expect(await up()).toHaveLength(3);
  }, 180_000);

  it('FM-19 gives database, Redis and key new secrets; the old passwords open nothing any more', async () => {
    const { slug } = stack;
    const [database, redis, runtime] = (['postgres', 'redis', 'runtime'] as const).map((service) =>
      world.platform.service(slug, service),
    ) as [string, string, string];
    const secrets = async (): Promise<{ database: string; redis: string; key: string }> => {
      const read = (file: string): Promise<string> => docker('exec', runtime, 'cat', `/run/aviary/${file}`);
      return {
        database: await read('database-password'),
        redis: await read('redis-password'),
        key: await read('stack-key.pem'),
      };
    };
    const answers = (secret: string): Promise<string> =>
      docker('exec', '-e', `REDISCLI_AUTH=${secret}`, redis, 'redis-cli', '--no-auth-warning', 'ping');
    const opens = async (secret: string): Promise<boolean> => {
      const format = '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}';
      const client = new pg.Client({
        host: await docker('inspect', '-f', format, database),
        user: 'aviary',
        database: 'aviary',
        password: secret,
        connectionTimeoutMillis: 5_000,
      });
      try {
        await client.connect();
        return true;
      } catch (error) {
        expect((error as { code?: string }).code).toBe('28P01');
        return false;
      } finally {
        await client.end();
      }
    };
    const old = await secrets();
    expect(await opens(old.database)).toBe(true);
    expect(await answers(old.redis)).toBe('PONG');
    expect(await world.platform.cli('tenant', 'rotate-secrets', slug)).toMatchObject({
      code: 0,
      document: { data: { kind: 'rotate_secrets', state: 'done' } },
    });
    const now = await secrets();
    expect({ old: await opens(old.database), now: await opens(now.database) }).toEqual({ old: false, now: true });
    expect(await answers(now.redis)).toBe('PONG');
    // As one without a password is answered.
    expect(await answers(old.redis)).toMatch(/^(AUTH failed: WRONGPASS|NOAUTH)/);
    expect(now.key).toMatch(/^-----BEGIN PRIVATE KEY-----/);
    expect(now.key).not.toBe(old.key);
    await world.served(stack);
    expect(await world.platform.stackSql(slug, 'select text from kept')).toBe('still here');
    expect(await world.platform.sql('select count(*) from tenant_secrets where previous is not null')).toBe('0');
  }, 180_000);

  it('takes the memory of another plan while it runs', async () => {
    const { owner, slug, id } = stack;
    const runtime = world.platform.service(slug, 'runtime');
    const facts = (): Promise<string> =>
      docker('inspect', '-f', '{{.State.StartedAt}} {{.HostConfig.Memory}}', runtime);
    await world.platform.sql(
      `update plans set limits = (select limits from tenants where id = '${id}') || '{"memoryMb": 2000}' where code = 'premium'`,
    );
    const [startedAt] = (await facts()).split(' ');
    expect((await world.platform.cli('tenant', 'resize', slug, '--plan', 'premium')).code).toBe(0);
    expect(await facts()).toBe(`${startedAt} ${1_200 * 1024 ** 2}`);
    expect((await owner.stack(slug)).limits.memoryMb).toBe(2_000);
    expect((await world.platform.cli('tenant', 'resize', slug, '--plan', 'platinum')).document.error?.code).toBe(
      'NOT_FOUND',
    );
  }, 120_000);

  it('FM-28 pulled no image in all this, and did not ask for one', async () => {
    const { door } = world.platform;
    const asked = (): string[] =>
      door.calls.map(({ step }) => step).filter((step) => step.startsWith('POST /images/create'));
    // What finds nothing must find what there was.
    expect(heard.filter((line) => line === 'container start').length).toBeGreaterThan(8);
    expect(door.calls.filter(({ step }) => step.endsWith('/start')).length).toBeGreaterThan(8);
    expect(heard.filter((line) => line === 'image pull')).toEqual([]);
    expect(asked()).toEqual([]);
    // Nothing listens there: the engine is asked, and refuses.
    await expect(
      promisify(execFile)('docker', ['-H', `unix://${door.path}`, 'pull', '127.0.0.1:9/nothing']),
    ).rejects.toThrow();
    expect(asked()).toHaveLength(1);
  }, 60_000);

  it('FM-32 stays awake while a bot runs, also when the portal has not heard of it yet', async () => {
    const { owner, slug } = stack;
    const host = owner.dashboardHost(slug);
    const market = (await owner.ask<Market>(host, '/api/v1/market')).body.pairs[0];
    const price = Number(market?.price);
    const made = await owner.ask<Bot>(host, '/api/v1/bots', {
      method: 'POST',
      body: {
        pair: market?.pair,
        start: true,
        params: { lower: (price * 0.9).toFixed(1), upper: (price * 1.1).toFixed(1), grids: 10, investment: '1000' },
      },
    });
    expect({ status: made.status, text: made.text }).toMatchObject({ status: 201 });
    const refused = await world.platform.cli('tenant', 'hibernate', slug);
    expect(refused).toMatchObject({ code: 5, document: { ok: false, error: { code: 'BOTS_RUNNING' } } });
    expect(await up()).toHaveLength(3);
    await world.served(stack);
    expect((await owner.stack(slug)).status).toBe('running');
  }, 120_000);
});
