import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { waitFor } from '#libs/async';
import type { ErrorBody, LogBatch, StackLog } from '#libs/contracts';
import type { LogLine } from '#libs/engine';
import { stackNames } from '#libs/tenants';
import { startPrivateServer } from '../../apps/agent/src/private-server.js';
import { logAnswer } from '../../apps/agent/src/watch/log-answer.js';
import { person, stackOf, testApi, type TestApi, type TestPerson } from '../support/api.js';
import { engineWithLogs, WrittenLog } from '../support/written-log.js';
import { program } from '../support/program.js';

jest.setTimeout(60_000);

let t: TestApi;
let owner: TestPerson;
let slug: string;
let home: string;
let socket: string;
let server: Server;
let log: WrittenLog;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'aviary-logs-'));
  socket = join(home, 'agent.sock');
  t = await testApi({ AVIARY_AGENT_SOCKET: socket });
  owner = await person(t);
  slug = (await stackOf(t, owner)).stack.slug;
});
beforeEach(async () => {
  log = new WrittenLog();
  server = await startPrivateServer(
    socket,
    () => Promise.resolve({ ok: true, checks: {} }),
    () => Promise.resolve(''),
    {
      logs: logAnswer(
        engineWithLogs({ [stackNames(t.db.platformId, slug).container('runtime')]: log }),
        t.db.platformId,
      ),
    },
  );
});
afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await waitFor(() => log.readers === 0 || undefined, { what: 'the end of every reader', deadlineMs: 5_000 });
});
afterAll(async () => {
  await t.close();
  await rm(home, { recursive: true, force: true });
});

const read = (query: object, who = owner) => t.http.get(`/api/v1/stacks/${slug}/logs`).query(query).set(who.auth);

/** Events of a followed log, as they come. */
async function follow(
  query: Record<string, string>,
): Promise<{ batches: LogBatch[]; leave: () => void; end: () => string | undefined }> {
  const left = new AbortController();
  const answer = await fetch(`${t.url}/api/v1/stacks/${slug}/logs/events?${new URLSearchParams(query).toString()}`, {
    headers: owner.auth,
    signal: left.signal,
  });
  expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/event-stream; charset=utf-8']);
  const batches: LogBatch[] = [];
  let end: string | undefined;
  const reading = async (): Promise<void> => {
    let rest = '';
    for await (const chunk of answer.body ?? []) {
      const events = (rest + Buffer.from(chunk as Uint8Array).toString()).split('\n\n');
      rest = events.pop() ?? '';
      for (const event of events) {
        const data = /^event: lines\ndata: (.*)$/m.exec(event)?.[1];
        if (data !== undefined) {
          batches.push(JSON.parse(data) as LogBatch);
        }
        end = /^event: error\ndata: (.*)$/m.exec(event)?.[1] ?? end;
      }
    }
  };
  reading().catch(() => undefined); // cut by `leave`
  return { batches, leave: () => left.abort(), end: () => end };
}
const heard = (batches: LogBatch[], words: string): Promise<true> =>
  waitFor(() => batches.some(({ lines }) => lines.some((line) => line.text === words)) || undefined, {
    what: `the line ${words}`,
    deadlineMs: 10_000,
  });

/** `aviary tenant logs` with these words, as an operator runs it. */
const run = async (...args: string[]) => {
  const child = spawn(process.execPath, [...program('apps/cli/src/main.ts'), 'tenant', 'logs', ...args], {
    env: {
      AVIARY_ENV: 'test',
      AVIARY_PLATFORM_ID: t.db.platformId,
      AVIARY_DATABASE_URL: t.db.url,
      AVIARY_AGENT_SOCKET: socket,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return {
    child,
    stdout: text(child.stdout),
    stderr: text(child.stderr),
    code: once(child, 'exit').then(([code]) => code as number | null),
  };
};

describe('the log of a stack’s service', () => {
  it('is read by the last lines and searched whatever the case', async () => {
    for (let number = 0; number < 500; number += 1) {
      log.write(number % 100 === 7 ? `Order ${number} REFUSED` : `tick ${number}`, number % 2 ? 'err' : 'out');
    }
    const last = (await read({ tail: 3 }).expect(200)).body as StackLog;
    expect(last.items.map((line) => line.text)).toEqual(['tick 497', 'tick 498', 'tick 499']);
    expect(last.items.map(({ stream }) => stream)).toEqual(['err', 'out', 'err']);
    const found = (await read({ q: 'refused', tail: 4 }).expect(200)).body as StackLog;
    expect(found.items.map((line) => line.text)).toEqual(
      [107, 207, 307, 407].map((number) => `Order ${number} REFUSED`),
    );
    expect([found.service, found.searched]).toEqual(['runtime', 500]);
    expect(((await read({ q: '.*' }).expect(200)).body as StackLog).items).toEqual([]);
  });

  it('is its owner’s and the operators’, and of a service there is', async () => {
    log.write('here');
    expect((await read({}, await person(t))).status).toBe(404);
    expect(((await read({}, await person(t, 'operator')).expect(200)).body as StackLog).items).toHaveLength(1);
    await t.http.get(`/api/v1/stacks/${slug}/logs`).expect(401);
    const missing = await read({ service: 'postgres' });
    expect([missing.status, (missing.body as ErrorBody).code]).toEqual([404, 'NOT_FOUND']);
    for (const bad of [
      { service: '../agent' },
      { service: 'a b' },
      { tail: 0 },
      { tail: 5_001 },
      { q: '' },
      { x: 1 },
    ]) {
      expect([bad, (await read(bad)).status]).toEqual([bad, 400]);
    }
  });

  it('is followed as it is written, over a restart of the service, and let go when the reader leaves', async () => {
    log.write('before');
    const { batches, leave } = await follow({ tail: '10' });
    await heard(batches, 'before');
    log.write('while');
    await heard(batches, 'while');
    log.end();
    await waitFor(() => batches.some(({ ended }) => ended) || undefined, { what: 'the end', deadlineMs: 5_000 });
    log.write('after the restart');
    await heard(batches, 'after the restart');
    expect(batches.flatMap(({ lines }) => lines.map((line) => line.text))).toEqual([
      'before',
      'while',
      'after the restart',
    ]);
    leave();
    await waitFor(() => log.readers === 0 || undefined, { what: 'the end of the reader', deadlineMs: 10_000 });
  });

  it('goes on behind the line somebody has', async () => {
    log.write('seen');
    log.write('not seen');
    const { batches, leave } = await follow({ after: log.lines[0]?.at ?? '' });
    await heard(batches, 'not seen');
    expect(batches.flatMap(({ lines }) => lines.map((line) => line.text))).toEqual(['not seen']);
    leave();
  });

  it('says that the agent is away, and is followed on when it is back', async () => {
    log.write('one');
    const { batches, leave } = await follow({});
    await heard(batches, 'one');
    server.closeAllConnections();
    server.close();
    const away = await read({});
    expect([away.status, (away.body as ErrorBody).code]).toEqual([503, 'UNAVAILABLE']);
    server = await startPrivateServer(
      socket,
      () => Promise.resolve({ ok: true, checks: {} }),
      () => Promise.resolve(''),
      {
        logs: logAnswer(
          engineWithLogs({ [stackNames(t.db.platformId, slug).container('runtime')]: log }),
          t.db.platformId,
        ),
      },
    );
    log.write('two');
    await heard(batches, 'two');
    expect(batches.flatMap(({ lines }) => lines.map((line) => line.text))).toEqual(['one', 'two']);
    leave();
  });

  it('is printed by the command line', async () => {
    await person(t, 'operator');
    log.write('hello');
    log.write('an error', 'err');
    const plain = await run(slug);
    expect(await plain.stdout).toBe('2026-01-01T00:00:00.000Z hello\n2026-01-01T00:00:00.000Z ! an error\n');
    expect(await plain.code).toBe(0);
    const json = await run(slug, '--q', 'ERR', '--json');
    expect(JSON.parse(await json.stdout)).toMatchObject({
      ok: true,
      data: { searched: 2, items: [{ text: 'an error' }] },
    });
    const live = await run(slug, '--follow', '--tail', '1', '--json');
    await waitFor(() => log.readers === 1 || undefined, { what: 'the follower', deadlineMs: 20_000 });
    log.write('live');
    await waitFor(() => log.asked.length > 2 || undefined, { what: 'its question', deadlineMs: 5_000 });
    setTimeout(() => live.child.kill('SIGINT'), 1_000);
    expect(
      (await live.stdout)
        .trim()
        .split('\n')
        .map((line) => (JSON.parse(line) as { data: LogLine }).data.text),
    ).toEqual(['an error', 'live']);
    expect(await live.code).toBe(130);
    expect(await (await run(slug, '--tail', '0')).code).toBe(2);
    const ended = await run(slug, '--follow', '--tail', '1');
    await waitFor(() => log.readers === 1 || undefined, { what: 'the follower', deadlineMs: 20_000 });
    const asked = log.asked.length;
    log.end({ stays: true });
    await waitFor(() => log.asked.length >= asked + 3 || undefined, { what: 'more questions', deadlineMs: 15_000 });
    ended.child.kill('SIGINT');
    expect((await ended.stderr).match(/the service has stopped/g)).toHaveLength(1);
  });

  it('ends with a sentence once the stack is gone, for page and command line alike', async () => {
    log.write('the last words');
    const page = await follow({ tail: '10' });
    await heard(page.batches, 'the last words');
    const cli = await run(slug, '--follow', '--tail', '1');
    await waitFor(() => log.readers === 2 || undefined, { what: 'both followers', deadlineMs: 20_000 });
    // Stopped, it is waited for.
    log.end({ stays: true });
    await waitFor(() => page.batches.some(({ ended }) => ended) || undefined, { what: 'the end', deadlineMs: 5_000 });
    const asked = log.asked.length;
    await waitFor(() => log.asked.length >= asked + 4 || undefined, { what: 'more questions', deadlineMs: 15_000 });
    expect([page.end(), cli.child.exitCode]).toEqual([undefined, null]);

    await t.db.dataSource.query('delete from tenants where slug = $1', [slug]);
    const sentence = `The stack ${slug} is gone, so its log has ended.`;
    const said = await waitFor(() => page.end(), { what: 'the end of the stream', deadlineMs: 10_000 });
    expect(JSON.parse(said)).toMatchObject({ code: 'NOT_FOUND', message: sentence });
    expect((await t.http.get(`/api/v1/stacks/${slug}/logs/events`).set(owner.auth)).status).toBe(404);
    expect(await cli.code).toBe(3);
    expect(await cli.stderr).toContain(sentence);
  });
});
