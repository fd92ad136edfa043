import { z } from 'zod';
import { ApiClient } from './client.js';
import { PortalAwayError } from './errors.js';

const me = {
  id: '0193a5a0-0000-7000-8000-000000000001',
  email: 'ana@example.org',
  username: 'ana',
  role: 'subscriber',
  state: 'active',
  plan: 'free',
  trialEndsAt: null,
  createdAt: '2026-11-12T08:14:00.000Z',
};
const failure = (status: number, code: string, details: object = {}) =>
  Response.json({ code, message: code, errorId: 'e1', details }, { status });

/** A portal in a function: hands out numbered tokens and accepts only the newest. */
function portal(options: { signedIn?: boolean; expiresIn?: number } = {}) {
  const state = { signedIn: options.signedIn ?? true, token: 0, refreshes: 0, calls: [] as string[], away: false };
  const fetch = (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const path = (input as string).replace('/api/v1', '');
    state.calls.push(path);
    if (state.away) {
      return Promise.reject(new TypeError('no network'));
    }
    if (path === '/auth/refresh') {
      state.refreshes += 1;
      if (!state.signedIn) {
        return Promise.resolve(failure(401, 'UNAUTHENTICATED'));
      }
      state.token += 1;
      const body = { accessToken: `t${state.token}`, expiresIn: options.expiresIn ?? 900, me };
      return Promise.resolve(Response.json(body));
    }
    const sent = new Headers(init?.headers).get('authorization');
    return Promise.resolve(
      sent === `Bearer t${state.token}` ? Response.json({ ok: path }) : failure(401, 'UNAUTHENTICATED'),
    );
  };
  let now = 0;
  const client = new ApiClient({ fetch, now: () => now, exclusive: (work) => work() });
  return { state, client, pass: (ms: number) => (now += ms) };
}

const okSchema = z.object({ ok: z.string() });

describe('ApiClient', () => {
  it('refreshes once for many callers, then uses the token', async () => {
    const { state, client } = portal();
    const answers = await Promise.all(['/a', '/b', '/c'].map((path) => client.request(okSchema, path)));
    expect(answers.map((answer) => answer.ok)).toEqual(['/a', '/b', '/c']);
    expect(state.refreshes).toBe(1);
    expect(client.getSession()).toEqual({ phase: 'in', me });
  });

  it('tells the time by the portal’s clock, however wrong this machine’s is', async () => {
    const at = Date.parse('2026-11-22T12:00:00Z');
    const answers = [
      Response.json({ ok: '' }, { headers: { date: new Date(at).toUTCString() } }),
      Response.json({ ok: '' }),
    ];
    const client = new ApiClient({
      fetch: () => Promise.resolve(answers.shift() ?? Response.error()),
      now: () => 5_000,
      exclusive: (work) => work(),
    });
    expect(client.portalTime(5_000)).toBe(5_000);
    await client.request(okSchema, '/a', { anonymous: true });
    expect(client.portalTime(6_000)).toBe(at + 1_000);
    await client.request(okSchema, '/b', { anonymous: true });
    expect(client.portalTime(7_000)).toBe(at + 2_000);
  });

  it('renews a token before it ends', async () => {
    const { state, client, pass } = portal({ expiresIn: 100 });
    await client.request(okSchema, '/a');
    pass(60_000);
    await client.request(okSchema, '/a');
    expect(state.refreshes).toBe(1);
    pass(20_000);
    await client.request(okSchema, '/a');
    expect(state.refreshes).toBe(2);
  });

  it('retries once with a new token when the server forgot the old one', async () => {
    const { state, client } = portal();
    await client.request(okSchema, '/a');
    state.token = 40;
    await expect(client.request(okSchema, '/b')).resolves.toEqual({ ok: '/b' });
    expect(state.refreshes).toBe(2);
  });

  it('knows a session that ended from none at all, and does not loop', async () => {
    const { state, client } = portal();
    await client.restore();
    state.signedIn = false;
    state.token = 40;
    await expect(client.request(okSchema, '/a')).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    expect(client.getSession()).toEqual({ phase: 'out', ended: true });
    expect(state.calls).toEqual(['/auth/refresh', '/a', '/auth/refresh']);
    const nobody = portal({ signedIn: false });
    expect(await nobody.client.restore()).toEqual({ phase: 'out', ended: false });
  });

  it('keeps the session when the portal is merely away', async () => {
    const { state, client, pass } = portal({ expiresIn: 100 });
    await client.restore();
    state.away = true;
    pass(90_000);
    await expect(client.request(okSchema, '/a')).rejects.toBeInstanceOf(PortalAwayError);
    expect(client.getSession().phase).toBe('in');
    state.away = false;
    await expect(client.request(okSchema, '/a')).resolves.toEqual({ ok: '/a' });
  });

  it('refuses an answer that is not what the contract says', async () => {
    const { client } = portal();
    await expect(client.request(z.object({ other: z.string() }), '/a')).rejects.toThrow();
  });

  it('sends anonymous requests without a token', async () => {
    const { state, client } = portal();
    await expect(client.request(okSchema, '/auth/login', { method: 'POST', anonymous: true })).rejects.toMatchObject({
      code: 'UNAUTHENTICATED',
      errorId: 'e1',
    });
    expect(state.refreshes).toBe(0);
  });
});
