import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LABEL, type ContainerSpec } from '../port.js';
import { FakeEngine } from './fake-engine.js';
import { exits, healthy, neverReady, outOfMemory } from './processes.js';
import { SocketEngine } from './socket-client.js';
import { FakeEngineServer } from './socket-server.js';

const bounds = { deadlineMs: 2_000 };
const labels = { [LABEL.platform]: 'p', [LABEL.tenant]: 't' };
const volume = (name: string): { name: string; labels: typeof labels } => ({ name, labels });
const container = (name: string, change: Partial<ContainerSpec> = {}): ContainerSpec => ({
  name,
  labels,
  image: 'app',
  environment: {},
  user: '10001:10001',
  mounts: [],
  tmpfs: [],
  networks: [],
  extraHosts: {},
  limits: { cpus: 1, memoryBytes: 1024, pids: 10 },
  ulimits: {},
  stopGraceSeconds: 1,
  restart: 'unless-stopped',
  ...change,
});

describe('faults of the in-memory engine', () => {
  it('fails call n of a method, before or after its effect', async () => {
    const engine = new FakeEngine();
    engine.log.failOn({ method: 'createVolume', nth: 1, code: 'ENGINE_REFUSED' });
    engine.log.failOn({ method: 'createVolume', nth: 2, code: 'ENGINE_UNREACHABLE', when: 'after' });
    await expect(engine.createVolume(volume('a'), bounds)).rejects.toMatchObject({ code: 'ENGINE_REFUSED' });
    await expect(engine.createVolume(volume('b'), bounds)).rejects.toMatchObject({ code: 'ENGINE_UNREACHABLE' });
    await engine.createVolume(volume('c'), bounds);
    expect(engine.names().volumes).toEqual(['b', 'c']);
    expect(engine.log.calls.map(({ index, nth, outcome }) => [index, nth, outcome])).toEqual([
      [1, 1, 'ENGINE_REFUSED'],
      [2, 2, 'ENGINE_UNREACHABLE'],
      [3, 3, 'done'],
    ]);
  });

  it('hangs a call until its deadline, and is gone altogether when it is down', async () => {
    const engine = new FakeEngine();
    engine.log.hangOn('createVolume', 1);
    await expect(engine.createVolume(volume('a'), { deadlineMs: 30 })).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
    });
    engine.log.down = true;
    await expect(engine.info(bounds)).rejects.toMatchObject({ code: 'ENGINE_UNREACHABLE' });
    engine.log.down = false;
    engine.log.reset();
    await engine.createVolume(volume('a'), bounds);
    expect(engine.log.mutations()).toHaveLength(1);
    expect(engine.names().volumes).toEqual(['a']);
  });

  it('runs the processes a test chooses', async () => {
    const engine = new FakeEngine({
      images: ['app'],
      behaviour: ({ name }) =>
        name === 'sick'
          ? neverReady('waiting')
          : name === 'gone'
            ? exits(2, 'no')
            : name === 'fat'
              ? outOfMemory()
              : healthy(),
    });
    for (const name of ['well', 'sick', 'gone', 'fat']) {
      await engine.createContainer(container(name, { restart: 'no' }), bounds);
      await engine.startContainer(name, bounds);
    }
    expect(['well', 'sick', 'gone', 'fat'].map((name) => engine.isReady(name))).toEqual([true, false, false, false]);
    expect(await engine.logTail('sick', 5, bounds)).toEqual(['waiting']);
    const { containers } = await engine.observe({ platform: 'p' }, bounds);
    expect(containers.map(({ name, status, exitCode, oomKilled }) => [name, status, exitCode, oomKilled])).toEqual([
      ['well', 'running', null, false],
      ['sick', 'running', null, false],
      ['gone', 'exited', 2, false],
      ['fat', 'exited', 137, true],
    ]);
    engine.exit('well', 1);
    expect(engine.isReady('well')).toBe(false);
  });

  it('brings back after a reboot what ran under unless-stopped, and only that', async () => {
    const engine = new FakeEngine({ images: ['app'] });
    for (const [name, restart] of [
      ['kept', 'unless-stopped'],
      ['once', 'no'],
      ['stopped', 'unless-stopped'],
    ] as const) {
      await engine.createContainer(container(name, { restart }), bounds);
      await engine.startContainer(name, bounds);
    }
    await engine.stopContainer('stopped', 1, bounds);
    engine.reboot();
    const { containers } = await engine.observe({ platform: 'p' }, bounds);
    expect(containers.map(({ name, status }) => [name, status])).toEqual([
      ['kept', 'running'],
      ['once', 'exited'],
      ['stopped', 'exited'],
    ]);
  });
});

describe('an engine lent through a socket', () => {
  let folder: string;
  let engine: FakeEngine;
  let server: FakeEngineServer;
  let client: SocketEngine;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'aviary-lent-'));
    engine = new FakeEngine();
    server = await FakeEngineServer.listen(engine, join(folder, 'engine.sock'));
    client = new SocketEngine(join(folder, 'engine.sock'));
  });
  afterEach(async () => {
    await client.close();
    await server.close();
    await rm(folder, { recursive: true });
  });

  it('executes the call it waits for and never answers it; later calls are served', async () => {
    const held = server.holdAfter(2, 'mutations');
    await client.createVolume(volume('a'), bounds);
    await client.observe({ platform: 'p' }, bounds);
    const unanswered = client.createVolume(volume('b'), { deadlineMs: 200 });
    expect(await held).toBe('createVolume');
    expect(engine.names().volumes).toEqual(['a', 'b']);
    await client.createVolume(volume('c'), bounds);
    await expect(unanswered).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    expect([server.calls, server.mutations]).toEqual([4, 3]);
    server.resetCounts();
    expect([server.calls, server.mutations]).toEqual([0, 0]);
  });

  it('executes, then cuts the line: the caller hears that nobody answers, and may come back', async () => {
    const cut = server.cutAfter(1);
    await expect(client.createVolume(volume('a'), bounds)).rejects.toMatchObject({ code: 'ENGINE_UNREACHABLE' });
    expect(await cut).toBe('createVolume');
    await client.createVolume(volume('a'), bounds);
    expect(engine.names().volumes).toEqual(['a']);
  });

  it('carries errors with code and details, and says when there is no server', async () => {
    await expect(client.startContainer('no', bounds)).rejects.toMatchObject({
      code: 'ENGINE_REFUSED',
      details: { status: 404 },
    });
    await server.close();
    await expect(client.info(bounds)).rejects.toMatchObject({ code: 'ENGINE_UNREACHABLE' });
    server = await FakeEngineServer.listen(engine, join(folder, 'engine.sock'));
    await expect(client.info(bounds)).resolves.toMatchObject({ id: 'in-memory' });
  });
});
