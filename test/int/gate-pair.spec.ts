import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from '#libs/async';
import { BALANCER_PATH } from '#libs/contracts';
import { BalancedLoad, Balancer } from '../support/balancer.js';
import { ApiCounterpart, ask, GateProcess, type Reply } from '../support/gate-process.js';
import { held, HOST, sid, SLUG, TENANT } from '../support/gate-world.js';

/** Two gates of one portal: of one key and one folder, and with an api whose answers a test chooses. */
jest.setTimeout(60_000);

const LOOK_MS = 100;
const OPENS = 200;
const SHUT = 302;

let api: ApiCounterpart;
let state: string;
let one: GateProcess;
let two: GateProcess;

beforeEach(async () => {
  api = new ApiCounterpart();
  await api.start();
  state = await mkdtemp(join(tmpdir(), 'aviary-gates-'));
  const options = { apiPort: api.port, stateDirectory: state, tenantDomain: 'stacks.test' };
  one = new GateProcess(options);
  two = new GateProcess({ ...options, name: 'gate2', twinOf: one });
});
afterEach(async () => {
  await Promise.all([one.stop('SIGKILL'), two.stop('SIGKILL')]);
  await api.stop();
  await rm(state, { recursive: true, force: true });
});

const asProxy = (token: string): Record<string, string> => ({
  'x-forwarded-host': HOST,
  'x-forwarded-uri': '/',
  'x-forwarded-method': 'GET',
  accept: 'text/html',
  cookie: held(token),
});
const authorise = async (gate: GateProcess, token: string): Promise<number> =>
  (await ask(gate.port, '/auth', { headers: asProxy(token) })).status;
const signOut = (gate: GateProcess, token: string): Promise<Reply> =>
  ask(gate.port, '/.aviary/sign-out', {
    method: 'POST',
    headers: { host: HOST, 'x-aviary-page': 'gate', origin: `https://${HOST}`, cookie: held(token) },
  });
const session = (digit: number): Promise<string> =>
  one.session({ tenant: TENANT, slug: SLUG, sid: sid(digit), claims: { name: `number ${digit}` } });
const until = (gate: GateProcess, token: string, status: number): Promise<true> =>
  waitFor(async () => ((await authorise(gate, token)) === status ? true : undefined), {
    what: `an answer ${status} of the gate`,
    deadlineMs: 10_000,
  });
const takes = async (gate: GateProcess): Promise<[number, unknown]> => {
  const { status, body } = await ask(gate.port, `/${BALANCER_PATH}`);
  return [status, JSON.parse(body)];
};

it('who signs out at one is out at the other too, also with the portal away, and after each of them was killed', async () => {
  await Promise.all([one.start(), two.start()]);
  const [first, second, other] = await Promise.all([session(1), session(2), session(3)]);
  for (const token of [first, second, other]) {
    await until(one, token, OPENS);
    await until(two, token, OPENS);
  }
  await api.stop();
  expect((await signOut(one, first)).status).toBe(303);
  expect(await authorise(one, first)).toBe(SHUT);
  await until(two, first, SHUT);
  expect((await signOut(two, second)).status).toBe(303);
  await until(one, second, SHUT);
  await Promise.all([one.stop('SIGKILL'), two.stop('SIGKILL')]);
  // Each from its own list and the other's, at once.
  await Promise.all([one.start(), two.start()]);
  for (const gate of [one, two]) {
    expect([await authorise(gate, first), await authorise(gate, second), await authorise(gate, other)]).toEqual([
      SHUT,
      SHUT,
      OPENS,
    ]);
  }
});

it('a list that does not read shuts nobody out who is in another one, and is read once it is mended', async () => {
  await one.start();
  const [ended, good] = await Promise.all([session(1), session(2)]);
  await until(one, ended, OPENS);
  await api.stop();
  await signOut(one, ended);
  await writeFile(join(state, 'revocations-gate2.json'), '{"revoked":');
  await two.start();
  expect([await authorise(two, ended), await authorise(two, good)]).toEqual([SHUT, OPENS]);
  expect(await authorise(one, good)).toBe(OPENS);
  // As a gate that is all right again writes it.
  const at = Date.now();
  await writeFile(
    join(state, 'revocations-gate2.json'),
    JSON.stringify({ revoked: { [sid(2)]: at, [sid(3)]: at - 13 * 3_600_000 }, signedOut: {} }),
  );
  await until(one, good, SHUT);
  // Longer ago than any session lasts.
  expect(await authorise(one, await session(3))).toBe(OPENS);
});

it('the list of the only gate of an earlier version is in force until there is one of its own', async () => {
  await api.stop();
  await writeFile(
    join(state, 'revocations.json'),
    JSON.stringify({ revoked: { [sid(1)]: Date.now() }, signedOut: {} }),
  );
  await Promise.all([one.start(), two.start()]);
  for (const gate of [one, two]) {
    expect([await authorise(gate, await session(1)), await authorise(gate, await session(2))]).toEqual([SHUT, OPENS]);
  }
});

it('takes requests only once it knows of a list, its own or the other’s', async () => {
  await api.stop();
  await one.start();
  expect(await takes(one)).toEqual([503, { status: 'without a list' }]);
  await api.start();
  await waitFor(async () => ((await takes(one))[0] === 200 ? true : undefined), {
    what: 'the gate taking requests',
    deadlineMs: 10_000,
  });
  await api.stop();
  await two.start();
  expect(await takes(two)).toEqual([200, { status: 'ok' }]);
});

describe('behind a balancer', () => {
  let balancer: Balancer;
  let load: BalancedLoad;

  beforeEach(async () => {
    await Promise.all([one.start(), two.start()]);
    const token = await session(1);
    await until(one, token, OPENS);
    await until(two, token, OPENS);
    balancer = await Balancer.open(
      [one, two].map(({ url }) => ({ url, health: `${url}/${BALANCER_PATH}` })),
      LOOK_MS,
    );
    load = new BalancedLoad(`${balancer.url}/auth`, asProxy(token));
    await load.more(50);
  });
  afterEach(async () => {
    await load.end();
    await balancer.close();
  });

  it('one gate after the other is replaced without one failed question', async () => {
    for (const gate of [one, two]) {
      // Once it was asked whether it takes requests, it is not to end before it has said no.
      expect(await gate.stop()).toBe(0);
      expect(balancer.up).toBe(1);
      await load.more(50);
      await gate.start();
      await waitFor(() => (balancer.up === 2 ? true : undefined), { what: 'both gates', deadlineMs: 10_000 });
      await load.more(50);
    }
    await load.end();
    expect(load.failed).toEqual([]);
  });
});
