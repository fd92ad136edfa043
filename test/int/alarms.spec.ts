import { verifyAudit } from '#libs/audit';
import type { Alarm, AlarmList, ErrorBody, PlanList } from '#libs/contracts';
import { createQueue, settleAlarms, type Finding, type Queue } from '#libs/jobs';
import { mailAlarms, OutboxService } from '#libs/support';
import { createLogger } from '#libs/telemetry';
import { expiryFindings } from '../../apps/agent/src/certificate-watch.js';
import { ProxyLook } from '../../apps/agent/src/proxy-look.js';
import { person, testApi, type TestApi, type TestPerson } from '../support/api.js';

/** Alarms as rows, as mails to operators and over the api; the minutes are the test's own. */
jest.setTimeout(60_000);

const PORTAL = 'https://aviary.localhost';
const start = new Date('2026-06-01T10:00:00Z').getTime();
const at = (minute: number): Date => new Date(start + minute * 60_000);
const finding = (change: Partial<Finding> = {}): Finding => ({
  key: 'duty/schedule/audit-seal',
  code: 'SCHEDULE_MISSED',
  severity: 'warning',
  message: 'The run of audit-seal was not begun: does a worker run?',
  params: {},
  ...change,
});

let t: TestApi;
let operator: TestPerson;
let queue: Queue;

beforeAll(async () => {
  t = await testApi();
  operator = await person(t, 'operator');
  queue = createQueue({ url: t.db.url, applicationName: 'test', logger: createLogger('test', 'silent') });
  await queue.start();
});
afterAll(async () => {
  await queue?.stop(1_000);
  await t?.close();
});
beforeEach(async () => {
  await t.db.dataSource.query('delete from alarms');
  await t.db.dataSource.query(`update accounts set role = case email when $1 then 'operator' else 'subscriber' end`, [
    operator.email,
  ]);
  await t.db.dataSource.query('delete from outbox_mails');
});

const settle = (findings: Finding[], minute: number) => settleAlarms(t.db.dataSource, 'duty', { findings }, at(minute));
const mail = (minute: number) =>
  mailAlarms(t.db.dataSource, new OutboxService({ database: t.db.dataSource, queue, now: () => at(minute) }), {
    portalUrl: PORTAL,
    now: at(minute),
  });
async function mails(): Promise<{ recipient: string; subject: string; text: string; at: Date }[]> {
  return t.db.dataSource.query(
    'select recipient, subject, text, created_at as at from outbox_mails order by created_at, recipient',
  );
}
const acknowledge = (key: string, who = operator) =>
  t.http.post('/api/v1/operator/alarms/acknowledge').send({ key }).set(who.auth);

describe('mails about alarms', () => {
  it('are one to each operator when an alarm is new, none with each look, and one when it is over', async () => {
    await person(t); // subscribers hear nothing of it
    const second = await person(t, 'operator');
    await t.db.dataSource.query('delete from outbox_mails');
    for (let minute = 0; minute < 20; minute += 1) {
      await settle([finding()], minute);
      await mail(minute);
    }
    const open = await mails();
    expect(open.map(({ recipient }) => recipient)).toEqual([operator.email, second.email].toSorted());
    expect(open[0]).toMatchObject({ subject: 'Alarm (warning): duty/schedule/audit-seal', at: at(0) });
    expect(open[0]?.text).toContain('was not begun: does a worker run?');
    expect(open[0]?.text).toContain(`${PORTAL}/console/alarms`);
    for (let minute = 20; minute < 60; minute += 1) {
      await settle([], minute);
      await mail(minute);
    }
    const over = (await mails()).slice(2);
    expect(over.map(({ subject, at: sent }) => [subject, sent])).toEqual([
      ['Over: duty/schedule/audit-seal', at(30)],
      ['Over: duty/schedule/audit-seal', at(30)],
    ]);
  });

  it('are no more than one while an alarm comes and goes for an hour, and one once it stays away', async () => {
    for (let minute = 0; minute < 60; minute += 1) {
      await settle(minute % 2 === 0 ? [finding()] : [], minute);
      await mail(minute);
    }
    expect(await mails()).toHaveLength(1);
    for (let minute = 60; minute < 90; minute += 1) {
      await settle([], minute);
      await mail(minute);
    }
    expect((await mails()).map(({ subject }) => subject)).toEqual([
      'Alarm (warning): duty/schedule/audit-seal',
      'Over: duty/schedule/audit-seal',
    ]);
  });

  it('gather what begins at once, and come again for what got worse', async () => {
    await settle([finding(), finding({ key: 'duty/queue/mail.send', code: 'QUEUE_STALLED' })], 0);
    await mail(0);
    await settle([finding({ severity: 'critical' }), finding({ key: 'duty/queue/mail.send' })], 1);
    await mail(1);
    expect((await mails()).map(({ subject }) => subject)).toEqual([
      '2 alarms (warning)',
      'Alarm (critical): duty/schedule/audit-seal',
    ]);
  });

  it('come again for a certificate with fewer days left, although somebody had acknowledged it, and not for more', async () => {
    const ends = (days: number): Finding[] =>
      expiryFindings({ portal: new Date(at(0).getTime() + (days - 0.5) * 86_400_000) }, 'acme', at(0));
    const told = async (days: number, minute: number): Promise<number> => {
      await settle(ends(days), minute);
      await mail(minute);
      return (await mails()).length;
    };
    const [{ key }] = ends(21) as [Finding];
    expect(await told(21, 0)).toBe(1);
    await acknowledge(key).expect(200);
    expect(await told(20, 1)).toBe(1);
    expect(await told(14, 2)).toBe(2);
    expect((await mails()).map(({ subject }) => subject)).toEqual(Array(2).fill(`Alarm (warning): ${key}`));
    await acknowledge(key).expect(200);
    expect(await told(20, 3)).toBe(2);
    expect(await told(7, 4)).toBe(3);
  });

  it('are written once, however many workers look at the same moment', async () => {
    await settle([finding()], 0);
    // each on a connection that is open already, so that none has finished before another begins
    await Promise.all(Array.from({ length: 6 }, () => t.db.dataSource.query('select pg_sleep(0.1)')));
    const told = await Promise.all(Array.from({ length: 6 }, () => mail(0)));
    expect(told.flatMap(({ open }) => open)).toEqual(['duty/schedule/audit-seal']);
    expect(await mails()).toHaveLength(1);
  });

  it('wait for the first operator', async () => {
    await settle([finding()], 0);
    await t.db.dataSource.query(`update accounts set role = 'subscriber' where email = $1`, [operator.email]);
    await mail(0);
    expect(await mails()).toEqual([]);
    await t.db.dataSource.query(`update accounts set role = 'operator' where email = $1`, [operator.email]);
    await mail(1);
    expect(await mails()).toHaveLength(1);
  });
});

describe('an alarm over the api', () => {
  const listed = async (): Promise<Alarm | undefined> =>
    ((await t.http.get('/api/v1/operator/alarms').set(operator.auth).expect(200)).body as AlarmList).items[0];

  it('is acknowledged once, in somebody’s name, and audited; it is no news then', async () => {
    const fresh = new Date();
    await settleAlarms(t.db.dataSource, 'duty', { findings: [finding()] }, fresh);
    expect(await listed()).toMatchObject({ acknowledgedAt: null, acknowledgedBy: null, mailedAt: null });
    const { key } = finding();
    const answer = (await acknowledge(key).expect(200)).body as Alarm;
    expect(answer).toMatchObject({ key, acknowledgedBy: operator.username });
    expect(((await acknowledge(key).expect(200)).body as Alarm).acknowledgedAt).toBe(answer.acknowledgedAt);
    const audited: { actor_name: string; target_id: string }[] = await t.db.dataSource.query(
      `select actor_name, target_id from audit_entries where action = 'alarm.acknowledge' and target_id = $1`,
      [key],
    );
    expect(audited).toEqual([{ actor_name: operator.username, target_id: key }]);
    expect((await verifyAudit(t.db.dataSource)).ok).toBe(true);
    await mail(0);
    expect(await mails()).toEqual([]);
    // The same again stays known; worse does not, nor what comes back.
    await settleAlarms(t.db.dataSource, 'duty', { findings: [finding()] }, new Date());
    expect(await listed()).toMatchObject({ acknowledgedBy: operator.username });
    await settleAlarms(t.db.dataSource, 'duty', { findings: [finding({ severity: 'critical' })] }, new Date());
    expect(await listed()).toMatchObject({ severity: 'critical', acknowledgedAt: null, acknowledgedBy: null });
    await acknowledge(key).expect(200);
    await settleAlarms(t.db.dataSource, 'duty', { findings: [] }, new Date());
    expect((await acknowledge(key)).status).toBe(409);
    await settleAlarms(t.db.dataSource, 'duty', { findings: [finding()] }, new Date());
    expect(await listed()).toMatchObject({ acknowledgedAt: null });
  });

  it('is nobody else’s, and one there is', async () => {
    const somebody = await person(t);
    await settleAlarms(t.db.dataSource, 'duty', { findings: [finding()] }, new Date());
    expect((await acknowledge(finding().key, somebody)).status).toBe(403);
    expect(await listed()).toMatchObject({ acknowledgedAt: null });
    const none = await acknowledge('duty/schedule/none');
    expect([none.status, (none.body as ErrorBody).code]).toEqual([404, 'NOT_FOUND']);
    expect((await acknowledge('')).status).toBe(400);
  });
});

describe('alarms about a proxy', () => {
  it('are each engine’s own: what one of them found is not over because another’s is well', async () => {
    const open = async (): Promise<string[]> =>
      (await t.db.dataSource.query<{ key: string }[]>('select key from alarms where ended_at is null')).map(
        ({ key }) => key,
      );
    const look = (engineId: string, found: Finding[]): Promise<void> =>
      new ProxyLook({
        dataSource: t.db.dataSource,
        engineId,
        canary: { sing: () => Promise.resolve(300) },
        truth: { turn: () => Promise.resolve(found) },
        certificates: { watch: { findings: () => Promise.resolve([]) }, domains: { findings: () => [] } },
        wasLive: () => undefined,
        logger: createLogger('test', 'silent'),
        now: () => at(0),
      }).turn();
    const silent = finding({
      key: 'proxy/silent',
      code: 'PROXY_MISMATCH',
      severity: 'critical',
      message: 'It is away.',
    });
    await expect(look('north', [silent])).rejects.toThrow('It is away.');
    await look('south', []);
    expect(await open()).toEqual(['proxy/north/silent']);
    await look('north', []);
    expect(await open()).toEqual([]);
  });
});

describe('plans over the api', () => {
  it('are listed for operators, cheapest first, with the limits a stack gets', async () => {
    const { items } = (await t.http.get('/api/v1/operator/plans').set(operator.auth).expect(200)).body as PlanList;
    const rows: { code: string; limits: object }[] = await t.db.dataSource.query(
      'select code, limits from plans order by position',
    );
    expect(items.length).toBeGreaterThan(1);
    expect(items.map(({ code, limits }) => ({ code, limits }))).toEqual(rows);
    const somebody = await person(t);
    expect((await t.http.get('/api/v1/operator/plans').set(somebody.auth)).status).toBe(403);
  });
});
