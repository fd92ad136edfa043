import { createHash } from 'node:crypto';
import { waitFor } from '#libs/async';
import { reportBatchSchema, type Bot, type Market, type Overview, type Report } from '#libs/contracts';
import { publicKeyFromText, publicKeyText, verifyToken } from '#libs/crypto';
import { presetParams } from '#libs/trading';
import { TestRedis, TestStack, type RuntimeProcess } from '../support/runtime.js';
import { TlsReceiver, type Received } from '../support/tls-receiver.js';

const redis = new TestRedis();
const portal = new TlsReceiver();
let stack: TestStack;
let runtime: RuntimeProcess;
const stored = new Map<string, Report>();
let attempts = 0;

/** Checks the signature as the portal does and gives the reports. */
async function accept({ url, headers, body }: Received): Promise<Report[]> {
  expect(url).toBe('/api/v1/runtime/reports');
  const jws = /^Stack (\S+)$/.exec(headers.authorization ?? '')?.[1] ?? '';
  const claims = await verifyToken(publicKeyFromText(publicKeyText(stack.stackKey)), jws, {
    issuer: stack.spec.tenant,
    audience: 'aviary-reports',
  });
  expect(claims?.['bodySha256']).toBe(createHash('sha256').update(body).digest('base64url'));
  return reportBatchSchema.parse(JSON.parse(body)).reports;
}

beforeAll(async () => {
  await redis.start();
  await portal.start();
  stack = await TestStack.create({
    redis,
    portalCa: portal.ca,
    portalUrl: `https://localhost:${portal.port}`,
  });
  await stack.provision({ tickMs: 50 });
  portal.received.length = 0;
}, 60_000);
afterAll(async () => {
  await stack?.close();
  await portal.stop();
  await redis.close();
}, 20_000);

async function botWithEvents(): Promise<void> {
  const { pairs } = await runtime.call<Market>('GET', '/market');
  const [market] = pairs;
  if (!market) {
    throw new Error('no market');
  }
  const params = presetParams('wide', market, market.price, '500');
  const { id } = await runtime.call<Bot>('POST', '/bots', { pair: market.pair, params, start: true });
  await runtime.call('POST', `/bots/${id}/stop`, { onExit: 'sell' });
}

it('reports each event exactly once through failures, delays and lost answers', async () => {
  const failures: string[] = [];
  portal.answer = async (received, response) => {
    attempts += 1;
    const reports = await accept(received).catch((error: unknown) => {
      failures.push(String(error));
      return [];
    });
    if (attempts === 1) {
      response.writeHead(500).end('no');
      return;
    }
    if (attempts === 3) {
      await new Promise((resolve) => setTimeout(resolve, 1_000));
    }
    const fresh = attempts === 3 ? reports.slice(0, 1) : reports;
    for (const report of fresh) {
      const before = stored.get(report.id);
      // The same id never comes with other words: storing it once loses nothing.
      if (before && JSON.stringify(before) !== JSON.stringify(report)) {
        failures.push(`report ${report.id} changed`);
      }
      stored.set(report.id, report);
    }
    if (attempts === 2) {
      // Stored, but the answer is lost: the batch comes again.
      response.destroy();
      return;
    }
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ stored: fresh.map(({ id }) => id) }));
  };
  runtime = await stack.startReady();
  for (let i = 0; i < 4; i += 1) {
    await botWithEvents();
  }
  await waitFor(async () => (await stack.sql('select 1 from outbox')).length === 0 || undefined, {
    what: 'an empty outbox',
    deadlineMs: 60_000,
  });
  expect(failures).toEqual([]);
  expect(attempts).toBeGreaterThan(3);
  const events = [...stored.values()].filter((report) => report.kind === 'event');
  expect(events.map(({ event }) => event).sort()).toEqual([
    ...Array<string>(4).fill('bot.started'),
    ...Array<string>(4).fill('bot.stopped'),
  ]);
}, 120_000);

it('keeps events and only the newest heartbeat while the portal is away, and trades on', async () => {
  await portal.stop();
  await botWithEvents();
  expect(await runtime.stop()).toBe(0);
  runtime = await stack.startReady();
  await waitFor(async () => (await stack.sql('select 1 from outbox')).length === 3 || undefined, {
    what: 'two events and a heartbeat',
    deadlineMs: 20_000,
  });
  const awaySince = async (): Promise<string | null> =>
    (await runtime.call<Overview>('GET', '/overview')).portalAwaySince;
  await waitFor(async () => (await awaySince()) ?? undefined, { what: 'word that it is away', deadlineMs: 20_000 });
  await runtime.stop();
  const [first] = await stack.sql<{ id: string }>(`select id from outbox where kind = 'heartbeat'`);
  runtime = await stack.startReady();
  await waitFor(
    async () => {
      const rows = await stack.sql<{ id: string }>(`select id from outbox where kind = 'heartbeat'`);
      return (rows.length === 1 && rows[0]?.id !== first?.id) || undefined;
    },
    { what: 'a newer heartbeat', deadlineMs: 20_000 },
  );
  const waiting = await stack.sql<{ id: string }>('select id from outbox');
  await portal.listen();
  await waitFor(() => waiting.every(({ id }) => stored.has(id)) || undefined, { what: 'delivery', deadlineMs: 60_000 });
  await waitFor(async () => (await awaySince()) === null || undefined, { what: 'it is back', deadlineMs: 10_000 });
}, 120_000);

it('puts a refused report aside with its reason, and does not let the others wait behind it', async () => {
  const passed = new Set<string>();
  const failures: string[] = [];
  portal.answer = async (received, response) => {
    const reports = await accept(received).catch((error: unknown) => {
      failures.push(String(error));
      return [];
    });
    if (reports.some((report) => report.kind === 'event' && report.event === 'poison')) {
      response.writeHead(422, { 'content-type': 'application/json' }).end('{"code":"VALIDATION_FAILED"}');
      return;
    }
    reports.forEach(({ id }) => passed.add(id));
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ stored: reports.map(({ id }) => id) }));
  };
  await runtime.stop();
  await stack.sql('delete from outbox');
  // Two that the portal will not have, among many; one of them is the very first.
  await stack.sql(
    `insert into outbox (id, kind, body)
     select id, 'event', jsonb_build_object('id', id, 'kind', 'event', 'at', '2026-11-21T00:00:00.000Z',
       'event', case when n in (1, 70) then 'poison' else 'bot.started' end, 'bot', null, 'text', 'Report ' || n)
     from (select gen_random_uuid() as id, n from generate_series(1, 150) n order by n) reports`,
  );
  runtime = await stack.startReady();
  await waitFor(
    async () => (await stack.sql('select 1 from outbox where refused_at is null')).length === 0 || undefined,
    { what: 'delivery of the others', deadlineMs: 60_000 },
  );
  expect(failures).toEqual([]);
  const aside = await stack.sql<{ id: string; text: string; refusal: string }>(
    `select id, body ->> 'text' as text, refusal from outbox order by seq`,
  );
  expect(aside.map(({ text, refusal }) => [text, refusal])).toEqual([
    ['Report 1', '422 {"code":"VALIDATION_FAILED"}'],
    ['Report 70', '422 {"code":"VALIDATION_FAILED"}'],
  ]);
  expect(passed.size).toBeGreaterThanOrEqual(148);
}, 90_000);

it('never shows a secret in its log', () => {
  const log = JSON.stringify(runtime.logs);
  expect(log).not.toContain(stack.database.password);
  expect(log).not.toContain(redis.password);
  expect(log).not.toContain('PRIVATE KEY');
});
