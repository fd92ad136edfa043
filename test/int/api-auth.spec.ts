import { randomUUID } from 'node:crypto';
import type { Access, ErrorBody, Me } from '#libs/contracts';
import { REFRESH_COOKIE } from '#libs/contracts';
import { mailedToken, ORIGIN, person, refreshCookie, registered, testApi, type TestApi } from '../support/api.js';

let t: TestApi;
beforeAll(async () => {
  // More sign-ins a minute than one network may have otherwise.
  t = await testApi({}, { rateLimits: { sign_in: { quota: 1_000, windowSeconds: 60 } } });
});
afterAll(() => t.close());

const code = (answer: { body: unknown }): string => (answer.body as ErrorBody).code;
const refresh = (cookie: string, origin = ORIGIN) =>
  t.http.post('/api/v1/auth/refresh').set({ Cookie: cookie, Origin: origin });

describe('signing up', () => {
  it('leads from the form over the mailed link to the own account', async () => {
    const { email, username, password } = await registered(t);
    const early = await t.http.post('/api/v1/auth/login').send({ identifier: email, password });
    expect([early.status, code(early)]).toEqual([403, 'EMAIL_NOT_VERIFIED']);

    const token = await mailedToken(t, email);
    await t.http.post('/api/v1/auth/verify').send({ token }).expect(200);
    const again = await t.http.post('/api/v1/auth/verify').send({ token });
    expect(again.status).toBe(401);
    expect(['TOKEN_INVALID', 'TOKEN_REUSED']).toContain(code(again));

    const signedIn = await t.http.post('/api/v1/auth/login').send({ identifier: username, password }).expect(200);
    const { accessToken, me } = signedIn.body as Access;
    expect(me).toMatchObject({ email, username, role: 'subscriber', state: 'active' });
    const own = await t.http.get('/api/v1/auth/me').set('Authorization', `Bearer ${accessToken}`).expect(200);
    expect((own.body as Me).id).toBe(me.id);
  });

  it('keeps the refresh token where no script and no other site reaches it, and never in a body', async () => {
    const { email, password } = await registered(t);
    await t.http
      .post('/api/v1/auth/verify')
      .send({ token: await mailedToken(t, email) })
      .expect(200);
    const answer = await t.http.post('/api/v1/auth/login').send({ identifier: email, password }).expect(200);
    const set = (answer.headers['set-cookie'] as unknown as string[]).find((one) => one.startsWith(REFRESH_COOKIE));
    for (const attribute of ['HttpOnly', 'Secure', 'SameSite=Strict', 'Path=/']) {
      expect(set).toContain(attribute);
    }
    expect(set).not.toContain('Domain');
    const value = refreshCookie(answer).split('=')[1] ?? '';
    expect(value.length).toBeGreaterThan(20);
    expect(answer.text).not.toContain(value);
    expect(answer.headers['cache-control']).toBe('no-store');
  });

  it('says which field is wrong, and refuses unknown ones', async () => {
    const first = await registered(t);
    const bad = await t.http
      .post('/api/v1/auth/register')
      .send({ ...first, email: 'no', password: 'short', role: 'operator' });
    expect(bad.status).toBe(400);
    expect(Object.keys((bad.body as ErrorBody).details['fields'] as object).toSorted()).toEqual([
      'email',
      'password',
      'role',
    ]);
  });

  it('answers a taken address as a new one, and tells its owner by mail', async () => {
    const { email, username } = await person(t);
    await t.db.dataSource.query(`update accounts set created_at = created_at - interval '1 hour'`);
    const body = { ...(await registered(t)), username: 'another', password: randomUUID() };
    const known = await t.http.post('/api/v1/auth/register').send({ ...body, email });
    const fresh = await t.http
      .post('/api/v1/auth/register')
      .send({ ...body, email: 'fresh@example.org', username: 'another2' });
    const shape = (answer: { status: number; body: unknown; headers: object }) => [
      answer.status,
      Object.entries(answer.body as object).map(([name, value]) => [
        name,
        ['id', 'email', 'username', 'createdAt'].includes(name) ? typeof value : value,
      ]),
      Object.keys(answer.headers).toSorted(),
    ];
    expect(shape(known)).toEqual(shape(fresh));
    expect(known.status).toBe(201);
    const [mail]: { subject: string; text: string }[] = await t.db.dataSource.query(
      'select subject, text from outbox_mails where recipient = $1 order by id desc limit 1',
      [email],
    );
    expect(mail?.subject).toContain('already have');
    expect(mail?.text).toContain(username);
    expect(mail?.text).not.toMatch(/another|token=/);
  });

  it('makes one account of a sign-up that is sent twice with an Idempotency-Key', async () => {
    const { version } = (await t.http.get('/api/v1/auth/disclaimer').expect(200)).body as { version: string };
    const body = { email: 'twice@example.org', username: 'twice', password: randomUUID(), disclaimerVersion: version };
    const key = randomUUID();
    const send = (change: object = {}) =>
      t.http
        .post('/api/v1/auth/register')
        .set('Idempotency-Key', key)
        .send({ ...body, ...change });
    const answers = await Promise.all([send(), send()]);
    expect(answers.map(({ status }) => status)).toEqual([201, 201]);
    expect(answers[0]?.body).toEqual(answers[1]?.body);
    const third = await send();
    expect([third.status, third.headers['idempotency-replayed']]).toEqual([201, 'true']);
    const other = await send({ username: 'thrice' });
    expect([other.status, code(other)]).toEqual([422, 'IDEMPOTENCY_KEY_REUSED']);
    const bad = await t.http.post('/api/v1/auth/register').set('Idempotency-Key', 'a b').send(body);
    expect([bad.status, code(bad)]).toEqual([400, 'VALIDATION_FAILED']);
  });

  it('sends the link again, and answers the same for an address nobody has', async () => {
    const { email } = await registered(t);
    const known = await t.http.post('/api/v1/auth/resend').send({ email });
    const unknown = await t.http.post('/api/v1/auth/resend').send({ email: 'nobody@example.org' });
    expect([known.status, known.text]).toEqual([unknown.status, unknown.text]);
    expect(known.status).toBeLessThan(300);
  });

  it('refuses made-up and malformed links', async () => {
    const unknown = await t.http.post('/api/v1/auth/verify').send({ token: 'a'.repeat(43) });
    expect([unknown.status, code(unknown)]).toEqual([401, 'TOKEN_INVALID']);
    const malformed = await t.http.post('/api/v1/auth/verify').send({ token: '../../etc' });
    expect([malformed.status, code(malformed)]).toEqual([400, 'VALIDATION_FAILED']);
  });
});

describe('sessions', () => {
  it('rotate: each refresh gives a new cookie and a token that works', async () => {
    const { cookie } = await person(t);
    const first = await refresh(cookie).expect(200);
    const next = refreshCookie(first);
    expect(next).not.toBe(cookie);
    const second = await refresh(next).expect(200);
    const { accessToken } = second.body as Access;
    await t.http.get('/api/v1/auth/me').set('Authorization', `Bearer ${accessToken}`).expect(200);
  });

  it('end for both when an old cookie comes back, since one of the two was stolen', async () => {
    const { cookie, auth } = await person(t);
    const newer = refreshCookie(await refresh(cookie).expect(200));
    await t.db.dataSource.query(`update refresh_tokens set used_at = used_at - interval '1 hour'`);
    const reused = await refresh(cookie);
    expect([reused.status, code(reused)]).toEqual([401, 'TOKEN_REUSED']);
    expect((await refresh(newer)).status).toBe(401);
    await t.http.get('/api/v1/auth/me').set(auth).expect(401);
  });

  it('end with sign-out, at once and for the access token too', async () => {
    const { cookie, auth } = await person(t);
    const out = await t.http.post('/api/v1/auth/logout').set({ Cookie: cookie, Origin: ORIGIN });
    expect(out.status).toBe(204);
    expect((out.headers['set-cookie'] as unknown as string[]).join()).toMatch(/refresh=;.*Max-Age=0/);
    expect((await refresh(cookie)).status).toBe(401);
    await t.http.get('/api/v1/auth/me').set(auth).expect(401);
  });

  it('are not for the pages of other sites: the Origin must be ours', async () => {
    const { cookie } = await person(t);
    for (const origin of ['https://evil.example', 'https://aviary.localhost.evil.example', 'null']) {
      const answer = await refresh(cookie, origin);
      expect([answer.status, code(answer)]).toEqual([403, 'FORBIDDEN']);
      const out = await t.http.post('/api/v1/auth/logout').set({ Cookie: cookie, Origin: origin });
      expect(out.status).toBe(403);
    }
    await t.http.post('/api/v1/auth/refresh').set({ Cookie: cookie }).expect(403);
    await refresh(cookie).expect(200);
  });

  it('forgive two tabs that refresh at the same moment, and give the second no cookie', async () => {
    const { cookie } = await person(t);
    const both = await Promise.all([refresh(cookie), refresh(cookie)]);
    expect(both.map(({ status }) => status)).toEqual([200, 200]);
    expect(both.filter((answer) => refreshCookie(answer) !== '')).toHaveLength(1);
  });

  it('do not begin without a cookie or with a made-up one', async () => {
    expect((await t.http.post('/api/v1/auth/refresh').set({ Origin: ORIGIN })).status).toBe(401);
    expect((await refresh(`${REFRESH_COOKIE}=${'a'.repeat(43)}`)).status).toBe(401);
  });

  it('of an expired access token are not signed in any more', async () => {
    const { accessToken } = await person(t);
    const [header, payload, signature] = accessToken.split('.');
    const claims = JSON.parse(Buffer.from(payload ?? '', 'base64url').toString()) as Record<string, unknown>;
    const later = Buffer.from(JSON.stringify({ ...claims, exp: 4_000_000_000 })).toString('base64url');
    await t.http.get('/api/v1/auth/me').set('Authorization', `Bearer ${header}.${later}.${signature}`).expect(401);
    expect(Number(claims['exp']) - Number(claims['iat'])).toBeLessThanOrEqual(3_600);
  });
});

describe('guessing', () => {
  const attempt = (identifier: string, password: string) =>
    t.http.post('/api/v1/auth/login').send({ identifier, password });

  it('gives the same answer for an unknown name and a wrong password', async () => {
    const { username } = await person(t);
    const wrong = await attempt(username, 'not the password');
    const unknown = await attempt('nobody-at-all', 'not the password');
    expect(wrong.status).toBe(401);
    expect([wrong.status, code(wrong), (wrong.body as ErrorBody).message]).toEqual([
      unknown.status,
      code(unknown),
      (unknown.body as ErrorBody).message,
    ]);
  });

  it('locks after five failures, also for the right password, and says when to come back', async () => {
    const { username, password } = await person(t);
    for (let count = 0; count < 5; count += 1) {
      expect(code(await attempt(username, `guess ${count}`))).toBe('INVALID_CREDENTIALS');
    }
    const locked = await attempt(username, password);
    expect([locked.status, code(locked)]).toEqual([429, 'ACCOUNT_LOCKED']);
    expect(Number(locked.headers['retry-after'])).toBeGreaterThan(60);
  });

  it('does not let strangers lock the owner out of a browser they signed in with before', async () => {
    const { username, password } = await person(t);
    const signedIn = await attempt(username, password).expect(200);
    const cookies = (signedIn.headers['set-cookie'] as unknown as string[]).map((cookie) => cookie.split(';')[0]);
    for (let count = 0; count < 6; count += 1) {
      await attempt(username, `guess ${count}`);
    }
    expect((await attempt(username, password)).status).toBe(429);
    const own = await attempt(username, password).set('Cookie', cookies.join('; '));
    expect(own.status).toBe(200);
  });
});
