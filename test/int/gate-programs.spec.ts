import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from '#libs/async';
import { GATE_COOKIE, type ErrorBody } from '#libs/contracts';
import { hashToken, randomToken } from '#libs/crypto';
import { person, stackOf, testApi, type TestApi } from '../support/api.js';
import { ApiCounterpart, ask, GateProcess, type Reply } from '../support/gate-process.js';

jest.setTimeout(60_000);

const newToken = (): string => `avt_${randomToken()}`;
const sayNothing = ({ body }: Reply): Omit<ErrorBody, 'errorId'> => {
  const { errorId: _, ...rest } = JSON.parse(body) as ErrorBody;
  return rest;
};

/** A gate in a process of its own before an api on that port. */
async function gateBefore(apiPort: number, tenantDomain: string): Promise<GateProcess> {
  const stateDirectory = await mkdtemp(join(tmpdir(), 'aviary-gate-'));
  const gate = new GateProcess({ apiPort, stateDirectory, tenantDomain });
  gates.push({ gate, stateDirectory });
  await gate.start();
  return gate;
}
const gates: { gate: GateProcess; stateDirectory: string }[] = [];
afterAll(async () => {
  for (const { gate, stateDirectory } of gates) {
    await gate.stop('SIGKILL');
    await rm(stateDirectory, { recursive: true, force: true });
  }
});

interface Knock {
  tenant: string;
  slug: string;
  page: string;
  token?: string;
  method?: string;
  path?: string;
  host?: string;
  authorization?: string;
}

/** A program's request by the route of a stack's API. */
function program(gate: GateProcess, domain: string, knock: Knock): Promise<Reply> {
  const { tenant, slug, page, token, method = 'GET', path = '/api/v1/bots', host = `api-${slug}.${domain}` } = knock;
  const authorization = knock.authorization ?? (token === undefined ? undefined : `Bearer ${token}`);
  return ask(gate.port, path, {
    method,
    headers: {
      host,
      // With a token it is a program, whatever it says it would read.
      accept: authorization === undefined ? 'application/json' : 'application/json, text/html;q=0.9',
      'x-aviary-tenant': tenant,
      'x-aviary-page': page,
      ...(authorization === undefined ? {} : { authorization }),
    },
  });
}

describe('a program before a stack that is not there', () => {
  const DOMAIN = 'stacks.test';
  const SLUG = 'uabc234';
  const api = new ApiCounterpart();
  let gate: GateProcess;
  let tenants = 0;
  /** Answers and allowances are each stack's own, so each test has one. */
  let tenant: string;

  beforeAll(async () => {
    await api.start();
    gate = await gateBefore(api.port, DOMAIN);
    await waitFor(() => (api.polls > 0 ? true : undefined), { what: 'the first list', deadlineMs: 5_000 });
  });
  afterAll(() => api.stop());
  beforeEach(() => {
    tenants += 1;
    tenant = `0193a1f0-0000-7000-8000-${String(tenants).padStart(12, '0')}`;
    api.woken.length = 0;
    api.starting.length = 0;
    says('wake', '{"state":"waking"}');
    says('begin', '{"state":"starting","reason":null}');
  });
  const says = (question: 'wake' | 'begin', body: string, status = 200): void => {
    api[question] = (_request, response) => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(body);
    };
  };
  const asleep = (knock: Partial<Knock> = {}): Promise<Reply> =>
    program(gate, DOMAIN, { tenant, slug: SLUG, page: 'asleep', ...knock });
  const starting = (knock: Partial<Knock> = {}): Promise<Reply> => asleep({ page: 'starting', ...knock });

  let marks = 0;
  /** What the gate said until now. Its log comes behind its answers, so it is brought to say one thing more. */
  async function said(): Promise<string> {
    marks += 1;
    const mark = `umark${'abcdefghijkmnpqrstuvwxyz'.charAt(marks)}2`;
    const { begin } = api;
    says('begin', '{}', 500);
    await starting({ slug: mark });
    api.begin = begin;
    return waitFor(() => (gate.log.includes(`"slug":"${mark}"`) ? gate.log : undefined), {
      what: 'the log of the gate',
      deadlineMs: 10_000,
    });
  }

  it('FM-32 wakes it with its token, once for all who come with it, and is told when to come again', async () => {
    const token = newToken();
    const methods = ['GET', 'POST', 'DELETE'];
    const replies = await Promise.all(
      Array.from({ length: 99 }, (_, index) => asleep({ token, method: methods[index % 3] ?? 'GET' })),
    );
    for (const reply of replies) {
      expect([reply.status, reply.headers['retry-after']]).toEqual([503, '3']);
      expect(sayNothing(reply)).toMatchObject({ code: 'UNAVAILABLE', details: { state: 'waking' } });
    }
    expect(api.woken).toEqual([{ tenant, slug: SLUG, digest: hashToken(token) }]);
    const log = await said();
    expect(log).not.toContain(token);
    expect(log).not.toContain(hashToken(token));
  });

  it('FM-32 asks nobody about what is no token, or is none where it was brought', async () => {
    const token = newToken();
    const replies = [
      await asleep(),
      await asleep({ token: 'avt_made-up' }),
      await asleep({ token: `${token}x` }),
      await asleep({ token: token.replace('avt_', 'avx_') }),
      await asleep({ authorization: `Basic ${token}` }),
      await asleep({ authorization: token }),
      await asleep({ token, path: '/' }),
      await asleep({ token, path: '/wp-login.php' }),
      await asleep({ token, path: '/apix/v1/bots' }),
      await asleep({ token, host: `${SLUG}.${DOMAIN}` }),
      await asleep({ token, host: `api-${SLUG}.evil.test` }),
      await asleep({ token, host: `api-api-${SLUG}.${DOMAIN}` }),
      await asleep({ token, page: 'suspended' }),
      await asleep({ token, page: 'stopped' }),
    ];
    expect(replies.map(({ status }) => status)).toEqual(replies.map(() => 503));
    expect(api.woken).toEqual([]);
    expect((await asleep({ token })).headers['retry-after']).toBe('3');
    expect(api.woken).toHaveLength(1);
  });

  it('FM-32 reads the same with a token that is not valid, or while nobody can tell, as with none', async () => {
    const without = await asleep();
    expect(sayNothing(without)).toMatchObject({ code: 'UNAVAILABLE', details: { state: 'asleep' } });
    for (const [body, status] of [
      ['{"code":"UNAUTHENTICATED"}', 401],
      ['{}', 404],
      ['{}', 500],
      ['<html>', 200],
      ['{"state":"lost"}', 200],
    ] as const) {
      says('wake', body, status);
      const reply = await asleep({ token: newToken() });
      expect([reply.status, reply.headers['retry-after']]).toEqual([503, undefined]);
      expect(sayNothing(reply)).toEqual(sayNothing(without));
    }
  });

  it.each([
    ['it still falls asleep', '{}', 409, { state: 'waking', retryAfterSeconds: 3 }],
    ['it does not sleep any more', '{"state":"away"}', 200, { state: 'away', retryAfterSeconds: 3 }],
    ['it was to wake and did not', '{"state":"failed","reason":"No room."}', 200, { state: 'failed' }],
  ] as const)('is told with its token how it stands when %s', async (_what, body, status, details) => {
    says('wake', body, status);
    const reply = await asleep({ token: newToken() });
    expect(reply.status).toBe(503);
    expect(sayNothing(reply).details).toEqual(details);
    expect(reply.body).not.toContain('No room');
  });

  it('FM-32 makes of a flood of tokens a few questions, and keeps neither an owner nor another stack waiting', async () => {
    says('wake', '{"code":"UNAUTHENTICATED"}', 401);
    const { length: logged } = await said();
    const began = performance.now();
    const flood = async (): Promise<void> => {
      for (let turn = 0; turn < 25; turn += 1) {
        expect((await asleep({ token: newToken() })).status).toBe(503);
      }
    };
    await Promise.all(Array.from({ length: 20 }, flood));
    const seconds = (performance.now() - began) / 1_000;
    // Of 500: as many as a stack can have, and five a second.
    expect(api.woken.length).toBeGreaterThanOrEqual(20);
    expect(api.woken.length).toBeLessThanOrEqual(20 + Math.ceil(seconds * 5));
    // Its own polling may say something at any time, and the last line is what it was brought to say.
    const lines = (await said()).slice(logged).split('\n');
    expect(lines.filter((line) => line !== '' && !/revocations|"slug":"umark/.test(line))).toEqual([]);

    says('wake', '{"state":"waking"}');
    const other = '0193a1f0-0000-7000-8000-0000000000ff';
    expect((await asleep({ tenant: other, token: newToken() })).headers['retry-after']).toBe('3');
    const cookie = `${GATE_COOKIE}=${await gate.session({ tenant, slug: SLUG })}`;
    const headers = { host: `${SLUG}.${DOMAIN}`, accept: 'text/html', cookie };
    const visit = await ask(gate.port, '/', {
      headers: { ...headers, 'x-aviary-tenant': tenant, 'x-aviary-page': 'asleep' },
    });
    expect(visit.body).toContain('<h1>Waking up');
    // And in time it is asked about a token of this one again.
    await waitFor(
      async () => ((await asleep({ token: newToken() })).headers['retry-after'] === '3' ? true : undefined),
      {
        what: 'one more question',
        deadlineMs: 3_000,
      },
    );
  });

  it('is told when to come again while it starts, and no longer once the start failed', async () => {
    const replies = await Promise.all(Array.from({ length: 30 }, () => starting()));
    for (const reply of replies) {
      expect([reply.status, reply.headers['retry-after']]).toEqual([503, '3']);
      expect(sayNothing(reply).details).toEqual({ state: 'starting', retryAfterSeconds: 3 });
    }
    expect(api.starting).toEqual([{ tenant, slug: SLUG, sid: null }]);
    // The same on the dashboard's own host, as its pages ask.
    const page = await starting({ host: `${SLUG}.${DOMAIN}` });
    expect(sayNothing(page).details).toMatchObject({ state: 'starting' });

    says('begin', '{"state":"failed","reason":"The image is not on the host."}');
    const failed = await starting({ tenant: tenant.replace(/^0193/, '0194') });
    expect([failed.status, failed.headers['retry-after']]).toEqual([503, undefined]);
    expect(sayNothing(failed)).toMatchObject({ message: expect.stringContaining('did not') as string });
    expect(sayNothing(failed).details).toEqual({ state: 'failed' });
    expect(failed.body).not.toContain('image');
  });

  it('is waited with while the portal is away, which is noted once for all who ask', async () => {
    says('begin', '{}', 500);
    const before = api.starting.length;
    const replies = await Promise.all(Array.from({ length: 20 }, () => starting()));
    expect(new Set(replies.map(({ headers }) => headers['retry-after']))).toEqual(new Set(['3']));
    // One answer serves those who ask within a second and a half, which on a busy machine not all of them do.
    const asked = api.starting.length - before;
    expect(asked).toBeLessThan(10);
    const lines = (await said()).split('\n').filter((line) => line.includes(`"slug":"${SLUG}"`));
    expect(lines.filter((line) => line.includes('cannot tell whether a stack still starts'))).toHaveLength(asked);
  });
});

describe('a program, the gate and the portal behind it', () => {
  const DOMAIN = 'aviary.localhost';
  let t: TestApi;
  let gate: GateProcess;
  beforeAll(async () => {
    t = await testApi();
    gate = await gateBefore(Number(new URL(await t.api.privateApp.getUrl()).port), DOMAIN);
  });
  afterAll(() => t.close());

  const sql = (text: string, values: unknown[]): Promise<{ n: number }[]> => t.db.dataSource.query(text, values);
  async function asleep(): Promise<{ slug: string; id: string; username: string; accountId: string; token: string }> {
    const owner = await person(t);
    const { stack } = await stackOf(t, owner);
    const { id, slug } = stack;
    const token = newToken();
    await sql(`update operations set state = 'done', finished_at = now() where tenant_id = $1`, [id]);
    await sql(`update tenants set desired = 'hibernated', observed = 'stopped' where id = $1`, [id]);
    await sql(`insert into sleep_tokens values ($1, $2, now() + interval '1 day')`, [id, hashToken(token)]);
    return { slug, id, username: owner.username, accountId: owner.id, token };
  }
  const wakes = async (id: string): Promise<number> =>
    (await sql(`select count(*)::int as n from operations where tenant_id = $1 and kind = 'wake'`, [id]))[0]?.n ?? -1;
  const knock = (stack: { id: string; slug: string }, token: string): Promise<Reply> =>
    program(gate, DOMAIN, { tenant: stack.id, slug: stack.slug, page: 'asleep', token });

  it('FM-32 a valid token wakes the stack once, for its owner and in the audit as a token', async () => {
    const stack = await asleep();
    const replies = await Promise.all(Array.from({ length: 60 }, () => knock(stack, stack.token)));
    expect(new Set(replies.map(({ headers }) => headers['retry-after']))).toEqual(new Set(['3']));
    expect(await wakes(stack.id)).toBe(1);
    const [row]: unknown[] = await t.db.dataSource.query(
      `select actor_name as "actorName", via from audit_entries where target_id = $1 and action = 'stack.wake'`,
      [stack.id],
    );
    expect(row).toEqual({ actorName: stack.username, via: 'token' });
    expect(t.logs.join('')).not.toContain(hashToken(stack.token));
  });

  it('FM-32 a token that is random, expired, another stack’s or a banned owner’s wakes nothing', async () => {
    const [stack, other, expired, banned] = [await asleep(), await asleep(), await asleep(), await asleep()];
    await sql(`update sleep_tokens set expires_at = now() - interval '1 second' where tenant_id = $1`, [expired.id]);
    await sql(`update accounts set state = 'banned' where id = $1`, [banned.accountId]);
    const replies = [
      await knock(stack, newToken()),
      await knock(stack, other.token),
      await knock(expired, expired.token),
      await knock(banned, banned.token),
      // Under another stack's name the proxy's route still says whose it is.
      await program(gate, DOMAIN, { tenant: stack.id, slug: other.slug, page: 'asleep', token: stack.token }),
    ];
    for (const reply of replies) {
      expect([reply.status, sayNothing(reply).details]).toEqual([503, { state: 'asleep' }]);
    }
    for (const { id } of [stack, other, expired, banned]) {
      expect(await wakes(id)).toBe(0);
    }
    const both = { tenant: stack.id, slug: stack.slug, sid: stack.accountId, digest: hashToken(stack.token) };
    await t.internal.post('/internal/wake').send(both).expect(400);
  });
});
