import { settleAlarms } from '#libs/jobs';
import { recordUsage } from '#libs/tenants';
import { aviary, document, environment, twoPeople } from '../support/cli.js';
import { engineFigures, engineWithAgents, OWNER, STANDS_BY } from '../support/engine-rows.js';
import { testDatabase, type TestDatabase } from '../support/postgres.js';

// Several test files and an engine may share two cores.
jest.setTimeout(60_000);

/** Commands that tell how the platform is: recurring work, alarms, room, use. */
describe('aviary', () => {
  let db: TestDatabase;
  let env: Record<string, string>;
  beforeAll(async () => {
    db = await testDatabase();
    env = environment(db);
    await twoPeople(db);
  });
  afterAll(() => db.close());

  it('FM-11 lists recurring work, and ends with 8 where a run was missed', async () => {
    const fresh = await testDatabase();
    try {
      const of = environment(fresh);
      const calm = document(await aviary(of, ['schedule', 'list', '--json']));
      expect([calm['ok'], calm.data]).toMatchObject([true, { schedules: [], queues: [], failedLastDay: 0 }]);
      const ago = new Date(Date.now() - 86_400_000);
      await fresh.dataSource.query(
        `insert into schedules (name, cron, job, grace_seconds, created_at) values ('x', '* * * * *', 'audit.seal', 60, $1)`,
        [ago],
      );
      const ran = await aviary(of, ['schedule', 'list', '--json']);
      expect(ran.code).toBe(8);
      expect(document(ran)).toMatchObject({ ok: false, data: { schedules: [{ name: 'x', state: 'missed' }] } });
      const human = await aviary(of, ['schedule', 'list']);
      expect([human.code, human.stdout]).toEqual([8, expect.stringMatching(/x +missed/)]);
      expect(human.stderr).toContain('Not done: x.');
      expect(document(await aviary(of, ['alarm', 'list', '--json'])).data).toEqual({ items: [], next: null });
    } finally {
      await fresh.close();
    }
  });

  it('lists alarms, ends with 8 until the critical one is acknowledged, and lists plans', async () => {
    const key = 'duty/queue/mail.send';
    const finding = { key, code: 'QUEUE_STALLED', severity: 'critical', message: 'Jobs wait.', params: {} } as const;
    await settleAlarms(db.dataSource, 'duty', { findings: [finding] }, new Date());
    const open = document(await aviary(env, ['alarm', 'list', '--json']));
    expect(open).toMatchObject({ ok: false, exit: 8, data: { items: [{ key }], next: null } });
    const told = await aviary(env, ['alarm', 'list']);
    expect([told.code, told.stdout]).toEqual([8, expect.stringMatching(/duty\/queue\/mail\.send +critical/)]);
    expect(told.stderr).toContain(`Critical: ${key}.`);
    const known = document(await aviary(env, ['alarm', 'acknowledge', key, '--json']));
    expect(known).toMatchObject({ ok: true, schema: 'aviary/alarm/1', data: { key, acknowledgedBy: 'olga' } });
    const acknowledged = await aviary(env, ['alarm', 'list']);
    expect([acknowledged.code, acknowledged.stdout]).toEqual([
      0,
      expect.stringMatching(/duty\/queue\/mail\.send +critical .+ olga +Jobs wait\./),
    ]);
    const lesser = { ...finding, key: 'duty/queue/x', severity: 'warning' } as const;
    await settleAlarms(db.dataSource, 'duty', { findings: [lesser] }, new Date());
    expect((await aviary(env, ['alarm', 'list'])).code).toBe(0);
    expect((await aviary(env, ['alarm', 'acknowledge', 'duty/none'])).code).toBe(3);
    const plans = document(await aviary(env, ['plan', 'list', '--json'])) as { data: { items: { code: string }[] } };
    expect(plans.data.items.map(({ code }) => code)).toContain('pro');
  });

  it('shows what hosts have, what is promised and what makes room, and ends with 8 where one is all but gone', async () => {
    await db.dataSource.query(
      `insert into engines values ('h1', 'docker', '{"memoryMb": 8192, "cpus": 4}', now(), now())`,
    );
    const json = await aviary(env, ['capacity', '--json']);
    expect(document(json)).toMatchObject({
      schema: 'aviary/capacity/1',
      exit: 0,
      data: {
        engines: [{ engine: 'h1', items: expect.arrayContaining([expect.objectContaining({ resource: 'subnets' })]) }],
      },
    });
    const table = await aviary(env, ['capacity']);
    expect(table.stdout.split('\n')[0]).toMatch(/^ENGINE +RESOURCE +STATE +USED +PROMISED +TODO +SEEN$/);
    expect(table.stdout).toMatch(/^h1 +pids +unknown +0 processes +\d{4}-\d\d-\d\dT[\d:.]+Z$/m);
    const plain = (await aviary(env, ['capacity', '--plain'])).stdout.split('\n')[0]?.split('\t');
    expect(plain?.slice(0, 3)).toEqual(['h1', 'memory', 'ok']);
    expect((await aviary(env, ['capacity', '--as', 'ana'])).code).toBe(4);
    await db.dataSource.query(
      `update engines set capacity = capacity || '{"disk": {"totalMb": 100000, "freeMb": 2100}, "diskFloorMb": 2048}'`,
    );
    expect(document(await aviary(env, ['capacity', '--json']))).toMatchObject({
      ok: false,
      exit: 8,
      data: { engines: [{ engine: 'h1', level: 'bad' }] },
    });
    const full = await aviary(env, ['capacity']);
    expect([full.code, full.stdout]).toEqual([8, expect.stringMatching(/^h1 +diskFree +bad/m)]);
    expect(full.stderr).toContain('Runs out: diskFree of h1.');
  });

  it('shows the fleet and its engines with the time of each figure, and ends with 8 where somebody has to see to it', async () => {
    const fresh = await testDatabase();
    try {
      const of = environment(fresh);
      await twoPeople(fresh);
      const none = document(await aviary(of, ['fleet', 'show', '--json']));
      expect(none).toMatchObject({ schema: 'aviary/fleet/1', ok: true, exit: 0, data: { engines: [] } });
      const figures = engineFigures();
      await engineWithAgents(fresh.dataSource, 'h1', figures);
      expect(document(await aviary(of, ['fleet', 'show', '--json']))).toMatchObject({
        ok: true,
        data: {
          stacks: { total: 0 },
          engines: [{ engine: 'h1', lease: { owner: OWNER, held: true }, standBy: [{ owner: STANDS_BY }], figures }],
        },
      });
      const told = await aviary(of, ['fleet', 'show']);
      expect([told.code, told.stdout.split('\n')[0]]).toEqual([0, expect.stringMatching(/^OF +FIGURE +VALUE +AS OF$/)]);
      const plain = (await aviary(of, ['fleet', 'show', '--plain'])).stdout.split('\n').map((line) => line.split('\t'));
      const line = (figure: string) => plain.find(([whose, what]) => whose === 'h1' && what === figure)?.slice(2);
      expect(line('worked on by')?.[0]).toBe(OWNER);
      expect(line('stands by')?.[0]).toBe(STANDS_BY);
      expect(line('last whole pass')).toEqual(['1.8 s over 412 stacks', figures.at]);
      expect(line('reconcile lag')).toEqual(['42.0 s', figures.at]);
      expect(line('routes served')).toEqual(['412 of 412', figures.at]);
      expect(line('proxy repaired')).toEqual(['3 by files, 1 by a restart', figures.at]);
      expect(line('new route live')).toEqual(['after 340 ms', figures.at]);
      expect(line('orders left for portal')?.[0]).toBe('3 of 4 in a week, 4 of 4 failed ones in half a day');
      expect(line('orders left for domains')).toEqual(['198 of 200 in three hours', figures.at]);
      expect((await aviary(of, ['fleet', 'show', '--as', 'ana'])).code).toBe(4);
      const at = figures.at;
      await engineWithAgents(fresh.dataSource, 'h1', engineFigures({ routes: { at, rendered: 412, served: 411 } }));
      const less = await aviary(of, ['fleet', 'show']);
      expect([less.code, less.stdout]).toEqual([8, expect.stringMatching(/^h1 +routes served +411 of 412/m)]);
      expect(less.stderr).toContain('h1: its proxy does not serve every route');
      await fresh.dataSource.query(`update engines set seen_at = now() - interval '1 minute', figures = null`);
      const silent = document(await aviary(of, ['fleet', 'show', '--json']));
      expect(silent).toMatchObject({ ok: false, exit: 8, data: { engines: [{ figures: null }] } });
      expect(silent.error).toMatchObject({ message: expect.stringContaining('h1: its agent says nothing') as string });
    } finally {
      await fresh.close();
    }
  });

  it('shows what hosts use over time, and to operators alone', async () => {
    const fresh = await testDatabase();
    try {
      const of = environment(fresh);
      await twoPeople(fresh);
      const none = await aviary(of, ['host', 'usage']);
      expect([none.code, none.stdout]).toEqual([0, expect.stringContaining('no host was ever seen')]);
      await fresh.dataSource.query(
        `insert into engines values ('h1', 'docker', '{"memoryMb": 1000, "cpus": 2}', now(), now())`,
      );
      expect((await aviary(of, ['host', 'usage'])).stdout).toBe('h1  nothing was measured in this day\n');
      const engine = {
        cpu: 0.5,
        cores: 2,
        memoryBytes: 900 * 1024 ** 2,
        memoryTotalBytes: 1_000 * 1024 ** 2,
        diskBytes: 1024 ** 2,
        diskTotalBytes: 2 * 1024 ** 2,
        receivedBytes: 1024 ** 2,
        sentBytes: 0,
      };
      const now = Date.now();
      for (const minutes of [3, 2, 1]) {
        const at = new Date(now - minutes * 60_000);
        await recordUsage(fresh.dataSource, { engineId: 'h1', at, stacks: [], engine });
      }
      const use = document(await aviary(of, ['host', 'usage', '--range', 'hour', '--json']));
      expect(use).toMatchObject({
        schema: 'aviary/host-usage/1',
        exit: 0,
        data: {
          items: [
            {
              engine: 'h1',
              range: 'hour',
              limits: { cpus: 2, memoryBytes: engine.memoryTotalBytes },
              latest: { memoryBytes: engine.memoryBytes },
              alerts: [{ resource: 'memory', level: 'warn', percent: 90 }],
            },
          ],
        },
      });
      expect((use.data as { items: { points: unknown[] }[] }).items[0]?.points).toHaveLength(3);
      const lines = (await aviary(of, ['host', 'usage', '--range', 'hour'])).stdout.split('\n');
      expect(lines).toEqual([
        expect.stringMatching(/^h1 {2}measured 2/),
        'cpu      0.500 of 2 cores',
        'memory   900.0 MiB of 1000.0 MiB (90.0 %)',
        'disk     1.0 MiB of 2.0 MiB',
        'in this hour: 0.500 cores on average, at most 900.0 MiB memory, 3.0 MiB received, 0.0 MiB sent',
        '! memory at 90 % of its limit',
        '',
      ]);
      expect((await aviary(of, ['host', 'usage', '--as', 'ana'])).code).toBe(4);
      expect((await aviary(of, ['host', 'usage', '--range', 'decade'])).code).toBe(2);
    } finally {
      await fresh.close();
    }
  });
});
