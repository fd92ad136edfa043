import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type RequestListener, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { plainContainer } from '../fake/plain-container.js';
import { DockerEngine } from './docker-engine.js';

/** A counterpart that misbehaves in ways a healthy engine does not. */
describe('DockerEngine before an engine in trouble', () => {
  let folder: string;
  let path: string;
  let server: Server | undefined;
  const asked: string[] = [];
  const version = { Version: '20.10.24', ApiVersion: '1.41', MinAPIVersion: '1.12' };

  const listen = async (listener: RequestListener): Promise<void> => {
    server = createServer((request, response) => {
      asked.push(request.url ?? '');
      listener(request, response);
    });
    await new Promise<void>((resolve) => server?.listen(path, resolve));
  };
  const stop = async (): Promise<void> => {
    server?.closeAllConnections();
    await new Promise((resolve) => (server ? server.close(resolve) : resolve(undefined)));
    server = undefined;
  };

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aviary-client-'));
    path = join(folder, 'docker.sock');
    asked.length = 0;
  });
  afterEach(async () => {
    await stop();
    await rm(folder, { recursive: true });
  });

  it('says that nobody answers, and works once somebody does', async () => {
    const engine = new DockerEngine({ endpoint: `unix://${path}` });
    await expect(engine.imageId('a', { deadlineMs: 1_000 })).rejects.toMatchObject({ code: 'ENGINE_UNREACHABLE' });
    await listen((request, response) =>
      response.end(JSON.stringify(request.url === '/version' ? version : { Id: 'sha256:aa' })),
    );
    expect(await engine.imageId('a', { deadlineMs: 1_000 })).toBe('sha256:aa');
    expect(await engine.imageId('b', { deadlineMs: 1_000 })).toBe('sha256:aa');
    expect(asked).toEqual(['/version', '/v1.41/images/a/json', '/v1.41/images/b/json']);
  });

  it('reads what an image sets for what runs of it, of one that sets nothing too, and says where there is none', async () => {
    const engine = new DockerEngine({ endpoint: `unix://${path}` });
    const images: Record<string, object> = {
      '/v1.41/images/a/json': { Id: 'sha256:aa', Config: { Env: ['PG_MAJOR=17', 'LANG=C.UTF-8', 'ARGS=--a=b --c=d'] } },
      '/v1.41/images/b/json': { Id: 'sha256:bb', Config: { Env: null } },
    };
    await listen(({ url = '' }, response) => {
      const found = url === '/version' ? version : images[url];
      response.statusCode = found === undefined ? 404 : 200;
      response.end(JSON.stringify(found ?? { message: 'No such image' }));
    });
    const bounds = { deadlineMs: 1_000 };
    expect(await engine.imageEnvironment('a', bounds)).toEqual({
      PG_MAJOR: '17',
      LANG: 'C.UTF-8',
      ARGS: '--a=b --c=d',
    });
    expect(await engine.imageEnvironment('b', bounds)).toEqual({});
    expect(await engine.imageEnvironment('c', bounds)).toBeNull();
  });

  it('asks for the version anew after the engine was away', async () => {
    const engine = new DockerEngine({ endpoint: `unix://${path}` });
    const answers: RequestListener = (request, response) =>
      response.end(JSON.stringify(request.url === '/version' ? version : { Id: 'sha256:aa' }));
    await listen(answers);
    await engine.imageId('a', { deadlineMs: 1_000 });
    await stop();
    await expect(engine.imageId('a', { deadlineMs: 1_000 })).rejects.toMatchObject({ code: 'ENGINE_UNREACHABLE' });
    await listen(answers);
    await engine.imageId('a', { deadlineMs: 1_000 });
    expect(asked.filter((url) => url === '/version')).toHaveLength(2);
  });

  it('ends at the deadline when the engine takes the call and never answers', async () => {
    const engine = new DockerEngine({ endpoint: `unix://${path}` });
    await listen((request, response) => {
      if (request.url === '/version') {
        response.end(JSON.stringify(version));
      }
    });
    await expect(engine.imageId('a', { deadlineMs: 80 })).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    await expect(engine.startContainer('a', { deadlineMs: 80 })).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
  });

  it('frees the slot of a start that was given up', async () => {
    const engine = new DockerEngine({ endpoint: `unix://${path}`, parallel: 1 });
    let calls = 0;
    await listen((request, response) => {
      calls += 1;
      if (request.url === '/version') {
        response.end(JSON.stringify(version));
      } else if (calls > 2) {
        response.writeHead(204).end();
      }
    });
    await expect(engine.startContainer('a', { deadlineMs: 80 })).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    await engine.startContainer('b', { deadlineMs: 1_000 });
  });

  it('FM-23 lets forty stacks’ creates and starts at once reach the engine six at a time, helpers’ and couriers’ too', async () => {
    const engine = new DockerEngine({ endpoint: `unix://${path}` });
    const labels = { 'aviary.platform': '0190a000-0000-7000-8000-000000000001' };
    let inFlight = 0;
    let most = 0;
    let done = 0;
    await listen((request, response) => {
      const { method = '', url = '' } = request;
      const json = (status: number, body: unknown): void => void response.writeHead(status).end(JSON.stringify(body));
      request.resume();
      if (url === '/version') {
        json(200, version);
      } else if (/^POST .*[/]containers[/](create|[^/]+[/]start)/.test(`${method} ${url}`)) {
        inFlight += 1;
        most = Math.max(most, inFlight);
        setTimeout(() => {
          inFlight -= 1;
          done += 1;
          json(url.includes('/create') ? 201 : 204, { Id: 'a'.repeat(64), Warnings: [] });
        }, 10);
      } else if (url.includes('/wait')) {
        json(200, { StatusCode: 0 });
      } else if (url.includes('/volumes/')) {
        json(200, { Name: 'any' });
      } else if (method === 'GET' && url.endsWith('/json')) {
        json(404, { message: 'no such container' });
      } else {
        response.end();
      }
    });
    const bounds = { deadlineMs: 20_000 };
    const files = [{ path: 'password', content: 'x', mode: 0o400, uid: 1, gid: 1 }];
    const helper = { image: 'sha256:aa', command: ['true'], hostNetwork: false, capabilities: [], user: '0:0' };
    await Promise.all(
      Array.from({ length: 40 }, async (_unused, index) => {
        await Promise.all([
          engine.createContainer(plainContainer(`c${index}`, labels), bounds),
          engine.fillVolumes(
            { name: `v${index}`, labels, image: 'sha256:aa', volumes: [{ volume: `v${index}`, files }] },
            bounds,
          ),
          engine.runOnce({ ...helper, name: `h${index}`, labels }, bounds),
        ]);
        await engine.startContainer(`c${index}`, bounds);
      }),
    );
    expect({ most, done }).toEqual({ most: 6, done: 200 });
    expect(asked.filter((url) => url.includes('/images/create'))).toEqual([]);
  });

  it('makes a network of which the engine already holds the subnet and does not show it yet', async () => {
    const engine = new DockerEngine({ endpoint: `unix://${path}` });
    const labels = { 'aviary.platform': '0190a000-0000-7000-8000-000000000001' };
    const spec = {
      name: 'aviary-97fb-edge-0',
      labels,
      subnet: '10.131.192.0/22',
      gateway: '10.131.192.1',
      ipRange: '10.131.192.0/26',
      internal: false,
      icc: false,
      bridgeName: 'av97fbe0',
    };
    const shown = {
      Id: 'b'.repeat(64),
      Name: spec.name,
      Labels: labels,
      Internal: false,
      IPAM: { Config: [{ Subnet: spec.subnet, Gateway: spec.gateway, IPRange: spec.ipRange }] },
      Options: {
        'com.docker.network.bridge.name': spec.bridgeName,
        'com.docker.network.bridge.enable_icc': 'false',
      },
    };
    let looks = 0;
    await listen((request, response) => {
      const json = (status: number, body: unknown): void => void response.writeHead(status).end(JSON.stringify(body));
      request.resume();
      if (request.url === '/version') {
        json(200, version);
      } else if (request.method === 'POST') {
        json(403, { message: 'Pool overlaps with other one on this address space' });
      } else {
        looks += 1;
        json(looks > 2 ? 200 : 404, looks > 2 ? shown : { message: `network ${spec.name} not found` });
      }
    });
    await engine.createNetwork(spec, { deadlineMs: 10_000 });
    expect(looks).toBe(3);
  });

  it('FM-6 refuses an engine that is too new before it asks anything else of it', async () => {
    const engine = new DockerEngine({ endpoint: `unix://${path}` });
    await listen((_request, response) =>
      response.end(JSON.stringify({ Version: '99', ApiVersion: '1.120', MinAPIVersion: '1.100' })),
    );
    await expect(engine.imageId('a', { deadlineMs: 1_000 })).rejects.toMatchObject({
      code: 'ENGINE_REFUSED',
      message: expect.stringContaining('Upgrade Aviary') as unknown,
    });
    expect(asked).toEqual(['/version']);
  });

  it('refuses an address it cannot read', () => {
    for (const endpoint of ['', '/var/run/docker.sock', 'http://example.org', 'unix://']) {
      expect(() => new DockerEngine({ endpoint })).toThrow('unix:///path or tcp://host:port');
    }
  });
});
