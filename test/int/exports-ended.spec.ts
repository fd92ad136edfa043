import { mkdtemp, rm } from 'node:fs/promises';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import pg from 'pg';
import { pino } from 'pino';
import { pour, waitFor } from '#libs/async';
import { backupListSchema, type Actor, type ErrorBody, type ExportAsked, type ExportView } from '#libs/contracts';
import { ExportEntity, TenantEntity, tx } from '#libs/db';
import { AgentPort, ExportService, startOperation, type ExportTimes } from '#libs/tenants';
import { exportAnswer } from '../../apps/agent/src/export-answer.js';
import { startPrivateServer } from '../../apps/agent/src/private-server.js';
import { person, stackOf, testApi, type TestApi, type TestPerson } from '../support/api.js';
import { insertBackup } from '../support/backup-rows.js';

/** What ends a download, and what it stands in the way of. What is read of a repository is made up here. */
jest.setTimeout(60_000);

const PASSPHRASE = 'many a mickle makes a muckle';
const CHUNK = Buffer.alloc(65_536);
/** More than all buffers on the way hold. */
const LARGE = 500;
const BEAT_MS = 100;

interface Stack {
  id: string;
  slug: string;
  backup: string;
}

let home: string;
let t: TestApi;
let agent: Server;
let operator: TestPerson;
/** In chunks. */
let size: number;
/** What the agent reads, in the order it was asked. */
let read: Readable[] = [];

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'aviary-export-ended-'));
  const socket = join(home, 'agent.sock');
  agent = await startPrivateServer(
    socket,
    () => Promise.resolve({ ok: true, checks: {} }),
    () => Promise.resolve(''),
    {
      exports: exportAnswer(
        () => ({
          start: () => {
            const stream = Readable.from(Array.from({ length: size }, () => CHUNK));
            read.push(stream);
            return Promise.resolve({ stream, bytes: size * CHUNK.length });
          },
        }),
        pino({ level: 'silent' }),
      ),
    },
  );
  t = await testApi({ AVIARY_AGENT_SOCKET: socket }, { exportTimes: { beatMs: BEAT_MS } });
  await t.db.dataSource.query('update plans set stacks = 100');
  operator = await person(t, 'operator');
});
afterAll(async () => {
  agent.closeAllConnections();
  agent.close();
  await t.close();
  await rm(home, { recursive: true, force: true });
});
beforeEach(() => {
  size = LARGE;
  read = [];
});
afterEach(async () => {
  t.api.services.streams.endAll();
  await waitFor(async () => ((await db().countBy(ExportEntity, { state: 'sending' })) === 0 ? true : undefined), {
    what: 'the end of all downloads',
    deadlineMs: 5_000,
  }).catch(() => undefined); // A test that fails tells itself what is left.
  await db().query('delete from exports');
});

const db = () => t.db.dataSource.manager;

async function stackWithBackup(owner: TestPerson): Promise<Stack> {
  const { stack } = await stackOf(t, owner);
  await db().query(`update operations set state = 'done', started_at = now(), finished_at = now()`);
  return { ...stack, backup: await insertBackup(t.db.dataSource, stack, 'verified') };
}

/** As the one who owns the tables. */
async function owned(sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: t.db.ownerUrl });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

const ask = (owner: TestPerson, { slug, backup }: Stack) =>
  t.http.post(`/api/v1/stacks/${slug}/exports`).set(owner.auth).send({ backup, password: owner.password });

const ticketOf = async (owner: TestPerson, stack: Stack): Promise<string> =>
  ((await ask(owner, stack).expect(201)).body as ExportAsked).ticket;

const get = (ticket: string): Promise<Response> =>
  fetch(`${t.url}/api/v1/exports`, { method: 'POST', body: new URLSearchParams({ ticket, passphrase: PASSPHRASE }) });

const refusal = async (ticket: string): Promise<[number, string]> => {
  const answer = await get(ticket);
  return [answer.status, ((await answer.json()) as ErrorBody).code];
};

/** A download whose reader takes its first bytes and no more. */
async function begun(owner: TestPerson, stack: Stack): Promise<ReadableStreamDefaultReader<Uint8Array>> {
  const answer = await get(await ticketOf(owner, stack));
  expect(answer.status).toBe(200);
  const reader = answer.body!.getReader();
  await reader.read();
  return reader;
}

async function drained(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    // What it holds is of no interest, only how it ends.
  }
}

async function told(owner: TestPerson, { slug }: Stack): Promise<ExportView | null> {
  const { body } = await t.http.get(`/api/v1/stacks/${slug}/backups`).set(owner.auth).expect(200);
  return backupListSchema.parse(body).export;
}

const failed = (owner: TestPerson, stack: Stack): Promise<ExportView> =>
  waitFor(
    async () => {
      const view = await told(owner, stack);
      return view?.state === 'failed' ? view : undefined;
    },
    { what: 'the end of a download', deadlineMs: 5_000 },
  );

/** Nobody reads for it any more, at either end. */
const cut = (at = 0): Promise<true> =>
  waitFor(() => (read[at]?.destroyed === true ? true : undefined), {
    what: 'the end of the reading',
    deadlineMs: 5_000,
  });

const destroy = (who: TestPerson, { slug }: Stack) =>
  t.http.delete(`/api/v1/stacks/${slug}`).set(who.auth).send({ confirm: slug });

const stop = (who: TestPerson, { slug }: Stack, id: string) =>
  t.http.delete(`/api/v1/stacks/${slug}/exports/${id}`).set(who.auth);

const prune = ({ id }: Stack): Promise<unknown> =>
  tx(t.db.dataSource, async (inTx) =>
    startOperation(
      inTx,
      { enqueue: () => Promise.resolve(true) },
      {
        tenant: await inTx.findOneByOrFail(TenantEntity, { id }),
        kind: 'prune',
        actor: { kind: 'system', name: 'test' },
        now: new Date(),
      },
    ),
  );

describe('a download whose reader is slow', () => {
  it('is stopped by an operator: it is cut within a beat, and the stack is destroyed', async () => {
    const owner = await person(t);
    const stack = await stackWithBackup(owner);
    const reader = await begun(owner, stack);
    const id = (await told(owner, stack))!.id;
    const stranger = await person(t);
    await stop(stranger, stack, id).expect(404);
    await destroy(owner, stack).expect(409);
    const stopped = await stop(operator, stack, id).expect(200);
    expect(stopped.body).toMatchObject({ id, state: 'failed', error: { code: 'OPERATION_CANCELLED' } });
    await cut();
    await expect(drained(reader)).rejects.toThrow();
    expect(await told(owner, stack)).toMatchObject({
      state: 'failed',
      error: { code: 'OPERATION_CANCELLED', message: expect.stringContaining('by an operator') as string },
    });
    expect((await stop(owner, stack, id).expect(200)).body).toEqual(stopped.body);
    const audited = await db().query<{ actor_name: string; after: object }[]>(
      `select actor_name, after from audit_entries where action = 'stack.export.cancel'`,
    );
    expect(audited).toEqual([
      { actor_name: operator.username, after: { slug: stack.slug, export: id, backup: stack.backup } },
    ]);
    await destroy(owner, stack).expect(202);
  });

  it('gives way to an operator’s destroy, and not to its owner’s', async () => {
    const owner = await person(t);
    const stack = await stackWithBackup(owner);
    const reader = await begun(owner, stack);
    expect((await destroy(owner, stack).expect(409)).body).toMatchObject({
      code: 'TENANT_BUSY',
      details: { kind: 'export' },
    });
    await expect(prune(stack)).rejects.toMatchObject({ code: 'TENANT_BUSY' });
    await destroy(operator, stack).expect(202);
    await cut();
    await expect(drained(reader)).rejects.toThrow();
    expect(await failed(owner, stack)).toMatchObject({ error: { code: 'OPERATION_CANCELLED' } });
  });

  it('is cut once nothing keeps its backup from being removed any more', async () => {
    const owner = await person(t);
    const stack = await stackWithBackup(owner);
    await begun(owner, stack);
    await db().query(`update exports set alive_until = now() - interval '1 second' where tenant_id = $1`, [stack.id]);
    await cut();
    expect(await failed(owner, stack)).toMatchObject({ error: { code: 'UNAVAILABLE' } });
  });

  it('is cut when the portal stops, and says so', async () => {
    const owner = await person(t);
    const stack = await stackWithBackup(owner);
    await begun(owner, stack);
    t.api.services.streams.endAll();
    await cut();
    expect(await failed(owner, stack)).toMatchObject({
      error: { code: 'UNAVAILABLE', message: expect.stringContaining('restarted') as string },
    });
  });
});

describe('what was asked for and not begun', () => {
  it.each([
    ['its owner’s destroy', (owner: TestPerson, stack: Stack) => destroy(owner, stack).expect(202)],
    ['a prune', (_owner: TestPerson, stack: Stack) => prune(stack)],
  ])('is not begun after %s, and does not hinder it', async (_what, remove) => {
    const owner = await person(t);
    const stack = await stackWithBackup(owner);
    const ticket = await ticketOf(owner, stack);
    await remove(owner, stack);
    expect(await refusal(ticket)).toEqual([401, 'TOKEN_INVALID']);
    expect(await told(owner, stack)).toMatchObject({ state: 'failed', error: { code: 'OPERATION_CANCELLED' } });
  });

  it('is told as not begun once its time is over', async () => {
    const owner = await person(t);
    const stack = await stackWithBackup(owner);
    await ticketOf(owner, stack);
    await db().query('update exports set alive_until = now() where tenant_id = $1', [stack.id]);
    expect(await told(owner, stack)).toMatchObject({
      state: 'failed',
      error: { message: expect.stringContaining('not begun in time') as string },
    });
  });
});

describe('what one download leaves to others', () => {
  it('is one of an account, two of the portal and the third to the host, and a refusal spends no ticket', async () => {
    const [one, two, three] = [await person(t), await person(t), await person(t)];
    const mine = [await stackWithBackup(one), await stackWithBackup(one)] as const;
    const theirs = await stackWithBackup(two);
    const last = await stackWithBackup(three);
    const beside = await ticketOf(one, mine[1]);
    await begun(one, mine[0]);
    expect(await refusal(beside)).toEqual([409, 'TENANT_BUSY']);
    expect((await ask(one, mine[1]).expect(409)).body).toMatchObject({
      code: 'TENANT_BUSY',
      message: expect.stringContaining(mine[0].slug) as string,
      details: { kind: 'export' },
    });
    const ticket = await ticketOf(three, last);
    const reader = await begun(two, theirs);
    expect(await refusal(ticket)).toEqual([429, 'RATE_LIMITED']);
    expect((await ask(three, last).expect(429)).body).toMatchObject({ code: 'RATE_LIMITED' });
    // The host's own is begun all the same.
    const apart = await stackWithBackup(await person(t));
    expect(await sentByHost(apart, { take: (_chunk, _encoding, done) => done() })).toEqual({ state: 'sent' });
    await reader.cancel();
    await failed(two, theirs);
    size = 1;
    const whole = await get(ticket);
    expect([whole.status, (await whole.arrayBuffer()).byteLength]).toEqual([200, CHUNK.length]);
  });

  it('has its place on the host back where the account may not read it', async () => {
    const owner = await person(t);
    const stack = await stackWithBackup(owner);
    const { streams } = t.api.services;
    const ticket = await ticketOf(owner, stack);
    const open = Array.from({ length: 20 }, () => streams.enter(owner.id));
    expect(await refusal(ticket)).toEqual([429, 'RATE_LIMITED']);
    open.forEach((stream) => streams.leave(stream));
    await cut();
  });
});

type Take = (chunk: Buffer, encoding: string, done: () => void) => void;

async function sentByHost(
  stack: Stack,
  { times, take }: { times?: Partial<ExportTimes>; take: Take },
): Promise<{ state: string; message?: string }> {
  const service = new ExportService({
    database: t.db.dataSource,
    agent: new AgentPort(join(home, 'agent.sock'), 'local'),
    logger: pino({ level: 'silent' }),
    now: () => new Date(),
    at: 'host',
    times,
  });
  const actor: Actor = {
    kind: 'operator',
    accountId: operator.id,
    username: operator.username,
    via: 'cli',
    ip: null,
    sessionId: null,
  };
  const asked = await service.ask(actor, stack.slug, stack.backup);
  const form = { ticket: asked.ticket, passphrase: PASSPHRASE };
  return service
    .send(form, new AbortController().signal, async ({ body, signal }) => {
      await pour(body, new Writable({ write: take }), { stalledMs: 10_000, signal });
    })
    .then(
      () => ({ state: 'sent' }),
      (error: Error) => ({ state: 'failed', message: error.message }),
    );
}

it('says that it took too long where it did', async () => {
  const stack = await stackWithBackup(await person(t));
  expect(await sentByHost(stack, { times: { deadlineMs: 100 }, take: () => undefined })).toEqual({
    state: 'failed',
    message: expect.stringContaining('took longer') as string,
  });
});

it('goes on to its end while the database is away, and nobody claims to know what became of it', async () => {
  const owner = await person(t);
  const stack = await stackWithBackup(owner);
  const answer = await get(await ticketOf(owner, stack));
  await owned('alter table exports rename to exports_away');
  try {
    expect((await answer.arrayBuffer()).byteLength).toBe(LARGE * CHUNK.length);
    await waitFor(() => (t.logs.some((line) => line.includes('could not be written down')) ? true : undefined), {
      what: 'a line about it',
      deadlineMs: 5_000,
    });
  } finally {
    await owned('alter table exports_away rename to exports');
  }
  await db().query('update exports set alive_until = now() where tenant_id = $1', [stack.id]);
  expect(await told(owner, stack)).toMatchObject({
    state: 'failed',
    error: { code: 'UNAVAILABLE', message: expect.stringContaining('not known whether') as string },
  });
  await db().delete(ExportEntity, { tenantId: stack.id });
});

describe('a page that sent a form', () => {
  const sent = (ticket: string) =>
    t.http
      .post('/api/v1/exports')
      .set('sec-fetch-mode', 'navigate')
      .type('form')
      .send({ ticket, passphrase: PASSPHRASE });

  it('stays where it is where the fault is ours, which is in the log', async () => {
    const owner = await person(t);
    const stack = await stackWithBackup(owner);
    const ticket = await ticketOf(owner, stack);
    await owned('alter table exports rename to exports_away');
    try {
      await sent(ticket).expect(204);
    } finally {
      await owned('alter table exports_away rename to exports');
    }
    const lines = t.logs.map((line) => JSON.parse(line) as { level: number; errorId?: string; code?: string });
    expect(lines).toContainEqual(
      expect.objectContaining({ level: 50, code: 'INTERNAL', errorId: expect.any(String) as string }),
    );
  });

  // The last of all, since nobody of this network gets anything for a minute then.
  it('stays where it is where it is not even let in', async () => {
    let status = 401;
    while (status === 401) {
      status = (await get('x'.repeat(43))).status;
    }
    expect(status).toBe(429);
    await sent('x'.repeat(43)).expect(204);
  });
});
