import { spawn, type ChildProcess } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { waitFor } from '#libs/async';
import { appendAudit, verifyAudit } from '#libs/audit';
import { newId, OutboxMailEntity, ScheduleTickEntity, tx } from '#libs/db';
import {
  cleanTicks,
  createQueue,
  DutyWatch,
  handler,
  listAlarms,
  notingRuns,
  readDuties,
  Scheduler,
  type Schedule,
} from '#libs/jobs';
import { OutboxService } from '#libs/support';
import { createLogger } from '#libs/telemetry';
import { bootWorker } from '../../apps/worker/src/boot.js';
import { startHealthServer } from '../../apps/worker/src/health.server.js';
import { DutyMissed } from '../../apps/worker/src/worker.lifecycle.js';
import { SCHEDULES } from '../../apps/worker/src/schedules.js';
import { accountServices, PASSWORD, SYSTEM } from '../support/accounts.js';
import { freePort } from '../support/ports.js';
import { testDatabase, type TestDatabase } from '../support/postgres.js';
import { withResolver } from '../support/runtime.js';
import { program } from '../support/program.js';

// Several test files and an engine may share two cores.
jest.setTimeout(60_000);

const logger = createLogger('test', 'silent');
const byKey = (a: { key: string }, b: { key: string }): number => a.key.localeCompare(b.key);

describe('worker', () => {
  let db: TestDatabase;
  const children: ChildProcess[] = [];
  const ends: (() => Promise<void>)[] = [];
  beforeEach(async () => {
    db = await testDatabase();
  });
  afterEach(async () => {
    children.splice(0).forEach((child) => child.kill('SIGKILL'));
    for (const end of ends.splice(0)) {
      await end();
    }
    await db.close();
  });

  const environment = (extra: Record<string, string> = {}): Record<string, string> => ({
    AVIARY_ENV: 'test',
    AVIARY_LOG_LEVEL: 'info',
    AVIARY_PLATFORM_ID: db.platformId,
    AVIARY_DATABASE_URL: db.url,
    AVIARY_WORKER_HEALTH_PORT: '1',
    ...extra,
  });

  interface Child {
    process: ChildProcess;
    lines: Record<string, unknown>[];
  }
  function start(env: Record<string, string>, before: readonly string[] = []): Child {
    const [command = process.execPath, ...words] = [...before, process.execPath, ...program('apps/worker/src/main.ts')];
    const child = spawn(command, words, { env, stdio: ['ignore', 'pipe', 'inherit'] });
    children.push(child);
    const lines: Record<string, unknown>[] = [];
    createInterface({ input: child.stdout }).on('line', (line) =>
      lines.push(JSON.parse(line) as Record<string, unknown>),
    );
    return { process: child, lines };
  }
  const saw = (child: Child, msg: string) =>
    waitFor(() => child.lines.find((line) => line['msg'] === msg), { what: msg, deadlineMs: 30_000 });

  it('does its jobs, keeps mails where no server is set, and leaves cleanly on SIGTERM', async () => {
    const port = await freePort();
    const worker = start(environment({ AVIARY_WORKER_HEALTH_PORT: String(port) }));
    await saw(worker, 'worker runs');
    expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200);
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(404);
    const queue = createQueue({ url: db.url, applicationName: 'test', logger });
    await queue.start();
    const outbox = new OutboxService({ database: db.dataSource, queue, now: () => new Date() });
    await tx(db.dataSource, async (inTx) => {
      await outbox.put(inTx, 'ana@example.org', { subject: 's', text: 't', html: 'h' });
      await appendAudit(inTx, { actor: { kind: 'system', name: 't' }, action: 'x.y', target: { kind: 'x', id: '1' } });
      await queue.enqueue(inTx, 'audit.seal', {});
      await queue.enqueue(inTx, 'sessions.clean', {});
    });
    await waitFor(
      async () => (await db.dataSource.getRepository(OutboxMailEntity).findOneBy({ state: 'kept' })) ?? undefined,
      {
        what: 'the mail',
        deadlineMs: 10_000,
      },
    );
    await saw(worker, 'audit entries sealed');
    await saw(worker, 'ended sessions and old tokens removed');
    expect(await verifyAudit(db.dataSource)).toMatchObject({ ok: true, sealed: 1 });
    await queue.stop();
    worker.process.kill('SIGTERM');
    const [code] = (await once(worker.process, 'exit')) as [number | null];
    expect(code).toBe(0);
    expect(worker.lines.at(-1)?.['msg']).toBe('worker stopped');
  });

  it('refuses the database of another platform', async () => {
    const worker = start(environment({ AVIARY_PLATFORM_ID: newId() }));
    const [code] = (await once(worker.process, 'exit')) as [number | null];
    expect(code).toBe(1);
    expect(JSON.stringify(worker.lines.at(-1))).toContain('belongs to platform');
  });

  it('ticks a schedule once, however many workers run', async () => {
    const config = {
      ENV: 'test',
      TIME_ZONE: 'UTC',
      LOG_LEVEL: 'silent',
      PLATFORM_ID: db.platformId,
      PORTAL_DOMAIN: 'aviary.localhost',
      TENANT_DOMAIN: 'aviary.localhost',
      HTTP_PORT: 80,
      HTTPS_PORT: 443,
      DATABASE_URL: db.url,
      SMTP_URL: '',
      MAIL_FROM: 'Aviary <no-reply@aviary.localhost>',
      WORKER_HEALTH_PORT: 0,
      WORKER_HEALTH_HOST: '127.0.0.1',
      PORTAL_BACKUP_HOUR: 4,
      PORTAL_BACKUP_OVERDUE_HOURS: 28,
    } as const;
    // Which is the newest missed one would be another, did a minute begin before the workers look.
    const left = 60_000 - (Date.now() % 60_000);
    if (left < 25_000) {
      await pause(left + 100);
    }
    const begun = new Date(Math.floor(Date.now() / 60_000) * 60_000);
    const missed = new Date(begun.getTime() - 5 * 60_000);
    await db.dataSource
      .getRepository(ScheduleTickEntity)
      .insert({ schedule: 'audit-seal', dueAt: missed, createdAt: missed });
    const workers = await Promise.all([bootWorker(config, logger), bootWorker(config, logger)]);
    try {
      const ticks = await db.dataSource.getRepository(ScheduleTickEntity).findBy({ schedule: 'audit-seal' });
      // The one above, and the newest missed one, made up for by whichever worker came first. A minute may have begun
      // meanwhile, and its tick is not what this looks at.
      expect(ticks.filter((tick) => tick.dueAt < begun)).toHaveLength(2);
    } finally {
      await Promise.all(workers.map((worker) => worker.stop()));
    }
  });

  it('FM-12 makes one job of a due time, with two worker processes that both saw it', async () => {
    const told = { AVIARY_LOG_LEVEL: 'debug' };
    const workers = [
      start(environment({ ...told, AVIARY_WORKER_HEALTH_PORT: String(await freePort()) })),
      start(environment({ ...told, AVIARY_WORKER_HEALTH_PORT: String(await freePort()) })),
    ];
    await Promise.all(workers.map((worker) => saw(worker, 'worker runs')));
    const seen = await waitFor(
      () => {
        const [a, b] = workers.map((worker) =>
          worker.lines.filter((line) => line['msg'] === 'a schedule is due' && line['schedule'] === 'audit-seal'),
        );
        const both = a?.find((line) => b?.some((other) => other['dueAt'] === line['dueAt']));
        return both && { dueAt: both['dueAt'] as string, all: [...(a ?? []), ...(b ?? [])] };
      },
      { what: 'a due time that both workers saw', deadlineMs: 75_000 },
    );
    const same = seen.all.filter((line) => line['dueAt'] === seen.dueAt);
    expect(same).toHaveLength(2);
    expect(new Set(same.map((line) => line['won']))).toEqual(new Set([false, true]));
    const [jobs]: { count: number }[] = await db.dataSource.query(
      `select count(*)::int as count from pgboss.job where name = 'audit.seal' and created_on >= $1::timestamptz`,
      [seen.dueAt],
    );
    expect(jobs?.count).toBe(1);
    const tick = await waitFor(
      async () =>
        (
          await db.dataSource
            .getRepository(ScheduleTickEntity)
            .findBy({ schedule: 'audit-seal', dueAt: new Date(seen.dueAt) })
        ).find((row) => row.finishedAt !== null),
      { what: 'the end of the run, noted', deadlineMs: 10_000 },
    );
    expect(tick.finishedAt?.getTime()).toBeGreaterThanOrEqual(tick.dueAt.getTime());
  }, 120_000);

  it('FM-11 raises an alarm for a run nobody saw, also with every worker dead, and ends it once one has done it', async () => {
    const health = String(await freePort());
    const first = start(environment({ AVIARY_WORKER_HEALTH_PORT: health }));
    await saw(first, 'worker runs');
    first.process.kill('SIGKILL');
    await once(first.process, 'exit');
    // Three weeks ago it was.
    const ago = new Date(Math.floor(Date.now() / 3_600_000) * 3_600_000 - 21 * 86_400_000);
    await db.dataSource.query('update schedules set created_at = $1', [ago]);
    await db.dataSource.query('delete from schedule_ticks');
    for (const { name: schedule } of SCHEDULES) {
      await db.dataSource
        .getRepository(ScheduleTickEntity)
        .insert({ schedule, dueAt: ago, createdAt: ago, finishedAt: ago });
    }
    const now = (): Date => new Date();
    const watch = new DutyWatch({ database: db.dataSource, logger, now });
    await watch.turn();
    expect(await listAlarms(db.dataSource, now())).toEqual([]);
    await watch.turn();
    const open = await listAlarms(db.dataSource, now());
    expect(open.map(({ key, code, severity, endedAt }) => ({ key, code, severity, endedAt })).toSorted(byKey)).toEqual(
      SCHEDULES.map(({ name }) => ({
        key: `duty/schedule/${name}`,
        code: 'SCHEDULE_MISSED',
        severity: 'critical',
        endedAt: null,
      })).toSorted(byKey),
    );
    expect(open[0]?.message).toContain('was not begun: does a worker run?');
    // Raised again it is the same alarm.
    await watch.turn();
    expect((await listAlarms(db.dataSource, now())).map(({ since }) => since)).toEqual(open.map(({ since }) => since));
    const operator = { email: 'olga@example.org', username: 'olga', password: PASSWORD, role: 'operator' } as const;
    await accountServices(db).accounts.create(SYSTEM, operator);
    const second = start(environment({ AVIARY_WORKER_HEALTH_PORT: health }));
    await saw(second, 'worker runs');
    await waitFor(
      async () => {
        const { schedules } = await readDuties(db.dataSource, now());
        return schedules.every(({ state }) => state === 'done') || undefined;
      },
      { what: 'all that was missed being done', deadlineMs: 10_000 },
    );
    const [mail] = await db.dataSource.getRepository(OutboxMailEntity).findBy({ recipient: operator.email });
    expect(mail?.subject).toBe(`${SCHEDULES.length} alarms (critical)`);
    expect(mail?.text).toContain('https://aviary.localhost/console/alarms');
    await watch.turn();
    expect((await listAlarms(db.dataSource, now())).filter(({ endedAt }) => endedAt === null)).toEqual([]);
  });

  it('FM-11 tells a run that never ends well from one that was never begun, and a queue nobody works off', async () => {
    const queue = createQueue({ url: db.url, applicationName: 'test', logger });
    await queue.start();
    ends.push(() => queue.stop());
    const day = 86_400_000;
    const now = new Date();
    const job = { cron: '* * * * *', job: 'audit.seal', payload: {}, catchUp: 1, graceSeconds: 60 } as const;
    const schedules: Schedule[] = [
      { ...job, name: 'fails' },
      { ...job, name: 'fresh' },
    ];
    const scheduler = new Scheduler({ database: db.dataSource, queue, schedules, logger, now: () => now });
    await scheduler.start();
    ends.unshift(() => scheduler.stop());
    await db.dataSource.query(`update schedules set created_at = $1 where name = 'fails'`, [
      new Date(now.getTime() - day),
    ]);
    await scheduler.tick(schedules[0] as Schedule, new Date(Math.floor(now.getTime() / 60_000) * 60_000));
    const [entry] = notingRuns([handler('audit.seal', () => Promise.reject(new Error('no seal today')))], {
      database: db.dataSource,
      schedules,
      now: () => now,
    });
    await expect(entry?.handle({}, { signal: AbortSignal.timeout(1_000), attempt: 1, last: true })).rejects.toThrow(
      'no seal today',
    );
    await db.dataSource.query(`update pgboss.job set start_after = now() - interval '10 minutes'`);
    const { schedules: seen, queues } = await readDuties(db.dataSource, now);
    expect(seen.map(({ name, state }) => [name, state])).toEqual([
      ['fails', 'missed'],
      ['fresh', 'waits'],
    ]);
    expect(queues).toMatchObject([{ name: 'audit.seal', stalled: true, running: 0 }]);
    const watch = new DutyWatch({ database: db.dataSource, logger, now: () => now });
    await watch.turn();
    await watch.turn();
    const alarms = await listAlarms(db.dataSource, now);
    expect(alarms.map(({ key }) => key).toSorted()).toEqual(['duty/queue/audit.seal', 'duty/schedule/fails']);
    expect(alarms.find(({ code }) => code === 'SCHEDULE_MISSED')?.message).toContain('begun and did not end well');
  });

  it('says in its health answer what is not done', async () => {
    const server = await startHealthServer(
      { port: 0, host: '127.0.0.1' },
      () => Promise.reject(new DutyMissed('The run of x was missed.')),
      () => Promise.resolve(''),
    );
    try {
      const answer = await fetch(`http://127.0.0.1:${server.port}/healthz`);
      expect([answer.status, await answer.json()]).toEqual([
        503,
        { status: 'unavailable', checks: { duties: 'The run of x was missed.' } },
      ]);
    } finally {
      await server.close();
    }
  });

  it('stays well, ends in time and keeps its mail while no name of a mail server can be resolved', async () => {
    const silent = createSocket('udp4');
    const asked: Buffer[] = [];
    silent.on('message', (question) => asked.push(question)).bind(53, '127.0.0.78');
    await once(silent, 'listening');
    ends.push(() => new Promise((closed) => silent.close(() => closed())));
    const home = await mkdtemp(join(tmpdir(), 'aviary-worker-'));
    ends.push(() => rm(home, { recursive: true, force: true }));
    const resolvConf = join(home, 'resolv.conf');
    await writeFile(resolvConf, 'nameserver 127.0.0.78\noptions timeout:30 attempts:5\n');
    const port = await freePort();
    const worker = start(
      environment({
        PATH: process.env['PATH'] ?? '',
        AVIARY_WORKER_HEALTH_PORT: String(port),
        AVIARY_SMTP_URL: 'smtp://mail.aviary.invalid:587',
      }),
      withResolver(resolvConf),
    );
    await saw(worker, 'worker runs');
    const queue = createQueue({ url: db.url, applicationName: 'test', logger });
    await queue.start();
    ends.push(() => queue.stop());
    const outbox = new OutboxService({ database: db.dataSource, queue, now: () => new Date() });
    for (let count = 0; count < 4; count += 1) {
      await tx(db.dataSource, (inTx) => outbox.put(inTx, 'ana@example.org', { subject: 's', text: 't', html: 'h' }));
    }
    await waitFor(() => asked.length > 0 || undefined, { what: 'a question for the mail server', deadlineMs: 20_000 });
    // Finding the database anew must not wait for names either.
    await db.dataSource.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'aviary-worker%' and datname = current_database()`,
    );
    await waitFor(async () => ((await fetch(`http://127.0.0.1:${port}/healthz`)).status === 200 ? true : undefined), {
      what: 'a worker that is well',
      deadlineMs: 10_000,
    });
    const began = performance.now();
    worker.process.kill('SIGTERM');
    const [code] = (await once(worker.process, 'exit')) as [number | null];
    expect(code).toBe(0);
    // The engine gives it ten seconds.
    expect(performance.now() - began).toBeLessThan(10_000);
    expect(await db.dataSource.getRepository(OutboxMailEntity).countBy({ state: 'queued' })).toBe(4);
  });

  it('forgets old ticks but never the newest of a schedule', async () => {
    const ticks = db.dataSource.getRepository(ScheduleTickEntity);
    const day = (at: number): Date => new Date(Date.UTC(2026, 0, at));
    for (const at of [1, 2, 3, 20]) {
      await ticks.insert({ schedule: 'a', dueAt: day(at), createdAt: day(at) });
    }
    await ticks.insert({ schedule: 'b', dueAt: day(1), createdAt: day(1) });
    expect(await cleanTicks(db.dataSource, day(21))).toBe(3);
    const left = await ticks.find({ order: { schedule: 'ASC' } });
    expect(left.map((tick) => [tick.schedule, tick.dueAt.getUTCDate()])).toEqual([
      ['a', 20],
      ['b', 1],
    ]);
  });
});
