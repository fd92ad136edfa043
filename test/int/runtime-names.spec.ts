import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor, withDeadline } from '#libs/async';
import type { Bot, Market } from '#libs/contracts';
import { presetParams } from '#libs/trading';
import { emptyDatabase, TestRedis, TestStack, type RuntimeProcess } from '../support/runtime.js';

/** Well within the minute the stack's template gives the runtime. */
const END_MS = 10_000;
const redis = new TestRedis();
/** A name server that hears every question and answers none. */
const silent = createSocket('udp4');
const home = mkdtempSync(join(tmpdir(), 'aviary-names-'));
const asked: Buffer[] = [];
let stack: TestStack;
let runtime: RuntimeProcess;

beforeAll(async () => {
  await redis.start();
  silent.on('message', (question) => asked.push(question));
  silent.bind(53, '127.0.0.77');
  await once(silent, 'listening');
  const resolvConf = join(home, 'resolv.conf');
  writeFileSync(resolvConf, 'nameserver 127.0.0.77\noptions timeout:30 attempts:5\n');
  const database = await emptyDatabase();
  stack = await TestStack.create({
    redis,
    // By name, as in a stack.
    database: { ...database, host: 'localhost' },
    portalUrl: 'https://portal.invalid:1',
    dashboardUrl: 'https://dashboard.invalid:1',
  });
  await stack.provision({ tickMs: 20 });
  runtime = await stack.startReady({ resolvConf });
}, 60_000);
afterAll(async () => {
  await stack?.close();
  silent.close();
  await redis.close();
  rmSync(home, { recursive: true, force: true });
}, 20_000);

it('trades on and stops in time while no name can be resolved', async () => {
  // Streams have their sessions checked at the gate, bots report to the portal: both wait for names.
  const streams = await Promise.all(Array.from({ length: 4 }, async () => runtime.stream(await stack.identity())));
  const { pairs } = await runtime.call<Market>('GET', '/market');
  const [market] = pairs;
  if (!market) {
    throw new Error('no market');
  }
  const params = presetParams('narrow', market, market.price, '1000');
  const body = { pair: market.pair, params, start: true };
  const { id } = await runtime.call<Bot>('POST', '/bots', body);
  const about = (name: string): number => asked.filter((question) => question.includes(name)).length;
  await waitFor(() => (about('portal') > 0 && about('dashboard') > 0) || undefined, {
    what: `questions about both names (${asked.length} were asked)`,
    deadlineMs: 20_000,
  });
  // Finding the database anew needs one of the two threads that look names up.
  await stack.sql(
    `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'aviary-runtime'
     and datname = current_database()`,
  );
  await runtime.ready();
  await runtime.call('POST', `/bots/${id}/stop`, { onExit: 'sell' });
  streams.forEach((stream) => stream.close());
  expect(await withDeadline('the end of the runtime', { deadlineMs: END_MS }, () => runtime.stop())).toBe(0);
  // A question that was being answered when its connection was ended above was answered "not ready".
  expect(runtime.logs.filter(({ level, msg }) => Number(level) >= 50 && msg !== 'not ready')).toEqual([]);
}, 120_000);
