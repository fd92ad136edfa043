import { createHash, randomUUID } from 'node:crypto';
import type { Accepted, ErrorBody, FleetOverview, StackView } from '#libs/contracts';
import { newSigningKey, publicKeyText, signToken } from '#libs/crypto';
import { waitFor } from '#libs/async';
import { cleanSignOnCodes } from '#libs/tenants';
import { person, stackOf, testApi, type TestApi, type TestPerson } from '../support/api.js';
import { engineFigures, engineWithAgents, OWNER, STANDS_BY } from '../support/engine-rows.js';

let t: TestApi;
let owner: TestPerson;
beforeAll(async () => {
  t = await testApi();
  owner = await person(t);
  await t.db.dataSource.query(`update plans set stacks = 1000 where code = 'premium'`);
  await t.db.dataSource.query(`update accounts set plan_id = (select id from plans where code = 'premium')`);
});
afterAll(() => t.close());

const code = (answer: { body: unknown }): string => (answer.body as ErrorBody).code;
const post = (path: string, who = owner) => t.http.post(`/api/v1${path}`).set(who.auth);
const stacksOf = async (who = owner): Promise<StackView[]> =>
  ((await t.http.get('/api/v1/stacks').set(who.auth).expect(200)).body as { items: StackView[] }).items;

/** What the agent would do. */
const finish = (operationId: string): Promise<unknown> =>
  t.db.dataSource.query(`update operations set state = 'done', finished_at = now() where id = $1`, [operationId]);

describe('stacks', () => {
  it('are created with the operation that makes them, and read by name', async () => {
    const answer = await post('/stacks').send({ name: 'Ana’s birds' }).expect(202);
    const { stack, operation } = answer.body as Accepted;
    expect(stack).toMatchObject({ name: 'Ana’s birds', status: 'queued', desired: 'running', owner: owner.username });
    expect(stack.services).toEqual(['runtime', 'postgres', 'redis']);
    expect(stack.dashboardUrl).toBe(`https://${stack.slug}.aviary.localhost`);
    expect(operation).toMatchObject({ kind: 'provision', state: 'queued', slug: stack.slug });
    expect(operation.steps.length).toBeGreaterThan(1);
    const read = await t.http.get(`/api/v1/stacks/${stack.slug}`).set(owner.auth).expect(200);
    expect((read.body as StackView).id).toBe(stack.id);
    const jobs: unknown[] = await t.db.dataSource.query(`select from pgboss.job where data ->> 'operationId' = $1`, [
      operation.id,
    ]);
    expect(jobs).toHaveLength(1);
    await finish(operation.id);
  });

  it('stop, start, restart and go, one operation after the other', async () => {
    const { stack, operation } = await stackOf(t, owner);
    const busy = await post(`/stacks/${stack.slug}/restart`);
    expect([busy.status, code(busy)]).toEqual([409, 'TENANT_BUSY']);
    await finish(operation.id);
    for (const kind of ['stop', 'start', 'restart']) {
      const answer = await post(`/stacks/${stack.slug}/${kind}`).expect(202);
      expect((answer.body as Accepted).operation.kind).toBe(kind);
      await finish((answer.body as Accepted).operation.id);
    }
    const gone = await t.http
      .delete(`/api/v1/stacks/${stack.slug}`)
      .set(owner.auth)
      .send({ confirm: stack.slug })
      .expect(202);
    expect((gone.body as Accepted).operation.kind).toBe('destroy');
  });

  it('are destroyed once, by whom the answer did not reach too', async () => {
    const { stack, operation } = await stackOf(t, owner);
    await finish(operation.id);
    const destroy = (key?: string) =>
      t.http
        .delete(`/api/v1/stacks/${stack.slug}`)
        .set({ ...owner.auth, ...(key === undefined ? {} : { 'Idempotency-Key': key }) })
        .send({ confirm: stack.slug });
    const key = randomUUID();
    const first = await destroy(key).expect(202);
    expect(first.headers['idempotency-replayed']).toBeUndefined();
    // Another press, or no key at all: the stack is on its way already.
    for (const again of [await destroy().expect(202), await destroy(randomUUID()).expect(202)]) {
      expect((again.body as Accepted).operation.id).toBe((first.body as Accepted).operation.id);
    }
    await finish((first.body as Accepted).operation.id);
    await t.db.dataSource.query('delete from tenants where id = $1', [stack.id]);
    const replay = await destroy(key).expect(202);
    expect([replay.headers['idempotency-replayed'], replay.body]).toEqual(['true', first.body]);
    await destroy(randomUUID()).expect(404);
  });

  it('are destroyed only when named', async () => {
    const { stack } = await stackOf(t, owner);
    for (const body of [{}, { confirm: 'uaaaaaa' }, { confirm: stack.slug, force: true }]) {
      const answer = await t.http.delete(`/api/v1/stacks/${stack.slug}`).set(owner.auth).send(body);
      expect([answer.status, code(answer)]).toEqual([400, 'VALIDATION_FAILED']);
    }
    expect((await stacksOf()).find(({ slug }) => slug === stack.slug)?.desired).toBe('running');
  });

  it('refuse names that would become a path, a template expression or another field', async () => {
    for (const body of [{ name: '{{ .Env }}' }, { name: '' }, { name: '<b>' }, { template: '../etc' }, { slug: 'u' }]) {
      const answer = await post('/stacks').send(body);
      expect([answer.status, code(answer)]).toEqual([400, 'VALIDATION_FAILED']);
    }
    for (const slug of ['..%2f..%2fetc', 'u%7B%7Bx%7D%7D', 'UAAAAAA', 'u1']) {
      const answer = await t.http.get(`/api/v1/stacks/${slug}`).set(owner.auth);
      expect([slug, answer.status]).toEqual([slug, 400]);
    }
  });
});

describe('Idempotency-Key', () => {
  it('makes one stack of two requests at once, and both callers learn of that one', async () => {
    const who = await person(t);
    const key = randomUUID();
    const send = () => post('/stacks', who).set('Idempotency-Key', key).send({ name: 'Once' });
    const answers = await Promise.all(Array.from({ length: 6 }, send));
    for (const answer of answers) {
      expect([202, 409]).toContain(answer.status);
      if (answer.status === 409) {
        expect(code(answer)).toBe('IDEMPOTENCY_IN_PROGRESS');
      }
    }
    const made = new Set(answers.filter(({ status }) => status === 202).map((a) => (a.body as Accepted).stack.id));
    expect(made.size).toBe(1);
    expect(await stacksOf(who)).toHaveLength(1);
    const replay = await send();
    expect([replay.status, replay.headers['idempotency-replayed']]).toEqual([202, 'true']);
    expect(made.has((replay.body as Accepted).stack.id)).toBe(true);
  });

  it('gives the first answer again, whatever the order of the fields', async () => {
    const key = randomUUID();
    const first = await post('/stacks')
      .set('Idempotency-Key', key)
      .send({ name: 'A', template: 'standard' })
      .expect(202);
    const again = await post('/stacks')
      .set('Idempotency-Key', key)
      .send({ template: 'standard', name: 'A' })
      .expect(202);
    expect(again.body).toEqual(first.body);
  });

  it('is not taken for another request, and is each account’s own', async () => {
    const other = await person(t);
    const key = randomUUID();
    const first = await post('/stacks').set('Idempotency-Key', key).send({ name: 'A' }).expect(202);
    const reused = await post('/stacks').set('Idempotency-Key', key).send({ name: 'B' });
    expect([reused.status, code(reused)]).toEqual([422, 'IDEMPOTENCY_KEY_REUSED']);
    const elsewhere = await post('/stacks', other).set('Idempotency-Key', key).send({ name: 'A' }).expect(202);
    expect((elsewhere.body as Accepted).stack.id).not.toBe((first.body as Accepted).stack.id);
  });

  it('is free again after a refusal, since nothing was made', async () => {
    const who = await person(t);
    await stackOf(t, who);
    const key = randomUUID();
    const refused = await post('/stacks', who).set('Idempotency-Key', key).send({});
    expect([refused.status, code(refused)]).toEqual([403, 'QUOTA_EXCEEDED']);
    await t.db.dataSource.query(`update accounts set plan_id = (select id from plans where code = 'premium')`);
    await post('/stacks', who).set('Idempotency-Key', key).send({}).expect(202);
  });

  it('finds the stack of a request whose process died before it kept the answer', async () => {
    const key = randomUUID();
    const first = await post('/stacks').set('Idempotency-Key', key).send({ name: 'Crashed' }).expect(202);
    await t.db.dataSource.query(
      `update requests set status = null, body = null, answered_at = null, created_at = now() - interval '5 minutes' where key = $1`,
      [key],
    );
    const before = (await stacksOf()).length;
    const again = await post('/stacks').set('Idempotency-Key', key).send({ name: 'Crashed' }).expect(202);
    expect((again.body as Accepted).stack.id).toBe((first.body as Accepted).stack.id);
    expect(await stacksOf()).toHaveLength(before);
  });

  it('whose process died before it made anything is taken over, and a day later it is forgotten', async () => {
    const key = randomUUID();
    const send = (name: string) => post('/stacks').set('Idempotency-Key', key).send({ name });
    const first = await send('One').expect(202);
    const set = (what: string) => t.db.dataSource.query(`update requests set ${what} where key = $1`, [key]);
    await set(`status = null, body = null, answered_at = null, operation_id = null`);
    expect(code(await send('One'))).toBe('IDEMPOTENCY_IN_PROGRESS');
    await set(`created_at = now() - interval '5 minutes'`);
    const second = await send('One').expect(202);
    expect((second.body as Accepted).stack.id).not.toBe((first.body as Accepted).stack.id);
    await set(`expires_at = now() - interval '1 second'`);
    const third = await send('Quite another').expect(202);
    expect((third.body as Accepted).stack.id).not.toBe((second.body as Accepted).stack.id);
  });

  it('must be printable', async () => {
    for (const key of ['', 'x'.repeat(201), 'two words']) {
      const answer = await post('/stacks').set('Idempotency-Key', key).send({});
      expect([answer.status, code(answer)]).toEqual([400, 'VALIDATION_FAILED']);
    }
  });
});

describe('sign-on', () => {
  it('is redeemed once, by the right host and browser, on the private listener', async () => {
    const { stack } = await stackOf(t, owner);
    const state = createHash('sha256').update('nonce').digest('base64url');
    const minted = await post('/sign-on').send({ stack: stack.slug, state, next: '/bots' }).expect(200);
    const url = new URL((minted.body as { redirect: string }).redirect);
    const body = { code: url.searchParams.get('code'), host: url.host, state };
    await t.http.post('/internal/redeem').send(body).expect(404);
    const foreign = await t.internal.post('/internal/redeem').send({ ...body, host: 'uaaaaaa.aviary.localhost' });
    expect([foreign.status, code(foreign)]).toEqual([401, 'TOKEN_INVALID']);
    const redeemed = await t.internal.post('/internal/redeem').send(body).expect(200);
    expect((redeemed.body as { next: string }).next).toBe('/bots');
    const again = await t.internal.post('/internal/redeem').send(body);
    expect([again.status, code(again)]).toEqual([401, 'TOKEN_REUSED']);
  });

  it.each([
    ['the portal session has expired', `update sessions set expires_at = now() - interval '1 second'`, 401],
    ['the account was banned', `update accounts set state = 'banned' where id = $1`, 401],
    ['the stack is being destroyed', `update tenants set desired = 'deleted' where account_id = $1`, 409],
    [
      'the stack is suspended',
      `insert into holds (tenant_id, reason, created_at) select id, 'operator', now() from tenants where account_id = $1`,
      409,
    ],
  ])('gives nothing any more when %s', async (_what, change, status) => {
    const who = await person(t);
    const { stack } = await stackOf(t, who);
    const state = createHash('sha256').update('nonce').digest('base64url');
    const mint = () => t.http.post('/api/v1/sign-on').set(who.auth).send({ stack: stack.slug, state, next: '/' });
    const minted = await mint().expect(200);
    const url = new URL((minted.body as { redirect: string }).redirect);
    await t.db.dataSource.query(change, change.includes('$1') ? [who.id] : []);
    const answer = await t.internal
      .post('/internal/redeem')
      .send({ code: url.searchParams.get('code'), host: url.host, state });
    expect(answer.status).toBe(status);
    expect(JSON.stringify(answer.body)).not.toContain('token');
    expect((await mint()).status).toBe(status);
    await t.db.dataSource.query(`update sessions set expires_at = now() + interval '1 hour'`);
    await t.db.dataSource.query(`update accounts set state = 'active' where id = $1`, [who.id]);
  });

  it('leaves no codes behind that nobody redeemed', async () => {
    const { stack } = await stackOf(t, owner);
    await post('/sign-on')
      .send({ stack: stack.slug, state: 'a'.repeat(43), next: '/' })
      .expect(200);
    const left = async (hours: number): Promise<number> => {
      await cleanSignOnCodes(t.db.dataSource, new Date(Date.now() + hours * 3_600_000));
      const [row]: { n: number }[] = await t.db.dataSource.query('select count(*)::int as n from sign_on_codes');
      return row?.n ?? -1;
    };
    expect(await left(0)).toBeGreaterThan(0);
    expect(await left(2)).toBe(0);
  });

  it('tells the gate which sessions ended', async () => {
    const who = await person(t);
    await t.http
      .post('/api/v1/auth/logout')
      .set({ Cookie: who.cookie, Origin: 'https://aviary.localhost' })
      .expect(204);
    const answer = await t.internal.get('/internal/revocations').expect(200);
    expect((answer.body as { revoked: unknown[] }).revoked.length).toBeGreaterThan(0);
  });

  it('goes nowhere but into the stack', async () => {
    const { stack } = await stackOf(t, owner);
    for (const next of ['https://evil.example', '//evil.example', '/\\evil.example', 'bots']) {
      await post('/sign-on')
        .send({ stack: stack.slug, state: 'a'.repeat(43), next })
        .expect(400);
    }
  });
});

describe('reports of a runtime', () => {
  it('are taken when the stack’s own key signed these very bytes', async () => {
    const { stack } = await stackOf(t, owner);
    const key = newSigningKey();
    await t.db.dataSource.query('update tenants set public_key = $2 where id = $1', [stack.id, publicKeyText(key)]);
    const id = randomUUID();
    const heartbeat = {
      id,
      kind: 'heartbeat',
      at: new Date().toISOString(),
      bots: 2,
      runningBots: 1,
      openOrders: 9,
      equity: '10.5',
    };
    const body = JSON.stringify({ reports: [heartbeat] });
    const sign = (bytes: string) =>
      signToken(
        key,
        { bodySha256: createHash('sha256').update(bytes).digest('base64url') },
        { issuer: stack.id, audience: 'aviary-reports', ttlSeconds: 60 },
      );
    const send = async (bytes: string, token: string) =>
      t.http
        .post('/api/v1/runtime/reports')
        .set({ Authorization: `Stack ${token}`, 'Content-Type': 'application/json' })
        .send(bytes);
    const taken = await send(body, await sign(body));
    expect([taken.status, taken.body]).toEqual([200, { stored: [id] }]);
    const read = await t.http.get(`/api/v1/stacks/${stack.slug}`).set(owner.auth).expect(200);
    expect((read.body as StackView).heartbeat).toMatchObject({ bots: 2, equity: '10.5' });
    expect((await send(body.replace('10.5', '99999'), await sign(body))).status).toBe(401);
    const other = await signToken(
      newSigningKey(),
      { bodySha256: '' },
      { issuer: stack.id, audience: 'aviary-reports', ttlSeconds: 60 },
    );
    expect((await send(body, other)).status).toBe(401);
  });
});

describe('the console', () => {
  it('counts the fleet and shows everybody’s things', async () => {
    const operator = await person(t, 'operator');
    const get = (path: string) => t.http.get(`/api/v1/operator/${path}`).set(operator.auth).expect(200);
    const overview = (await get('overview')).body as FleetOverview;
    const [{ count }]: [{ count: number }] = await t.db.dataSource.query('select count(*)::int as count from tenants');
    expect(overview.stacks.total).toBe(count);
    expect(Object.values(overview.stacks.byStatus).reduce((sum, n) => sum + n, 0)).toBe(count);
    expect(overview.users.byState.active).toBe(overview.users.total);
    expect(overview.operations.doneLastDay).toBeGreaterThan(0);
    const users = (await get('users')).body as { items: { username: string }[] };
    expect(users.items.map(({ username }) => username)).toContain(owner.username);
    const stacks = (await get(`stacks?q=${owner.username}`)).body as { items: StackView[] };
    expect(stacks.items.length).toBeGreaterThan(0);
    expect(stacks.items.every((stack) => stack.owner === owner.username)).toBe(true);
  });

  it('tells who works on an engine, who would take over and what it said last; of nothing known, nothing', async () => {
    const operator = await person(t, 'operator');
    const read = async () => {
      const answer = await t.http.get('/api/v1/operator/overview').set(operator.auth).expect(200);
      return (answer.body as FleetOverview).engines;
    };
    expect(await read()).toMatchObject([{ engine: 'local', lease: null, standBy: [], figures: null }]);
    const figures = engineFigures();
    await engineWithAgents(t.db.dataSource, 'local', figures);
    const [engine] = await read();
    expect(engine).toMatchObject({ lease: { owner: OWNER, held: true }, standBy: [{ owner: STANDS_BY }], figures });
    expect(engine?.standBy).toHaveLength(1);
    await t.db.dataSource.query(`update engine_leases set expires_at = now() - interval '1 second'`);
    // What an agent of another release wrote and this one cannot read.
    await t.db.dataSource.query(`update engines set figures = '{"at": "then"}'`);
    expect(await read()).toMatchObject([{ lease: { owner: OWNER, held: false }, figures: null }]);
    await t.http.get('/api/v1/operator/overview').set(owner.auth).expect(403);
    await t.db.dataSource.query('delete from engine_leases');
    await t.db.dataSource.query('delete from engine_stand_bys');
    await t.db.dataSource.query('update engines set figures = null');
  });

  it('reads the outbox and sends a mail again', async () => {
    const operator = await person(t, 'operator');
    const list = await t.http.get('/api/v1/operator/outbox').set(operator.auth).expect(200);
    const [mail] = (list.body as { items: { id: string; to: string; text: string }[] }).items;
    expect(mail?.text).toMatch(/https:\/\//);
    const one = await t.http.get(`/api/v1/operator/outbox/${mail?.id}`).set(operator.auth).expect(200);
    expect((one.body as { to: string }).to).toBe(mail?.to);
    const waiting = await t.http.post(`/api/v1/operator/outbox/${mail?.id}/resend`).set(operator.auth);
    expect([waiting.status, code(waiting)]).toEqual([409, 'WRONG_STATE']);
    await t.db.dataSource.query(`update outbox_mails set state = 'kept' where id = $1`, [mail?.id]);
    const again = () =>
      t.http
        .post(`/api/v1/operator/outbox/${mail?.id}/resend`)
        .set({ ...operator.auth, 'Idempotency-Key': 'once-more' });
    const sent = await again().expect(202);
    const repeated = await again().expect(202);
    expect(repeated.headers['idempotency-replayed']).toBe('true');
    expect(repeated.body).toEqual(sent.body);
    await t.http.post(`/api/v1/operator/outbox/${randomUUID()}/resend`).set(operator.auth).expect(404);
  });
});

it('answers 503 while the database is away, and goes on when it is back', async () => {
  const [{ name }]: [{ name: string }] = await t.db.dataSource.query('select current_database() as name');
  await t.db.dataSource.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid() and usename = current_user`,
    [name],
  );
  await waitFor(
    async () => {
      const answer = await t.http.get('/api/v1/stacks').set(owner.auth);
      expect([200, 503]).toContain(answer.status);
      return answer.status === 200 ? true : undefined;
    },
    { what: 'api to go on', deadlineMs: 10_000 },
  );
});
