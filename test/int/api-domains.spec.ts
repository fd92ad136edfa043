import { createHash } from 'node:crypto';
import { decodeJwt } from 'jose';
import type { DomainList, DomainView, ErrorBody } from '#libs/contracts';
import { DomainService } from '#libs/tenants';
import type { Environment } from '../../apps/cli/src/frame/command.js';
import type { Platform } from '../../apps/cli/src/frame/platform.js';
import { runProgram } from '../../apps/cli/src/program.js';
import { person, stackOf, testApi, type TestApi, type TestPerson } from '../support/api.js';

// Several test files and an engine may share two cores.
jest.setTimeout(60_000);

let t: TestApi;
let owner: TestPerson;
let slug: string;
beforeAll(async () => {
  t = await testApi();
  owner = await person(t);
  slug = (await stackOf(t, owner)).stack.slug;
});
afterAll(() => t.close());

const add = (domain: string, who = owner, of = slug) =>
  t.http.post(`/api/v1/stacks/${of}/domains`).set(who.auth).send({ domain });
const listed = async (of = slug, who = owner): Promise<DomainView[]> =>
  ((await t.http.get(`/api/v1/stacks/${of}/domains`).set(who.auth).expect(200)).body as DomainList).items;
/** What the agent would find. */
const prove = (domain: string): Promise<unknown> =>
  t.db.dataSource.query(
    `update tenant_domains set verified_at = now(), confirmed_at = now(), certificate_until = now() + interval '60 days'
      where domain = $1`,
    [domain],
  );

it('a domain is added as ASCII in lower case, once, with the records to set', async () => {
  const first = (await add(' Bot.Example.ORG. ').expect(201)).body as DomainView;
  expect(first).toMatchObject({
    domain: 'bot.example.org',
    url: 'https://bot.example.org',
    state: 'waiting',
    problem: null,
    records: [
      { purpose: 'route', type: 'CNAME', name: 'bot.example.org', value: `${slug}.aviary.localhost` },
      { purpose: 'ownership', type: 'TXT', name: '_aviary.bot.example.org' },
    ],
  });
  expect((await add('bot.example.org').expect(201)).body).toEqual(first);
  // A Cyrillic letter that looks like an a.
  expect((await add('b\u0430nk.example.org').expect(201)).body).toMatchObject({ domain: 'xn--bnk-6cd.example.org' });
  expect((await listed()).map(({ domain }) => domain)).toEqual(['bot.example.org', 'xn--bnk-6cd.example.org']);
});

it.each([
  ['aviary.localhost', 'reserved'],
  ['127.0.0.1', 'address'],
  ['[::1]', 'address'],
  ['0x7f.1', 'address'],
  ['*.example.org', 'wildcard'],
  ['bots', 'single_label'],
  ['https://example.org', 'not_a_name'],
  ['bot.example.org/x', 'not_a_name'],
  ['a`b.example.org', 'not_a_name'],
])('%s is refused: %s', async (domain, reason) => {
  const { details, code } = (await add(domain).expect(400)).body as ErrorBody;
  expect([code, details['reason']]).toEqual(['VALIDATION_FAILED', reason]);
});

it('strangers see and change nothing, and each order is written down', async () => {
  const stranger = await person(t);
  await add('theirs.example.org', stranger).expect(404);
  await t.http.get(`/api/v1/stacks/${slug}/domains`).set(stranger.auth).expect(404);
  await t.http.post(`/api/v1/stacks/${slug}/domains/bot.example.org/verify`).set(stranger.auth).expect(404);
  await t.http.delete(`/api/v1/stacks/${slug}/domains/bot.example.org`).set(stranger.auth).expect(404);
  await t.db.dataSource.query(`update tenant_domains set next_check_at = now() + interval '1 day'`);
  const asked = await t.http.post(`/api/v1/stacks/${slug}/domains/bot.example.org/verify`).set(owner.auth).expect(202);
  expect(Date.parse((asked.body as DomainView).nextCheckAt)).toBeLessThanOrEqual(Date.now());
  await t.http.delete(`/api/v1/stacks/${slug}/domains/xn--bnk-6cd.example.org`).set(owner.auth).expect(204);
  await t.http.delete(`/api/v1/stacks/${slug}/domains/xn--bnk-6cd.example.org`).set(owner.auth).expect(404);
  expect((await listed()).map(({ domain }) => domain)).toEqual(['bot.example.org']);
  const rows = await t.db.dataSource.query<{ action: string; domain: string }[]>(
    `select action, after ->> 'domain' as domain from audit_entries where action like 'stack.domain%' order by id`,
  );
  expect(rows.map(({ action, domain }) => `${action} ${domain}`)).toEqual([
    'stack.domain_add bot.example.org',
    'stack.domain_add xn--bnk-6cd.example.org',
    'stack.domain_verify bot.example.org',
    'stack.domain_remove xn--bnk-6cd.example.org',
  ]);
});

it('a failed order is not repeated sooner for being asked', async () => {
  await t.db.dataSource.query(
    `update tenant_domains set problem = 'ORDER_FAILED', problem_params = '{"reason":"no"}', next_check_at = now() + interval '1 hour'`,
  );
  const asked = await t.http.post(`/api/v1/stacks/${slug}/domains/bot.example.org/verify`).set(owner.auth).expect(202);
  expect(Date.parse((asked.body as DomainView).nextCheckAt)).toBeGreaterThan(Date.now() + 3_000_000);
  expect((asked.body as DomainView).message).toContain('did not issue: no');
  await t.db.dataSource.query(`update tenant_domains set problem = null, problem_params = null`);
});

it('a stack has at most five', async () => {
  const { stack } = await stackOf(t, await person(t).then((who) => (owner = who)));
  for (let at = 0; at < 5; at += 1) {
    await add(`d${at}.example.org`, owner, stack.slug).expect(201);
  }
  expect((await add('d5.example.org', owner, stack.slug).expect(403)).body).toMatchObject({
    code: 'QUOTA_EXCEEDED',
    details: { limit: 'domains', allowed: 5 },
  });
});

it('sign-on leads to a proven domain of that very stack and to no other host', async () => {
  const who = await person(t);
  const [mine, other] = [await person(t), who];
  const { stack } = await stackOf(t, mine);
  const foreign = (await stackOf(t, other)).stack;
  await add('mine.example.org', mine, stack.slug).expect(201);
  await add('other.example.org', other, foreign.slug).expect(201);
  await prove('other.example.org');
  const state = createHash('sha256').update('nonce').digest('base64url');
  const mint = (host: string) =>
    t.http.post('/api/v1/sign-on').set(mine.auth).send({ stack: stack.slug, state, next: '/', host });
  for (const host of ['mine.example.org', 'other.example.org', 'evil.example', `${foreign.slug}.aviary.localhost`]) {
    await mint(host).expect(404);
  }
  await prove('mine.example.org');
  const redirect = new URL(((await mint('mine.example.org').expect(200)).body as { redirect: string }).redirect);
  expect(redirect.origin + redirect.pathname).toBe('https://mine.example.org/.aviary/callback');
  const code = redirect.searchParams.get('code');
  const redeem = (host: string) => t.internal.post('/internal/redeem').send({ code, host, state });
  await redeem(`${stack.slug}.aviary.localhost`).expect(401);
  const { token } = (await redeem('mine.example.org').expect(200)).body as { token: string };
  expect(decodeJwt(token)).toMatchObject({ slug: stack.slug, host: 'mine.example.org' });

  // What was proven when the code was made, and is no more.
  const late = new URL(((await mint('mine.example.org').expect(200)).body as { redirect: string }).redirect);
  await t.http.delete(`/api/v1/stacks/${stack.slug}/domains/mine.example.org`).set(mine.auth).expect(204);
  await t.internal
    .post('/internal/redeem')
    .send({ code: late.searchParams.get('code'), host: 'mine.example.org', state })
    .expect(401);
});

it.each([
  ['it leads elsewhere', `away_since = now()`],
  ['its proof was not seen for a day', `confirmed_at = now() - interval '25 hours'`],
  ['its certificate has ended', `certificate_until = now()`],
  ['it has no certificate', `certificate_until = null`],
])('nobody signs in at a domain once %s, also not with a code made before', async (_why, change) => {
  const who = await person(t);
  const { stack } = await stackOf(t, who);
  const host = 'lapsed.example.org';
  await add(host, who, stack.slug).expect(201);
  await prove(host);
  const state = createHash('sha256').update('nonce').digest('base64url');
  const mint = () => t.http.post('/api/v1/sign-on').set(who.auth).send({ stack: stack.slug, state, next: '/', host });
  const { redirect } = (await mint().expect(200)).body as { redirect: string };
  await t.db.dataSource.query(`update tenant_domains set ${change} where domain = $1`, [host]);
  expect((await mint().expect(409)).body).toMatchObject({ code: 'WRONG_STATE', details: { why: 'domain_unproven' } });
  const code = new URL(redirect).searchParams.get('code');
  await t.internal.post('/internal/redeem').send({ code, host, state }).expect(401);
  expect((await listed(stack.slug, who))[0]?.state).not.toBe('live');
  await t.db.dataSource.query(`delete from tenant_domains where domain = $1`, [host]);
});

it('a claim nobody proved keeps nobody out, and a proven one is one stack’s', async () => {
  const [a, b] = [await person(t), await person(t)];
  await add('shop.example.org', a, (await stackOf(t, a)).stack.slug).expect(201);
  await add('shop.example.org', b, (await stackOf(t, b)).stack.slug).expect(201);
  await expect(prove('shop.example.org')).rejects.toThrow(/tenant_domains_owner/);
});

/** One command line, on this database. */
async function aviary(...argv: string[]): Promise<{ code: number; text: string }> {
  const operator = await person(t, 'operator');
  const ran = { code: -1, text: '' };
  const domains = new DomainService({
    dataSource: t.db.dataSource,
    now: () => new Date(),
    places: { portalDomain: 'aviary.localhost', tenantDomain: 'aviary.localhost', httpsPort: 443 },
  });
  const actor = { kind: 'operator', accountId: operator.id, username: operator.username, via: 'cli' } as const;
  const platform: Partial<Platform> = {
    domains,
    operator: () => Promise.resolve({ ...actor, ip: null, sessionId: null }),
    close: () => Promise.resolve(),
  };
  const write = (text: string): void => {
    ran.text += text;
  };
  const environment: Environment = {
    streams: { stdout: { write }, stderr: { write } },
    stdinIsTty: false,
    color: false,
    interrupted: new AbortController().signal,
    connect: () => Promise.resolve(platform as Platform),
    exit: (code) => {
      ran.code = code;
    },
  };
  await runProgram(environment, argv);
  return ran;
}

it('the command line does the same', async () => {
  const who = await person(t);
  const of = (await stackOf(t, who)).stack.slug;
  const data = ({ text }: { text: string }): unknown => (JSON.parse(text) as { data: unknown }).data;
  const added = await aviary('tenant', 'domain', 'add', of, 'cli.example.org');
  expect(added.code).toBe(0);
  expect(added.text).toContain('cli.example.org  Waiting for DNS');
  expect(added.text).toContain(`set        cli.example.org  CNAME  ${of}.aviary.localhost`);
  expect((await aviary('tenant', 'domain', 'add', of, '*.example.org', '--json')).code).toBe(2);
  expect(data(await aviary('tenant', 'domain', 'list', of, '--json'))).toEqual({
    items: [expect.objectContaining({ domain: 'cli.example.org', state: 'waiting' })],
    next: null,
  });
  expect((await aviary('tenant', 'domain', 'verify', of, 'cli.example.org', '--detach')).code).toBe(0);
  // Its record was there and is gone: what to set is said again.
  await prove('cli.example.org');
  await t.db.dataSource.query(`update tenant_domains set problem = 'TXT_MISSING' where domain = 'cli.example.org'`);
  const missing = await aviary('tenant', 'domain', 'verify', of, 'cli.example.org', '--detach');
  expect(missing.text).toMatch(
    /The TXT record is not there[^]*set +_aviary\.cli\.example\.org {2}TXT {2}aviary-domain=/,
  );
  // No agent looks here.
  expect((await aviary('tenant', 'domain', 'verify', of, 'cli.example.org', '--timeout', '1')).code).toBe(7);
  expect((await aviary('tenant', 'domain', 'remove', of, 'other.example.org')).code).toBe(3);
  expect((await aviary('tenant', 'domain', 'remove', of, 'cli.example.org', '--json')).code).toBe(0);
  expect(await listed(of, who)).toEqual([]);
});
