import type { ErrorBody, OperationList, OperationView, StackView } from '#libs/contracts';
import { waitFor } from '#libs/async';
import { person, stackOf, testApi, type TestApi, type TestPerson } from '../support/api.js';

let t: TestApi;
let owner: TestPerson;
beforeAll(async () => {
  t = await testApi();
  owner = await person(t);
  await t.db.dataSource.query(`update plans set stacks = 1000 where code = 'premium'`);
  await t.db.dataSource.query(`update accounts set plan_id = (select id from plans where code = 'premium')`);
});
afterAll(() => t.close());

const code = (answer: { body: unknown }): string => (answer.body as ErrorBody).code;
const post = (path: string, who = owner) => t.http.post(`/api/v1${path}`).set(who.auth);
/** What the agent would do. */
const finish = (operationId: string): Promise<unknown> =>
  t.db.dataSource.query(`update operations set state = 'done', finished_at = now() where id = $1`, [operationId]);

interface StreamEvent {
  id?: string;
  event?: string;
  data?: string;
}

/** A minimal reader of server-sent events; comments come as events without data. */
async function* eventsOf(
  path: string,
  headers: Record<string, string>,
  signal: AbortSignal,
): AsyncGenerator<StreamEvent> {
  const answer = await fetch(`${t.url}${path}`, { headers, signal });
  expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/event-stream; charset=utf-8']);
  const decoder = new TextDecoder();
  let text = '';
  for await (const chunk of answer.body ?? []) {
    text += decoder.decode(chunk as Uint8Array, { stream: true });
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const fields = text
        .slice(0, end)
        .split('\n')
        .map((line) => /^(\w*): ?(.*)$/.exec(line) ?? []);
      text = text.slice(end + 2);
      const event = Object.fromEntries(fields.map(([, name = '', value = '']) => [name, value])) as StreamEvent;
      if (event.data !== undefined) {
        yield event;
      }
    }
  }
}

describe('following live', () => {
  it('sends an operation as it changes and ends after its final state', async () => {
    const { operation } = await stackOf(t, owner);
    const states: string[] = [];
    const started = performance.now();
    let told = 0;
    for await (const { event, data } of eventsOf(
      `/api/v1/operations/${operation.id}/events`,
      owner.auth,
      AbortSignal.timeout(20_000),
    )) {
      expect(event).toBe('operation');
      const { state } = JSON.parse(data ?? '{}') as OperationView;
      states.push(state);
      if (state === 'queued') {
        await t.db.dataSource.query(`update operations set state = 'running', started_at = now() where id = $1`, [
          operation.id,
        ]);
        told = performance.now();
      }
      if (state === 'running') {
        // By notification, not by the look every 5 s.
        expect(performance.now() - told).toBeLessThan(3_000);
        await finish(operation.id);
      }
    }
    expect(states).toEqual(['queued', 'running', 'done']);
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  it('does not repeat to Last-Event-ID what it has seen, and ends the reconnecting when all is over', async () => {
    const { operation } = await stackOf(t, owner);
    const path = `/api/v1/operations/${operation.id}/events`;
    const first = await eventsOf(path, owner.auth, AbortSignal.timeout(20_000)).next();
    const seen = String((first.value as StreamEvent).id);
    const later = eventsOf(path, { ...owner.auth, 'Last-Event-ID': seen }, AbortSignal.timeout(20_000));
    const next = later.next();
    await finish(operation.id);
    const { value } = (await next) as { value: StreamEvent };
    expect((JSON.parse(value.data ?? '{}') as OperationView).state).toBe('done');
    expect((await later.next()).done).toBe(true);
    const over = await fetch(`${t.url}${path}`, { headers: { ...owner.auth, 'Last-Event-ID': String(value.id) } });
    expect(over.status).toBe(204);
  });

  it('ends soon after the session ended', async () => {
    const who = await person(t);
    const { stack, operation } = await stackOf(t, who);
    const events = eventsOf(`/api/v1/stacks/${stack.slug}/events`, who.auth, AbortSignal.timeout(30_000));
    expect((await events.next()).done).toBe(false);
    await t.db.dataSource.query(`update sessions set revoked_at = now() where account_id = $1`, [who.id]);
    const ended = Date.now();
    for (let next = await events.next(); !next.done; next = await events.next()) {
      expect(operation.id).toBeDefined();
    }
    expect(Date.now() - ended).toBeLessThan(15_000);
  }, 40_000);

  it('is refused for what is not one’s own before any stream begins', async () => {
    const stranger = await person(t);
    const { operation } = await stackOf(t, owner);
    const answer = await fetch(`${t.url}/api/v1/operations/${operation.id}/events`, { headers: stranger.auth });
    expect([answer.status, ((await answer.json()) as ErrorBody).code]).toEqual([404, 'NOT_FOUND']);
  });

  it('leaves nothing open when the reader goes', async () => {
    const { operation } = await stackOf(t, owner);
    const leave = new AbortController();
    const events = eventsOf(`/api/v1/operations/${operation.id}/events`, owner.auth, leave.signal);
    await events.next();
    const open = t.api.services.streams.size;
    leave.abort();
    await waitFor(() => (t.api.services.streams.size < open ? true : undefined), {
      what: 'stream to close',
      deadlineMs: 5_000,
    });
    await finish(operation.id);
  });
});

describe('operations', () => {
  it('are listed by stack and state, and cancelled while they wait', async () => {
    const { stack, operation } = await stackOf(t, owner);
    const list = async (query: string) =>
      ((await t.http.get(`/api/v1/operations?${query}`).set(owner.auth).expect(200)).body as OperationList).items;
    expect((await list(`slug=${stack.slug}&state=queued`)).map(({ id }) => id)).toEqual([operation.id]);
    const cancelled = await post(`/operations/${operation.id}/cancel`).expect(200);
    expect((cancelled.body as OperationView).state).toBe('cancelled');
    const again = await post(`/operations/${operation.id}/cancel`);
    expect([again.status, code(again)]).toEqual([409, 'WRONG_STATE']);
    expect(await list(`slug=${stack.slug}&state=queued`)).toEqual([]);
  });

  it('are paged without gaps', async () => {
    const first = (await t.http.get('/api/v1/operations?limit=2').set(owner.auth).expect(200)).body as OperationList;
    expect(first.items).toHaveLength(2);
    const rest = await t.http.get(`/api/v1/operations?limit=2&cursor=${first.next}`).set(owner.auth).expect(200);
    const ids = [...first.items, ...(rest.body as OperationList).items].map(({ id }) => id);
    expect(new Set(ids).size).toBe(4);
    await t.http.get('/api/v1/operations?limit=1000').set(owner.auth).expect(400);
    await t.http.get('/api/v1/operations?limt=1').set(owner.auth).expect(400);
  });
});

it('a list of one state is as full as its page, however many others stand between', async () => {
  const who = await person(t);
  const { stack } = await stackOf(t, who);
  // Younger ones in another state come first in the list.
  const [plan]: { stacks: number }[] = await t.db.dataSource.query(
    'select stacks from plans where id = (select plan_id from accounts where id = $1)',
    [who.id],
  );
  await t.db.dataSource.query(`update plans set stacks = 10 where id = (select plan_id from accounts where id = $1)`, [
    who.id,
  ]);
  const others = [await stackOf(t, who), await stackOf(t, who), await stackOf(t, who)];
  await t.db.dataSource.query(`update operations set state = 'running' where tenant_id = any($1)`, [
    others.map((other) => other.stack.id),
  ]);
  const answer = await t.http.get('/api/v1/stacks?status=queued&limit=1').set(who.auth).expect(200);
  const page = answer.body as { items: StackView[]; next: string | null };
  expect(page.items.map(({ slug }) => slug)).toEqual([stack.slug]);
  const end = await t.http.get(`/api/v1/stacks?status=queued&limit=1&cursor=${page.next ?? stack.id}`).set(who.auth);
  expect(end.body).toEqual({ items: [], next: null });
  await t.db.dataSource.query(`update plans set stacks = $2 where id = (select plan_id from accounts where id = $1)`, [
    who.id,
    plan?.stacks,
  ]);
});
