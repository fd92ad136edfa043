import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { waitFor } from '#libs/async';
import { LABEL, type EngineEvent } from '../port.js';
import { DockerEngine } from './docker-engine.js';

const VERSION = { Version: '20.10.24', ApiVersion: '1.41', MinAPIVersion: '1.12' };
const started = (name: string, timeNano: string): string =>
  JSON.stringify({
    Type: 'container',
    Action: 'start',
    Actor: { ID: 'c1', Attributes: { name, [LABEL.platform]: 'p', [LABEL.tenant]: 't' } },
  }).replace(/}$/, `,"timeNano":${timeNano}}\n`);

/** An engine whose stream of events does what a healthy one never does. */
describe('FM-29 events of an engine in trouble', () => {
  let folder: string;
  let server: Server;
  let streams: ServerResponse[];
  let asked: URLSearchParams[];
  let heard: EngineEvent[];
  let control: AbortController;
  let following: Promise<void>;

  const stream = (nth: number): Promise<ServerResponse> =>
    waitFor(() => streams[nth - 1], { what: `stream ${nth}`, deadlineMs: 5_000 });
  const hear = (count: number): Promise<true> =>
    waitFor(() => heard.length >= count || undefined, { what: `${count} events`, deadlineMs: 5_000 });

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aviary-events-'));
    [streams, asked, heard] = [[], [], []];
    server = createServer((request, response) => {
      const { pathname, searchParams } = new URL(request.url ?? '', 'http://engine');
      if (pathname === '/version') {
        response.end(JSON.stringify(VERSION));
      } else if (pathname.endsWith('/info')) {
        response.end(JSON.stringify({ SystemTime: '2026-01-01T00:00:00.5Z' }));
      } else {
        asked.push(searchParams);
        response.flushHeaders();
        streams.push(response);
      }
    });
    const path = join(folder, 'docker.sock');
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const engine = new DockerEngine({ endpoint: `unix://${path}`, quietMs: 300 });
    control = new AbortController();
    following = (async () => {
      for await (const event of engine.events({ platform: 'p' }, control.signal)) {
        heard.push(event);
      }
    })();
  });
  afterEach(async () => {
    control.abort();
    await following;
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await rm(folder, { recursive: true });
  });

  it('survives a line that is no event, says that something was missed, and goes on', async () => {
    const response = await stream(1);
    response.write(`{"half": \n${started('a', '1767225600700000001')}`);
    await hear(3);
    expect(heard.map(({ kind }) => kind)).toEqual(['resync', 'resync', 'container started']);
    expect(streams).toHaveLength(1);
  });

  it('takes an error inside a stream that began with 200 for a loss, and a cut one too: told, then told again of all', async () => {
    (await stream(1)).write('{"message":"no more events for you"}\n');
    (await stream(2)).destroy();
    await stream(3);
    await hear(5);
    expect(heard.map(({ kind }) => kind)).toEqual(['resync', 'lost', 'resync', 'lost', 'resync']);
    expect(heard[1]).toMatchObject({ reason: expect.stringContaining('no more events for you') as unknown });
  });

  it('opens a silent stream anew, from where the last one ended, so that nothing is told twice or never', async () => {
    (await stream(1)).write(started('a', '1767225600700000001'));
    // Whichever is the newest: under load some more have come and gone.
    await stream(2);
    const second = streams.at(-1);
    expect(asked.slice(0, 2).map((query) => query.get('since'))).toEqual([
      '1767225600.500000000',
      '1767225600.700000002',
    ]);
    second?.write(started('b', '1767225600800000000'));
    await hear(3);
    expect(heard).toMatchObject([{ kind: 'resync' }, { name: 'a' }, { name: 'b' }]);
  });

  it('leaves out what is another platform’s, and asks for no labels, which networks and volumes have none of', async () => {
    const response = await stream(1);
    response.write(started('a', '1767225600700000001').replace('"p"', '"somebody"'));
    response.write(
      '{"Type":"volume","Action":"destroy","timeNano":1767225600700000001,"Actor":{"ID":"v1","Attributes":{"driver":"local"}}}\n',
    );
    await hear(2);
    const unnamed = { containerId: null, labels: null, exitCode: null };
    expect(heard[1]).toEqual({ kind: 'volume removed', name: 'v1', at: new Date(1_767_225_600_700), ...unnamed });
    expect(asked[0]?.get('filters')).not.toContain('label');
  });
});
