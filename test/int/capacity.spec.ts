import { randomUUID } from 'node:crypto';
import type { Accepted, CapacityView, ErrorBody } from '#libs/contracts';
import { edgeCount, tenantSubnetCount, parsePool } from '#libs/tenants';
import { person, stackOf, testApi, type TestApi, type TestPerson } from '../support/api.js';

/** The smallest there may be. */
const POOL = '10.128.0.0/17';

let t: TestApi;
let owner: TestPerson;
let operator: TestPerson;
beforeAll(async () => {
  t = await testApi({ AVIARY_ADDRESS_POOL: POOL });
  owner = await person(t);
  operator = await person(t, 'operator');
  await t.db.dataSource.query(`update plans set stacks = 1000 where code = 'premium'`);
  await t.db.dataSource.query(`update accounts set plan_id = (select id from plans where code = 'premium')`);
});
afterAll(() => t.close());
afterEach(async () => {
  await t.db.dataSource.query('delete from operations');
  await t.db.dataSource.query('delete from tenants');
});

const LARGE = { memoryMb: 1_000_000, cpus: 1_000 };
const capacity = (change: object): Promise<unknown> =>
  t.db.dataSource.query(`update engines set capacity = $1`, [JSON.stringify({ ...LARGE, ...change })]);
const create = (who = owner) => t.http.post('/api/v1/stacks').set(who.auth).send({});
const finish = (operationId: string): Promise<unknown> =>
  t.db.dataSource.query(`update operations set state = 'done', finished_at = now() where id = $1`, [operationId]);

/** Every row there is, by table: what a refused request must leave as it was. */
async function rows(): Promise<unknown> {
  const tables = [
    'tenants',
    'operations',
    'operation_steps',
    'tenant_subnets',
    'edge_slots',
    'hostnames',
    'pgboss.job',
  ];
  const counts = await Promise.all(
    tables.map((table) => t.db.dataSource.query(`select '${table}' as what, count(*) from ${table}`)),
  );
  return counts.flat();
}

/** That many networks are taken, each by a stack that is like a real one in the portal's rows. */
async function takeSubnets(count: number): Promise<void> {
  const { stack, operation } = await stackOf(t, owner);
  await finish(operation.id);
  await t.db.dataSource.query(
    `insert into tenants
     select (jsonb_populate_record(one, jsonb_build_object('id', gen_random_uuid(),
              'slug', 'u' || translate(lpad(n::text, 6, '0'), '0123456789', 'abcdefghij')))).*
       from tenants as one, generate_series(2, $1::int) as n`,
    [count],
  );
  await t.db.dataSource.query(
    `insert into tenant_subnets (engine_id, subnet, tenant_id)
     select engine_id, row_number() over (), id from tenants where id <> $1`,
    [stack.id],
  );
}

it('FM-1 with every network taken a stack is refused in words, and nothing of it is made', async () => {
  await capacity({});
  const all = tenantSubnetCount(parsePool(POOL));
  await takeSubnets(all - 1);
  // the last one is still given
  const last = (await create().expect(202)).body as Accepted;
  await finish(last.operation.id);
  const before = await rows();
  const answer = await create().expect(503);
  expect(answer.body as ErrorBody).toMatchObject({
    code: 'NO_CAPACITY',
    message: expect.stringContaining(`of its ${all} subnets`),
    details: { engine: 'local', resource: 'subnets', unit: 'subnets', used: all, limit: all, needed: 1 },
  });
  expect((answer.body as ErrorBody).details['todo']).toEqual(expect.stringMatching(/another host/));
  expect(await rows()).toEqual(before);
  // and one that goes makes room
  await t.db.dataSource.query('delete from tenant_subnets where subnet = 7');
  await create().expect(202);
});

it('FM-2 a second edge bridge is used when the first has as many ports as it may, and none is overfilled', async () => {
  await capacity({ edgePorts: 2 });
  for (let made = 0; made < 5; made += 1) {
    await finish((await stackOf(t, owner)).operation.id);
  }
  const edges: { edge: number; slot: number }[] = await t.db.dataSource.query(
    'select edge, slot from edge_slots order by edge, slot',
  );
  expect(edges.map(({ edge, slot }) => [edge, slot])).toEqual([
    [0, 0],
    [0, 1],
    [1, 0],
    [1, 1],
    [2, 0],
  ]);
  await t.db.dataSource.query(
    `insert into edge_slots (engine_id, edge, slot, tenant_id, service)
     select 'local', e, s, t.id, e || '-' || s
       from (select id from tenants limit 1) as t, generate_series(0, $1::int - 1) as e, generate_series(0, 1) as s
         on conflict (engine_id, edge, slot) do nothing`,
    [edgeCount()],
  );
  const full = await create().expect(503);
  expect((full.body as ErrorBody).details).toMatchObject({ resource: 'edgePorts', used: 30, limit: 30, needed: 1 });
});

it('FM-27 with less free disk than must stay free no stack is placed, and one that is there still starts', async () => {
  const disk = { totalMb: 100_000, freeMb: 2_000 };
  await capacity({});
  const { stack, operation } = await stackOf(t, owner);
  await finish(operation.id);
  const { operation: stop } = (await t.http.post(`/api/v1/stacks/${stack.slug}/stop`).set(owner.auth).expect(202))
    .body as Accepted;
  await finish(stop.id);
  await capacity({ disk, diskFloorMb: 2_000 });
  const answer = await create().expect(503);
  expect((answer.body as ErrorBody).details).toMatchObject({ resource: 'diskFree', used: 98_000, limit: 98_000 });
  await t.http.post(`/api/v1/stacks/${stack.slug}/start`).set(owner.auth).expect(202);
  await capacity({ disk: { ...disk, freeMb: 2_001 }, diskFloorMb: 2_000 });
  await create().expect(202);
});

it('a start that would promise more than the host has is refused; what runs is left alone', async () => {
  // two premium stacks of 4 096 MiB
  await capacity({ memoryMb: 8_192, overcommit: { memory: 1, cpu: 64, disk: 10, pids: 4 } });
  const first = await stackOf(t, owner);
  await finish(first.operation.id);
  const { slug } = first.stack;
  await finish(((await t.http.post(`/api/v1/stacks/${slug}/stop`).set(owner.auth)).body as Accepted).operation.id);
  for (let made = 0; made < 2; made += 1) {
    await finish((await stackOf(t, owner)).operation.id);
  }
  const before = await rows();
  const refused = await t.http.post(`/api/v1/stacks/${slug}/start`).set(owner.auth).expect(503);
  expect((refused.body as ErrorBody).details).toMatchObject({
    resource: 'memory',
    used: 8_192,
    limit: 8_192,
    needed: 4_096,
  });
  expect(await rows()).toEqual(before);
  await t.http.post(`/api/v1/stacks/${slug}/restart`).set(owner.auth).expect(503);
  const [desired] = await t.db.dataSource.query('select desired from tenants where slug = $1', [slug]);
  expect(desired).toEqual({ desired: 'stopped' });
});

it('what is to stop keeps its room until it did: a stop that is taken back needs no more than there is', async () => {
  await capacity({ memoryMb: 8_192, overcommit: { memory: 1, cpu: 64, disk: 10, pids: 4 } });
  const first = await stackOf(t, owner);
  await finish(first.operation.id);
  await finish((await stackOf(t, owner)).operation.id);
  const stop = (await t.http.post(`/api/v1/stacks/${first.stack.slug}/stop`).set(owner.auth)).body as Accepted;
  const refused = await create().expect(503);
  expect((refused.body as ErrorBody).details).toMatchObject({ resource: 'memory', used: 8_192, limit: 8_192 });
  await t.http.post(`/api/v1/operations/${stop.operation.id}/cancel`).set(owner.auth).expect(200);
  const again = (await t.http.post(`/api/v1/stacks/${first.stack.slug}/stop`).set(owner.auth)).body as Accepted;
  await finish(again.operation.id);
  await create().expect(202);
});

it('a resize that would promise more than the host has is refused and changes no limit; a smaller one is not', async () => {
  const { stack, operation } = await stackOf(t, owner);
  await finish(operation.id);
  await capacity({ memoryMb: 4_096, overcommit: { memory: 1, cpu: 64, disk: 10, pids: 4 } });
  const to = (plan: string) => t.http.post(`/api/v1/stacks/${stack.slug}/resize`).set(operator.auth).send({ plan });
  await finish(((await to('basic').expect(202)).body as Accepted).operation.id);
  await capacity({ memoryMb: 4_000, overcommit: { memory: 1, cpu: 64, disk: 10, pids: 4 } });
  const before = await rows();
  const refused = await to('premium').expect(503);
  expect((refused.body as ErrorBody).details).toMatchObject({
    resource: 'memory',
    used: 768,
    limit: 4_000,
    needed: 3_328,
  });
  expect(await rows()).toEqual(before);
  const [limits] = await t.db.dataSource.query(`select limits->>'memoryMb' as memory from tenants`);
  expect(limits).toEqual({ memory: '768' });
});

it('of many creations at once exactly as many pass as there is room for', async () => {
  await capacity({ memoryMb: 3 * 4_096, overcommit: { memory: 1, cpu: 64, disk: 10, pids: 4 } });
  // Of two people: an account's own requests wait for each other anyway.
  const answers = await Promise.all(
    Array.from({ length: 8 }, (_, at) =>
      create(at % 2 === 0 ? owner : operator).set({ 'idempotency-key': randomUUID() }),
    ),
  );
  expect(answers.filter(({ status }) => status === 202)).toHaveLength(3);
  expect(answers.filter(({ status }) => status === 503)).toHaveLength(5);
});

it('operators read what is promised and what makes room; nobody else does', async () => {
  await capacity({ memoryMb: 10_000, overcommit: { memory: 1, cpu: 64, disk: 10, pids: 4 } });
  await stackOf(t, owner);
  await stackOf(t, owner);
  const { body } = await t.http.get('/api/v1/operator/capacity').set(operator.auth).expect(200);
  const [engine] = (body as CapacityView).engines;
  expect(engine).toMatchObject({ engine: 'local', level: 'warn' });
  expect(engine?.items[0]).toMatchObject({ resource: 'memory', used: 8_192, limit: 10_000, level: 'warn' });
  expect(engine?.items[0]?.todo).toContain('AVIARY_OVERCOMMIT_MEMORY');
  await t.http.get('/api/v1/operator/capacity').set(owner.auth).expect(403);
});
