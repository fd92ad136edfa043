import { randomBytes } from 'node:crypto';
import { sealAudit, verifyAudit } from '#libs/audit';
import { AccountEntity, AuditEntryEntity, createDataSource, newId, OperationEntity, OrphanEntity, tx } from '#libs/db';
import { createQueue } from '#libs/jobs';
import { OutboxService } from '#libs/support';
import { createLogger } from '#libs/telemetry';
import { aviary, document, environment, twoPeople } from '../support/cli.js';
import { appPassword, emptyDatabase, testDatabase, type TestDatabase } from '../support/postgres.js';

// Several test files and an engine may share two cores.
jest.setTimeout(60_000);

describe('aviary', () => {
  let db: TestDatabase;
  let env: Record<string, string>;
  beforeAll(async () => {
    db = await testDatabase();
    env = environment(db);
    await twoPeople(db);
  });
  afterAll(() => db.close());

  const createUser = (...args: string[]) => ['user', 'create', ...args];

  it('makes the first operator without one, then acts in that name, and audits both', async () => {
    const fresh = await testDatabase();
    const own = environment(fresh);
    try {
      const password = randomBytes(12).toString('base64url');
      const first = await aviary(
        own,
        createUser('--operator', '--email', 'Olga@example.org', '--username', 'olga', '--password-stdin', '--json'),
        `${password}\n`,
      );
      expect(first).toMatchObject({ code: 0, stderr: '' });
      expect(document(first)).toMatchObject({
        schema: 'aviary/user/1',
        ok: true,
        data: { email: 'olga@example.org', role: 'operator', state: 'active' },
        error: null,
      });
      expect(first.stdout).not.toContain(password);

      const second = await aviary(own, createUser('--email', 'ana@example.org', '--username', 'ana'));
      expect(second.code).toBe(0);
      const printed = /password {2}([a-z2-7]{5}(-[a-z2-7]{5}){3})\n/.exec(second.stdout)?.[1];
      expect(printed).toBeDefined();
      expect(second.stderr).toContain('shown this once');
      const entries = await fresh.dataSource
        .getRepository(AuditEntryEntity)
        .find({ where: { action: 'account.create' }, order: { id: 'ASC' } });
      expect(entries.map((entry) => [entry.actorName, entry.via])).toEqual([
        ['system:cli', null],
        ['olga', 'cli'],
      ]);
      const stored = JSON.stringify([entries, await fresh.dataSource.getRepository(AccountEntity).find()]);
      expect(stored).not.toContain(printed);
      expect(stored).not.toContain(password);
    } finally {
      await fresh.close();
    }
  });

  it('lists users as a table, as tabs and as JSON', async () => {
    const table = await aviary(env, ['user', 'list']);
    expect(table.stdout.split('\n')[0]).toMatch(/^USER +E-MAIL +ROLE +STATE +PLAN +SINCE$/);
    expect(table.stdout).toContain('olga@example.org');
    const plain = await aviary(env, ['user', 'list', '--plain', '--q', 'ana@']);
    expect(plain.stdout.split('\t').slice(0, 4)).toEqual(['ana', 'ana@example.org', 'subscriber', 'active']);
    const json = await aviary(env, ['user', 'list', '--json', '--limit', '1']);
    expect(document(json)).toMatchObject({ schema: 'aviary/user-list/1', data: { items: [{ username: 'ana' }] } });
    expect(document(json)['data']).toHaveProperty('next', expect.any(String));
  });

  it('refuses what is wrong with the exit code for it, and with one document when asked', async () => {
    const cases: [string[], number, string][] = [
      [createUser('--email', 'not an address', '--username', 'x'), 2, 'VALIDATION_FAILED'],
      [createUser('--email', 'ana@example.org', '--username', 'ana2'), 5, 'EMAIL_TAKEN'],
      [['user', 'list', '--as', 'ana'], 4, 'FORBIDDEN'],
      [['user', 'list', '--limit', 'many'], 2, 'VALIDATION_FAILED'],
      [['user', 'list', '--nonsense'], 2, 'VALIDATION_FAILED'],
      [['outbox', 'show', newId()], 3, 'NOT_FOUND'],
      [['outbox', 'show', 'mistyped'], 3, 'NOT_FOUND'],
    ];
    for (const [args, exit, code] of cases) {
      const ran = await aviary(env, [...args, '--json']);
      expect([args.join(' '), ran.code]).toEqual([args.join(' '), exit]);
      expect(document(ran)).toMatchObject({ ok: false, error: { code, message: expect.any(String) as string } });
    }
  });

  it('tells a mistyped number, page or id for what it is', async () => {
    const cases: [string[], number][] = [
      ...['0', 'abc', '-5'].map((limit): [string[], number] => [['tenant', 'list', '--limit', limit], 2]),
      ...['tenant', 'operation', 'user', 'outbox'].map((noun): [string[], number] => [
        [noun, 'list', '--cursor', 'x'],
        2,
      ]),
      [['operation', 'watch', 'mistyped'], 3],
      [['operation', 'cancel', 'mistyped'], 3],
    ];
    for (const [args, exit] of cases) {
      const ran = await aviary(env, [...args, '--json']);
      expect([args.join(' '), ran.code]).toEqual([args.join(' '), exit]);
      const code = exit === 2 ? 'VALIDATION_FAILED' : 'NOT_FOUND';
      expect(document(ran)).toMatchObject({ ok: false, error: { code } });
    }
  });

  it('ends the watch of a failed operation with its error, in the document as in the exit code', async () => {
    const at = new Date();
    const id = newId();
    await db.dataSource.manager.insert(OperationEntity, {
      id,
      tenantId: newId(),
      slug: 'uabc234',
      accountId: newId(),
      engineId: 'local',
      kind: 'start',
      state: 'failed',
      exclusive: true,
      requestedBy: 'olga',
      createdAt: at,
      startedAt: at,
      finishedAt: at,
      deadlineAt: at,
      fencing: 1,
      attempts: 1,
      error: { code: 'HEALTH_GATE_FAILED', message: 'no answer', errorId: newId(), details: {} },
    });
    const ran = await aviary(env, ['operation', 'watch', id, '--json']);
    expect(ran.code).toBe(1);
    expect(document(ran)).toMatchObject({
      schema: 'aviary/operation/1',
      ok: false,
      data: { id, state: 'failed' },
      error: { code: 'HEALTH_GATE_FAILED', message: 'no answer' },
      exit: 1,
    });
  });

  it('says that the platform is away, and ends with 9', async () => {
    const away = new URL(db.url);
    away.port = '1';
    const ran = await aviary({ ...env, AVIARY_DATABASE_URL: away.href }, ['user', 'list', '--json']);
    expect(ran.code).toBe(9);
    expect(document(ran)).toMatchObject({ error: { code: 'UNAVAILABLE' } });
    expect(ran.stdout + ran.stderr).not.toContain(away.password);
    const foreign = await aviary({ ...env, AVIARY_PLATFORM_ID: newId() }, ['user', 'list', '--json']);
    expect(document(foreign)).toMatchObject({ error: { code: 'PLATFORM_MISMATCH' } });
  });

  it('lists, shows and resends mails', async () => {
    const queue = createQueue({ url: db.url, applicationName: 'test', logger: createLogger('test', 'silent') });
    await queue.start();
    const outbox = new OutboxService({ database: db.dataSource, queue, now: () => new Date() });
    const id = await tx(db.dataSource, (inTx) =>
      outbox.put(inTx, 'ana@example.org', { subject: 'Confirm', text: 'https://aviary.example/verify', html: '' }),
    );
    await queue.stop();
    const list = await aviary(env, ['outbox', 'list', '--state', 'queued', '--plain']);
    expect(list.stdout.split('\t').slice(0, 3)).toEqual([id, 'queued', 'ana@example.org']);
    expect((await aviary(env, ['outbox', 'list', '--state', 'lost'])).code).toBe(2);
    const show = await aviary(env, ['outbox', 'show', id]);
    expect(show.stdout).toContain('\n\nhttps://aviary.example/verify\n');
    const resend = await aviary(env, ['outbox', 'resend', id, '--json']);
    expect(document(resend)).toMatchObject({ ok: false, error: { code: 'WRONG_STATE' }, exit: 5 });
  });

  it('lists what no stack wants', async () => {
    const at = new Date('2026-01-01T00:00:00Z');
    const row = { engineId: 'local', kind: 'volume' as const, name: 'left-over', tenantId: newId() };
    const removeAt = new Date('2026-01-08T00:00:00Z');
    const times = { firstSeenAt: at, lastSeenAt: at };
    await db.dataSource.manager.insert(OrphanEntity, { ...row, ...times, removeAt, why: 'no_stack' });
    await db.dataSource.manager.insert(OrphanEntity, { ...row, ...times, name: 'left-too', why: 'not_wanted' });
    const shown = await aviary(env, ['orphans', 'list', '--plain']);
    expect(shown.stdout.split('\n').map((line) => line.split('\t')[4])).toEqual([
      removeAt.toISOString(),
      'kept',
      undefined,
    ]);
    const ran = await aviary(env, ['orphans', 'list', '--json']);
    expect(document(ran)).toMatchObject({
      ok: true,
      exit: 0,
      data: {
        items: [
          {
            engine: 'local',
            name: 'left-over',
            stackId: row.tenantId,
            why: 'no_stack',
            removeAt: removeAt.toISOString(),
          },
          { name: 'left-too', removeAt: null },
        ],
      },
    });
  });

  it('finds an audit log that was tampered with, and ends with 8', async () => {
    const calm = await aviary(env, ['audit', 'verify', '--json']);
    expect(document(calm)).toMatchObject({ ok: true, exit: 0 });
    await sealAudit(db.dataSource, () => new Date());
    const owner = await createDataSource(db.ownerUrl, { poolSize: 1 }).initialize();
    await owner.query(`update audit_entries set actor_name = 'nobody' where after->>'username' = 'ana'`);
    await owner.destroy();
    expect((await verifyAudit(db.dataSource)).ok).toBe(false);
    const ran = await aviary(env, ['audit', 'verify', '--json']);
    expect(document(ran)).toMatchObject({ ok: false, exit: 8, data: { faults: [{ kind: 'entry_edited' }] } });
  });

  it('migrates a database from nothing, and again without effect', async () => {
    const empty = await emptyDatabase();
    try {
      const migrate = {
        AVIARY_ENV: 'test',
        AVIARY_PLATFORM_ID: newId(),
        AVIARY_OWNER_DATABASE_URL: empty.ownerUrl,
        AVIARY_APP_PASSWORD: appPassword(),
      };
      const first = await aviary(migrate, ['db', 'migrate', '--json']);
      expect(document(first)).toMatchObject({
        ok: true,
        data: { ran: expect.arrayContaining([expect.any(String)]) as [] },
      });
      const again = await aviary(migrate, ['db', 'migrate', '--json']);
      expect(document(again)).toMatchObject({ ok: true, data: { ran: [] } });
      const other = await aviary({ ...migrate, AVIARY_PLATFORM_ID: newId() }, ['db', 'migrate', '--json']);
      expect(document(other)).toMatchObject({ ok: false, error: { code: 'PLATFORM_MISMATCH' } });
      const away = new URL(empty.ownerUrl);
      away.port = '1';
      const late = await aviary({ ...migrate, AVIARY_OWNER_DATABASE_URL: away.href }, [
        'db',
        'migrate',
        '--json',
        '--timeout',
        '1',
      ]);
      expect(document(late)).toMatchObject({ ok: false, exit: 9 });
    } finally {
      await empty.close();
    }
  });

  it('shows help without a platform, quickly, and names every noun', async () => {
    const begun = performance.now();
    const ran = await aviary({}, ['--help']);
    expect(ran.code).toBe(0);
    for (const noun of ['tenant', 'operation', 'user', 'orphans', 'outbox', 'capacity', 'host', 'audit', 'db']) {
      expect(ran.stdout).toContain(`  ${noun} `);
    }
    // Generous for a busy machine, and with the sources compiled on the way; a database library alone takes longer.
    expect(performance.now() - begun).toBeLessThan(5_000);
    expect((await aviary({}, [])).code).toBe(2);
  });
});
