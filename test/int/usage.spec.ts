import type { HostUsage, StackUsage, UsageRange } from '#libs/contracts';
import { pruneUsage, recordUsage, type EngineSample, type UsageSample } from '#libs/tenants';
import { person, stackOf, testApi, type TestApi, type TestPerson } from '../support/api.js';

jest.setTimeout(60_000);

const MIB = 1024 ** 2;
const MINUTE = 60_000;
const ENGINE: EngineSample = {
  cpu: 1.2,
  cores: 2,
  memoryBytes: 900,
  memoryTotalBytes: 1_000,
  diskBytes: 50,
  diskTotalBytes: 100,
  receivedBytes: 10,
  sentBytes: 20,
};

let t: TestApi;
let owner: TestPerson;
let stack: { id: string; slug: string };
/** The services read the real clock, so the samples are of the time before now. */
let now = new Date();
const ago = (minutes: number): Date => new Date(now.getTime() - minutes * MINUTE);

const sample = (tenantId: string, more: Partial<UsageSample> = {}): UsageSample => ({
  tenantId,
  cpu: 0.25,
  memoryBytes: 100 * MIB,
  diskBytes: null,
  receivedBytes: 1_000,
  sentBytes: 500,
  services: [
    { service: 'runtime', cpu: 0.2, memoryBytes: 90 * MIB, memoryLimitBytes: 400 * MIB, oomKills: 1, pids: 9 },
  ],
  ...more,
});
const record = (at: Date, ...stacks: UsageSample[]): Promise<void> =>
  recordUsage(t.db.dataSource, { engineId: 'local', at, stacks, engine: ENGINE });

const usage = async (range: UsageRange, who = owner, of = stack.slug): Promise<StackUsage> =>
  (await t.http.get(`/api/v1/stacks/${of}/usage`).query({ range }).set(who.auth).expect(200)).body as StackUsage;

async function freshStack(): Promise<{ id: string; slug: string }> {
  const { stack: made, operation } = await stackOf(t, owner);
  await t.db.dataSource.query(`update operations set state = 'done', finished_at = now() where id = $1`, [
    operation.id,
  ]);
  return made;
}

beforeAll(async () => {
  t = await testApi();
  owner = await person(t);
  await t.db.dataSource.query(`update plans set stacks = 1000 where code = 'premium'`);
  await t.db.dataSource.query(`update accounts set plan_id = (select id from plans where code = 'premium')`);
});
beforeEach(async () => {
  now = new Date();
  await t.db.dataSource.query('delete from tenant_usage');
  await t.db.dataSource.query('delete from engine_usage');
  stack = await freshStack();
});
afterAll(() => t.close());

describe('usage of a stack', () => {
  it('is nothing before anything was measured', async () => {
    expect(await usage('day')).toMatchObject({ points: [], latest: null, services: [], alerts: [], growth: [] });
  });

  it('is one statement for all stacks, and none for a stack that is gone', async () => {
    const second = await freshStack();
    await record(
      ago(1),
      sample(stack.id),
      sample(second.id, { cpu: null }),
      sample('0190a000-0000-7000-8000-00000000dead'),
    );
    const rows: { n: number }[] = await t.db.dataSource.query(
      'select count(*)::int as n from tenant_usage where step_seconds = 60',
    );
    expect(rows).toEqual([{ n: 2 }]);
    expect((await usage('hour', owner, second.slug)).latest).toMatchObject({ cpu: null, memoryBytes: 100 * MIB });
    const { latest, services, limits, stepSeconds } = await usage('hour');
    expect(latest).toMatchObject({ cpu: 0.25, memoryBytes: 100 * MIB, receivedBytes: 1_000, sentBytes: 500 });
    expect(services).toEqual(sample('').services);
    expect(limits.memoryBytes).toBeGreaterThan(100 * MIB);
    expect(stepSeconds).toBe(60);
  });

  it('grows coarser with its age and loses no byte of traffic and no peak of memory on the way', async () => {
    for (let minutes = 130; minutes >= 1; minutes -= 1) {
      await record(
        ago(minutes),
        sample(stack.id, { cpu: minutes % 2, memoryBytes: (minutes === 77 ? 300 : 100) * MIB }),
      );
    }
    for (const [range, points] of [
      ['day', 26],
      ['month', 2],
    ] as const) {
      const seen = await usage(range);
      expect(seen.points.length).toBeGreaterThanOrEqual(points);
      expect(seen.points.reduce((sum, { receivedBytes }) => sum + (receivedBytes ?? 0), 0)).toBe(130 * 1_000);
      expect(Math.max(...seen.points.map(({ memoryMaxBytes }) => memoryMaxBytes))).toBe(300 * MIB);
      for (const { cpu } of seen.points) {
        expect(cpu).toBeGreaterThanOrEqual(0);
        expect(cpu).toBeLessThanOrEqual(1);
      }
    }
    expect((await usage('hour')).points.length).toBeLessThanOrEqual(60);
  });

  it('counts a pass once, however often the spans are made anew', async () => {
    await record(ago(3), sample(stack.id));
    await record(ago(2), sample(stack.id));
    await record(ago(1), sample(stack.id));
    const sum = async (range: UsageRange): Promise<number> =>
      (await usage(range)).points.reduce((total, { sentBytes }) => total + (sentBytes ?? 0), 0);
    expect(await sum('hour')).toBe(1_500);
    expect(await sum('day')).toBe(1_500);
    expect(await sum('month')).toBe(1_500);
  });

  it('keeps the disk between its rarer measurements and says what is near its limit', async () => {
    const { limits } = await usage('hour');
    await record(ago(14), sample(stack.id, { diskBytes: Math.ceil(limits.diskBytes * 0.81) }));
    for (let minutes = 5; minutes >= 1; minutes -= 1) {
      await record(
        ago(minutes - 0.5),
        sample(stack.id, {
          cpu: limits.cpus,
          services: [{ ...(sample('').services[0] ?? never()), memoryBytes: 385 * MIB }],
        }),
      );
    }
    const seen = await usage('hour');
    expect(seen.latest?.diskBytes).toBe(Math.ceil(limits.diskBytes * 0.81));
    expect(seen.alerts).toEqual([
      { resource: 'cpu', level: 'bad', percent: 100, service: null },
      { resource: 'memory', level: 'bad', percent: 96, service: 'runtime' },
      { resource: 'disk', level: 'warn', percent: 81, service: null },
    ]);
  });

  it('is silent about a burst of one minute, and about now when nothing came for five minutes', async () => {
    const { limits } = await usage('hour');
    await record(ago(4), sample(stack.id));
    await record(ago(1), sample(stack.id, { cpu: limits.cpus }));
    expect((await usage('hour')).alerts).toEqual([]);
    const other = await freshStack();
    await record(ago(6), sample(other.id));
    expect(await usage('hour', owner, other.slug)).toMatchObject({ latest: null, services: [], alerts: [] });
    expect((await usage('hour', owner, other.slug)).points).toHaveLength(1);
  });

  it('FM-30 tells of a service whose memory only grows, and when it meets its limit', async () => {
    for (let minutes = 150; minutes >= 1; minutes -= 1) {
      const bytes = (300 - minutes) * MIB;
      await record(
        ago(minutes),
        sample(stack.id, { services: [{ ...(sample('').services[0] ?? never()), memoryBytes: bytes }] }),
      );
    }
    expect((await usage('day')).growth).toEqual([{ service: 'runtime', bytesPerHour: 60 * MIB, hoursLeft: 1.7 }]);
  });

  it('is kept for a day by the minute, two weeks by five minutes and a year by the hour', async () => {
    const insert = (step: number, days: number): Promise<unknown> =>
      t.db.dataSource.query(
        `insert into tenant_usage (tenant_id, step_seconds, at, memory_bytes, memory_max_bytes)
         values ($1, $2, $3::timestamptz - make_interval(hours => $4), 1, 1)`,
        [stack.id, step, now, Math.round(days * 24)],
      );
    const kept = [
      [60, 0.9],
      [300, 13.9],
      [3_600, 365],
    ] as const;
    for (const [step, days] of kept) {
      await insert(step, days);
      await insert(step, days + 1.5);
    }
    expect(await pruneUsage(t.db.dataSource, now)).toBe(3);
    const rows: { step: number; hours: number }[] = await t.db.dataSource.query(
      `select step_seconds as step, round(extract(epoch from $1::timestamptz - at) / 3600)::int as hours from tenant_usage order by 1`,
      [now],
    );
    expect(rows).toEqual(kept.map(([step, days]) => ({ step, hours: Math.round(days * 24) })));
    expect(await pruneUsage(t.db.dataSource, now)).toBe(0);
  });

  it('is its owner’s and the operators’, and nobody else’s', async () => {
    await record(ago(1), sample(stack.id));
    const stranger = await person(t);
    await t.http.get(`/api/v1/stacks/${stack.slug}/usage`).set(stranger.auth).expect(404);
    await t.http.get(`/api/v1/stacks/${stack.slug}/usage`).query({ range: 'ever' }).set(owner.auth).expect(400);
    await t.http.get('/api/v1/operator/hosts/usage').set(stranger.auth).expect(403);
    const operator = await person(t, 'operator');
    expect((await usage('hour', operator)).latest?.cpu).toBe(0.25);
    const hosts = (
      await t.http.get('/api/v1/operator/hosts/usage').query({ range: 'hour' }).set(operator.auth).expect(200)
    ).body as HostUsage;
    expect(hosts.items).toMatchObject([
      {
        engine: 'local',
        limits: { cpus: 2, memoryBytes: 1_000, diskBytes: 100 },
        latest: { cpu: 1.2, memoryBytes: 900, diskBytes: 50 },
        alerts: [{ resource: 'memory', level: 'warn', percent: 90, service: null }],
      },
    ]);
  });
});

function never(): never {
  throw new Error('the sample has a service');
}
