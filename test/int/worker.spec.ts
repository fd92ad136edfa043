import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { waitFor } from '#libs/async';
import { appendAudit, verifyAudit } from '#libs/audit';
import { newId, OutboxMailEntity, ScheduleTickEntity, tx } from '#libs/db';
import { cleanTicks, createQueue } from '#libs/jobs';
import { OutboxService } from '#libs/support';
import { createLogger } from '#libs/telemetry';
import { bootWorker } from '../../apps/worker/src/boot.js';
import { testDatabase, type TestDatabase } from '../support/postgres.js';

// Several test files and an engine may share two cores.
jest.setTimeout(60_000);

const root = join(import.meta.dirname ?? __dirname, '../..');
const logger = createLogger('test', 'silent');

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

describe('worker', () => {
  let db: TestDatabase;
  const children: ChildProcess[] = [];
  beforeEach(async () => {
    db = await testDatabase();
  });
  afterEach(async () => {
    children.splice(0).forEach((child) => child.kill('SIGKILL'));
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
  function start(env: Record<string, string>): Child {
    const child = spawn(
      process.execPath,
      ['--import', join(root, 'scripts/dev/ts-loader.mjs'), join(root, 'apps/worker/src/main.ts')],
      { env, stdio: ['ignore', 'pipe', 'inherit'] },
    );
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
    } as const;
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
