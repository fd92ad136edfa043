import { openLiveStream } from './live-stream.js';
import type { ServerEvent } from './sse-parser.js';

const stream = (text: string) =>
  new Response(new Blob([text]).stream(), { headers: { 'content-type': 'text/event-stream' } });

/** Answers one after the other, and resolves when all were asked for. */
function server(answers: (() => Response | Promise<Response>)[]) {
  const sent: (string | null)[] = [];
  let finish: () => void = () => undefined;
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const fetch = (_url: unknown, init?: RequestInit): Promise<Response> => {
    sent.push(new Headers(init?.headers).get('last-event-id'));
    const answer = answers[sent.length - 1];
    if (answer === undefined) {
      return Promise.reject(new Error('asked too often'));
    }
    if (sent.length === answers.length) {
      setImmediate(finish);
    }
    return Promise.resolve().then(answer);
  };
  return { sent, finished, fetch };
}

describe('openLiveStream', () => {
  it('comes back with the last id, says that it was away, and stops when all was said', async () => {
    const { sent, fetch, finished } = server([
      () => stream('id: 7\nevent: stack\ndata: 1\n\n'),
      () => {
        throw new TypeError('no network');
      },
      () => stream('data: 2\n\n'),
      () => new Response(null, { status: 204 }),
    ]);
    const events: ServerEvent[] = [];
    let reconnects = 0;
    const refused: number[] = [];
    const open = openLiveStream({
      url: '/events',
      fetch,
      random: () => 0,
      onEvent: (event) => events.push(event),
      onReconnect: () => (reconnects += 1),
      onRefused: (status) => refused.push(status),
    });
    const nudge = setInterval(() => open.wake(), 5);
    await finished;
    clearInterval(nudge);
    open.stop();
    expect(events.map((event) => event.data)).toEqual(['1', '2']);
    expect(sent).toEqual([null, '7', '7', '7']);
    expect(reconnects).toBe(1);
    expect(refused).toEqual([204]);
  });

  it('asks for its headers before every connection', async () => {
    let token = 0;
    const seen: string[] = [];
    let finish: () => void = () => undefined;
    const finished = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const open = openLiveStream({
      url: '/events',
      random: () => 0,
      headers: () => ({ authorization: `t${(token += 1)}` }),
      fetch: (_url, init) => {
        seen.push(new Headers(init?.headers).get('authorization') ?? '');
        if (seen.length === 2) {
          setImmediate(finish);
          return Promise.resolve(new Response(null, { status: 404 }));
        }
        return Promise.resolve(new Response(null, { status: 401 }));
      },
      onEvent: () => undefined,
    });
    const nudge = setInterval(() => open.wake(), 5);
    await finished;
    clearInterval(nudge);
    open.stop();
    expect(seen).toEqual(['t1', 't2']);
  });
});
