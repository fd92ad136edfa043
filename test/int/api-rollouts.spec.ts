import { randomUUID } from 'node:crypto';
import type { ErrorBody, RolloutList, RolloutPlan, RolloutReport, RolloutView } from '#libs/contracts';
import { ReleaseEntity, TenantEntity } from '#libs/db';
import { person, stackOf, testApi, type TestApi, type TestPerson } from '../support/api.js';

jest.setTimeout(60_000);

const NEXT = 'standard@1.1.0+00000001';
const AT = '/api/v1/operator/rollouts';

let t: TestApi;
let operator: TestPerson;
let slug: string;

beforeAll(async () => {
  t = await testApi();
  operator = await person(t, 'operator');
  const { stack } = await stackOf(t, await person(t));
  slug = stack.slug;
  const db = t.db.dataSource.manager;
  await db.query(`update operations set state = 'done', finished_at = now()`);
  await db.update(TenantEntity, { slug }, { observed: 'running' });
  const [first] = (await db.find(ReleaseEntity)) as [ReleaseEntity];
  const next = { id: NEXT, version: '1.1.0', createdAt: new Date(first.createdAt.getTime() + 1_000) };
  await db.insert(ReleaseEntity, Object.assign(new ReleaseEntity(), first, next) as object);
});
afterAll(() => t.close());

const post = (path: string, body: object, key?: string) =>
  t.http
    .post(`${AT}${path}`)
    .set({ ...operator.auth, ...(key === undefined ? {} : { 'Idempotency-Key': key }) })
    .send(body);

it('plans, starts once however often it is asked for with a key, reports, pauses, goes on and aborts', async () => {
  const plan = (await post('/plan', { release: NEXT }).expect(200)).body as RolloutPlan;
  expect(plan).toMatchObject({ release: NEXT, rings: [{ ring: 0, stacks: [slug] }], skipped: [], usualMs: null });
  expect(plan.settings).toMatchObject({
    canaryPercent: 5,
    waves: [25, 100],
    soakSeconds: 600,
    budgetPercent: 2,
    inARow: 3,
  });
  const unsure = (await post('', { release: NEXT, confirm: 'yes' }).expect(400)).body as ErrorBody;
  expect(unsure.details).toMatchObject({ fields: { confirm: [expect.stringContaining(NEXT)] } });
  const key = randomUUID();
  const body = { release: NEXT, confirm: NEXT, settings: { soakSeconds: 5 } };
  const started = (await post('', body, key).expect(202)).body as RolloutView;
  const again = await post('', body, key).expect(202);
  expect([again.body, again.headers['idempotency-replayed']]).toEqual([started, 'true']);
  expect((await post('', body).expect(409)).body).toMatchObject({ code: 'WRONG_STATE', details: { why: 'open' } });
  const list = (await t.http.get(AT).set(operator.auth).expect(200)).body as RolloutList;
  expect(list.items.map(({ id }) => id)).toEqual([started.id]);
  const report = (await t.http.get(`${AT}/${started.id}/stacks?state=waiting&limit=1`).set(operator.auth).expect(200))
    .body as RolloutReport;
  expect(report).toMatchObject({ items: [{ slug, ring: 0, state: 'waiting', operationId: null }], next: null });
  expect((await post(`/${started.id}/pause`, {}).expect(200)).body).toMatchObject({
    state: 'paused',
    waits: { for: 'operator' },
  });
  expect((await post(`/${started.id}/resume`, {}).expect(200)).body).toMatchObject({ state: 'running' });
  expect((await post(`/${started.id}/abort`, {}).expect(200)).body).toMatchObject({ state: 'aborted' });
  expect((await post(`/${started.id}/abort`, {}).expect(200)).body).toMatchObject({ state: 'aborted' });
  expect((await post(`/${started.id}/resume`, { acknowledge: true }).expect(409)).body).toMatchObject({
    details: { why: 'state', state: 'aborted' },
  });
});

it('refuses settings that make no rollout, by field', async () => {
  const wrong = [
    { waves: [50, 25, 100] },
    { waves: [50] },
    { canaryPercent: 0 },
    { inARow: 0 },
    { concurrency: 9 },
    { window: { from: '25:00', to: '01:00' } },
    { window: { from: '01:00', to: '01:00' } },
    { more: true },
  ];
  for (const settings of wrong) {
    const answer = await post('/plan', { release: NEXT, settings });
    expect([settings, answer.status, (answer.body as ErrorBody).code]).toEqual([settings, 400, 'VALIDATION_FAILED']);
  }
});
