import { once } from 'node:events';
import type { Server } from 'node:http';
import { connect } from 'node:net';
import { waitFor } from '#libs/async';
import { person, stackOf, testApi, type TestApi } from '../support/api.js';
import { BalancedLoad, Balancer } from '../support/balancer.js';

/** Two apis on one database behind a balancer that asks them as the proxy does; one of them ends. */
jest.setTimeout(60_000);

const LOOK_MS = 100;
const BALANCER = '/internal/balancer';

let staying: TestApi;
let ending: TestApi;
let balancer: Balancer | undefined;
let load: BalancedLoad | undefined;

beforeEach(async () => {
  const settings = { AVIARY_SIGN_ON_SEED: Buffer.alloc(32, 7).toString('base64') };
  ending = await testApi(settings);
  // Passport has one list of strategies for a process, where the last made is in force: that of the one that stays.
  staying = await testApi(settings, { database: ending.db });
});
afterEach(async () => {
  await load?.end();
  await balancer?.close();
  load = balancer = undefined;
  await staying.close();
  await ending.db.close();
});

const privateUrl = async ({ api }: TestApi): Promise<string> => api.privateApp.getUrl();

async function balanced(): Promise<Balancer> {
  balancer = await Balancer.open(
    await Promise.all(
      [staying, ending].map(async (one) => ({ url: one.url, health: `${await privateUrl(one)}${BALANCER}` })),
    ),
    LOOK_MS,
  );
  return balancer;
}

it('an api that leaves the balancer first ends without one failed request', async () => {
  const { url } = await balanced();
  load = new BalancedLoad(`${url}/readyz`);
  await load.more(50);
  expect(await ending.api.leave()).toBe(true);
  expect(balancer?.up).toBe(1);
  await ending.api.close();
  await load.more(50);
  await load.end();
  expect(load.failed).toEqual([]);
});

it('and one that just ends has some: the balancer still sends there', async () => {
  const { url } = await balanced();
  load = new BalancedLoad(`${url}/readyz`);
  await load.more(50);
  await ending.api.close();
  await waitFor(() => (load!.failed.length > 0 ? true : undefined), { what: 'a failed request', deadlineMs: 20_000 });
});

it('goes on answering until the proxy was told, and closes nothing before', async () => {
  // asked once, so that it knows of a balancer
  await ending.internal.get(BALANCER).expect(200);
  let left = false;
  const leaving = ending.api.leave().then((told) => {
    left = true;
    return told;
  });
  for (let count = 0; count < 5; count += 1) {
    await ending.http.get('/readyz').expect(200);
  }
  expect(left).toBe(false);
  const answer = await ending.internal.get(BALANCER).expect(503);
  expect(answer.body).toEqual({ status: 'leaving' });
  expect(await leaving).toBe(true);
  await ending.api.close();
});

it('does not wait for a proxy that never asked, nor for ever for one that asks no more', async () => {
  expect(await staying.api.leave()).toBe(false);
  await ending.internal.get(BALANCER).expect(200);
  expect(await ending.api.leave({ longestMs: 200, quietMs: 10 })).toBe(false);
  await ending.api.close();
});

it('says on its private port that it is leaving until the last answer is given, and that port takes the gate meanwhile', async () => {
  const privately = `${await privateUrl(ending)}/healthz`;
  const asked = async (url: string): Promise<unknown> => (await fetch(url)).json();
  expect(await asked(privately)).toEqual({ status: 'ok' });
  const { hostname, port } = new URL(ending.url);
  const download = connect(Number(port), hostname);
  let answer = '';
  download.setEncoding('utf8').on('data', (text: string) => (answer += text));
  try {
    // An answer under way for as long as its request is not whole.
    const arrived = once(ending.api.publicApp.getHttpServer() as Server, 'request');
    const body = JSON.stringify({ identifier: 'nobody', password: 'wrong' });
    download.write(
      `POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, 5)}`,
    );
    await arrived;
    await ending.api.leave();
    const closed = ending.api.close();
    await waitFor(
      () =>
        fetch(`${ending.url}/healthz`)
          .then(() => undefined)
          .catch(() => true),
      {
        what: 'the public port taking nothing new',
        deadlineMs: 10_000,
      },
    );
    expect(await asked(privately)).toEqual({ status: 'leaving' });
    const revocations = await fetch(`${await privateUrl(ending)}/internal/revocations`);
    expect([revocations.status, revocations.headers.get('connection')]).toEqual([200, 'close']);
    expect(answer).toBe('');
    download.write(body.slice(5));
    await closed;
    expect(answer).toMatch(/^HTTP\/1\.1 40\d /);
    await expect(fetch(privately)).rejects.toThrow('fetch failed');
  } finally {
    download.destroy();
  }
});

it('ends event streams, whose readers then come to the other one', async () => {
  const { url } = await balanced();
  const owner = await person(staying);
  const { operation } = await stackOf(staying, owner);
  const open = async (from: string): Promise<Response> =>
    fetch(`${from}/api/v1/operations/${operation.id}/events`, {
      headers: owner.auth,
      signal: AbortSignal.timeout(20_000),
    });
  const stream = await open(ending.url);
  expect(stream.headers.get('content-type')).toContain('text/event-stream');
  expect(await ending.api.leave()).toBe(true);
  const closed = ending.api.close();
  // to its end, not torn
  expect(await stream.text()).toContain('event: operation');
  const again = await open(url);
  expect(again.status).toBe(200);
  await again.body?.cancel();
  await closed;
});
