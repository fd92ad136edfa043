import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { waitFor } from '#libs/async';
import { EngineEntity } from '#libs/db';
import { HostFiles } from '../../apps/agent/src/watch/host-files.js';
import { sampleHost, sampleStacks, type Look, type Place } from '../../apps/agent/src/watch/meter.js';
import { UsageWatcher } from '../../apps/agent/src/watch/usage-watcher.js';
import { addressIn, bounds, ContractWorld } from '../../libs/engine/src/contract/contract-world.js';
import { DockerEngine, DockerWatch, LABEL, type ContainerSpec } from '../../libs/engine/src/index.js';
import { docker, engineEndpoint, engineSocket, pidOf } from '../support/engine.js';
import { EngineDoor } from '../support/engine-door.js';
import { testDatabase, type TestDatabase } from '../support/postgres.js';
import { shellPrograms } from '../support/shell-programs.js';

jest.setTimeout(90_000);

const MIB = 1024 ** 2;
/** Of /proc: a hundredth of a second. */
const TICK = 0.01;

/** Real containers whose load is known, measured from outside by what the agent measures with. */
describe('what containers use', () => {
  const endpoint = engineEndpoint();
  const watch = new DockerWatch({ endpoint });
  const files = new HostFiles({ cgroupDir: '/sys/fs/cgroup', procDir: '/proc', diskPath: '/' });
  const world = new ContractWorld(() =>
    Promise.resolve({
      engine: new DockerEngine({ endpoint }),
      image: process.env['AVIARY_TEST_IMAGE'] ?? '',
      programs: shellPrograms,
      prefix: process.env['AVIARY_TEST_PREFIX'] ?? '10.222',
      close: () => Promise.resolve(),
    }),
  );
  beforeAll(() => world.open());
  afterEach(() => world.clear());

  async function look(): Promise<{
    places: Map<string, Place>;
    seen: Look<Awaited<ReturnType<typeof files.containers>>>;
  }> {
    const running = await watch.running(world.mine, bounds);
    const places = new Map(
      running.map(({ id, labels }) => [
        id,
        { tenantId: labels[LABEL.tenant] ?? '', service: labels[LABEL.service] ?? '' },
      ]),
    );
    return { places, seen: { atMs: performance.now(), figures: await files.containers(running) } };
  }

  const started = (name: string, script: string, change: Partial<ContainerSpec> = {}): Promise<ContainerSpec> =>
    world.started(world.container(name, { command: ['bash', '-c', script], ...change }));

  /** Until the process says in its log that it is at it. */
  const saidReady = (spec: ContainerSpec): Promise<unknown> =>
    waitFor(async () => ((await world.engine.logTail(spec.name, 5, bounds)).includes('ready') ? true : undefined), {
      what: `${spec.name} to be at work`,
      deadlineMs: 20_000,
    });

  /** Seconds of processor time that the one process has had which its container's init runs. */
  async function consumedBy({ name }: ContainerSpec): Promise<() => number> {
    const init = await pidOf(name);
    const child = readFileSync(`/proc/${init}/task/${init}/children`, 'utf8').trim();
    return () => {
      const [, after = ''] = readFileSync(`/proc/${child}/stat`, 'utf8').split(') ');
      const [user, system] = after.split(' ').slice(11, 13).map(Number);
      return ((user ?? NaN) + (system ?? NaN)) * TICK;
    };
  }

  it('is its processor time up to its limit, the memory it holds without the page cache, and its processes', async () => {
    const busy = await started('busy', 'echo ready; while :; do :; done', {
      limits: { cpus: 0.3, memoryBytes: 64 * MIB, pids: 32 },
    });
    const full = await started('full', 'head -c 30M /dev/zero > /tmp/held; echo ready; exec sleep 3600', {
      tmpfs: [{ target: '/tmp', sizeBytes: 40 * MIB }],
    });
    await saidReady(busy);
    await saidReady(full);
    const consumed = await consumedBy(busy);
    const host = { atMs: performance.now(), figures: await files.host() };
    const [from, before, since] = [consumed(), await look(), consumed()];
    await pause(5_000);
    const [until, after, to] = [consumed(), await look(), consumed()];
    const seconds = (after.seen.atMs - before.seen.atMs) / 1_000;
    const sample = sampleStacks(after.places, before.seen, after.seen).get(world.tenant);
    const of = (service: string) => sample?.services.find((one) => one.service === service);
    // What the kernel says of the process itself, asked around each look: others may leave it less than it may have.
    const measured = (of('busy')?.cpu ?? 0) * seconds;
    expect(measured).toBeGreaterThanOrEqual(until - since - 2 * TICK);
    expect(measured).toBeLessThanOrEqual(to - from + 2 * TICK);
    expect(until - since).toBeGreaterThan(10 * TICK);
    // A third of a core is all it may have; the scheduler hands it out in slices of 100 ms.
    expect(of('busy')?.cpu).toBeLessThan(0.36);
    expect(of('full')?.cpu).toBeLessThan(0.05);
    expect(sample?.cpu).toBeCloseTo((of('busy')?.cpu ?? 0) + (of('full')?.cpu ?? 0), 9);
    expect(of('full')?.memoryBytes).toBeGreaterThan(30 * MIB);
    expect(of('full')?.memoryBytes).toBeLessThan(40 * MIB);
    expect(of('full')).toMatchObject({ memoryLimitBytes: 64 * MIB, oomKills: 0, pids: 2 });
    expect(of('busy')?.memoryBytes).toBeLessThan(10 * MIB);
    const machine = sampleHost(host, { atMs: performance.now(), figures: await files.host() });
    // Not the same moments quite.
    expect(machine.cpu).toBeGreaterThan(0.8 * (of('busy')?.cpu ?? Infinity));
    expect(machine.cpu).toBeLessThanOrEqual(machine.cores + 0.05);
    expect(machine.memoryBytes).toBeGreaterThan(of('full')?.memoryBytes ?? Infinity);
    expect(machine.memoryBytes).toBeLessThan(machine.memoryTotalBytes);
    expect(machine.diskBytes).toBeLessThan(machine.diskTotalBytes);
  });

  it('does not count page cache the kernel would give back', async () => {
    const volume = { name: world.named('cache'), labels: world.labels() };
    await world.engine.createVolume(volume, bounds);
    await world.engine.fillVolumes(
      {
        name: world.named('courier'),
        labels: world.labels(),
        image: world.image,
        volumes: [
          { volume: volume.name, files: [{ path: 'file', content: '', mode: 0o600, uid: 10_001, gid: 10_001 }] },
        ],
      },
      bounds,
    );
    const spec = await started(
      'reader',
      'head -c 40M /dev/zero > /data/file; cat /data/file > /dev/null; echo ready; exec sleep 3600',
      {
        mounts: [{ volume: volume.name, target: '/data', readOnly: false }],
      },
    );
    await saidReady(spec);
    const { id } = await world.state(spec);
    // Where version 2 of control groups has it, and version 1.
    const places = 'memory.current memory/memory.usage_in_bytes';
    const usage = Number(
      await docker('exec', '-w', '/sys/fs/cgroup', spec.name, 'sh', '-c', `cat $(ls ${places} 2>/dev/null)`),
    );
    const seen = (await files.containers([{ id, outward: false }])).get(id);
    // The cache is there and counted by the kernel against the limit …
    expect(usage).toBeGreaterThan(40 * MIB);
    // … and is no memory anybody would miss.
    expect(seen?.memoryBytes).toBeLessThan(15 * MIB);
    const disk = await watch.diskUse(world.mine, bounds);
    expect(disk.find(({ name }) => name === volume.name)).toMatchObject({ kind: 'volume', bytes: 40 * MIB });
  });

  it('is the traffic over its way out, of which a container on an internal network has none', async () => {
    const outside = world.network('outside', { internal: false });
    const inside = world.network('inside');
    await world.engine.createNetwork(outside, bounds);
    await world.engine.createNetwork(inside, bounds);
    // 2 000 datagrams of 1 000 bytes, each with 28 bytes of headers and 14 of the frame, and to its neighbour as much
    const talk = (to: string): string =>
      `blob=$(printf %01000d 0); for i in {1..2000}; do printf %s $blob > /dev/udp/${to}/9; done 2>/dev/null`;
    const both = await started(
      'both',
      `sleep 2; ${talk(outside.gateway)}; ${talk(inside.gateway)}; echo ready; exec sleep 3600`,
      {
        networks: [
          { network: outside.name, address: addressIn(outside, 5), aliases: [] },
          { network: inside.name, address: addressIn(inside, 5), aliases: [] },
        ],
      },
    );
    await started('alone', 'exec sleep 3600', {
      networks: [{ network: inside.name, address: addressIn(inside, 6), aliases: [] }],
    });
    const before = await look();
    await saidReady(both);
    const after = await look();
    const ids = Object.fromEntries([...after.places].map(([id, { service }]) => [service, id]));
    expect(after.seen.figures.get(ids['alone'] ?? '')?.traffic).toBeNull();
    const sample = sampleStacks(after.places, before.seen, after.seen).get(world.tenant);
    expect(sample?.sentBytes).toBeGreaterThanOrEqual(2_000 * 1_042);
    expect(sample?.sentBytes).toBeLessThan(2_000 * 1_042 + 20_000);
  });

  describe('by the agent', () => {
    let folder: string;
    let door: EngineDoor;
    let database: TestDatabase;
    let usage: UsageWatcher;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'aviary-usage-'));
      door = await EngineDoor.open(join(folder, 'engine.sock'), engineSocket());
      const { default: startPostgres } = await import('../support/postgres-global.mjs');
      await startPostgres();
      database = await testDatabase();
      const { dataSource } = database;
      const at = new Date();
      const capacity = { memoryMb: 1_000, cpus: 1 };
      await dataSource.manager.insert(EngineEntity, {
        id: 'local',
        kind: 'docker',
        capacity,
        createdAt: at,
        seenAt: at,
      });
      usage = new UsageWatcher({
        engine: new DockerWatch({ endpoint: `unix://${door.path}` }),
        files,
        dataSource,
        platformId: world.platform,
        engineId: 'local',
        now: () => new Date(),
        clock: () => performance.now(),
      });
    });
    afterAll(async () => {
      await database?.close();
      await (globalThis as { stopPostgres?: () => Promise<void> }).stopPostgres?.();
      await door?.close();
      await rm(folder, { recursive: true });
    });

    /** Calls of one pass and one look at the disks, and what was measured. */
    async function pass(): Promise<{ calls: string[]; measured: string[] }> {
      door.calls.length = 0;
      const { stacks } = await usage.turn();
      await usage.measureDisk();
      const services = stacks.flatMap((stack) => stack.services.map(({ service }) => service));
      const sorted = (texts: readonly string[]): string[] => texts.toSorted((a, b) => a.localeCompare(b));
      return { calls: sorted(door.calls.map(({ step }) => step)), measured: sorted(services) };
    }

    it('FM-24 is read without an exec and without asking the engine once per container', async () => {
      const since = Math.floor(Date.now() / 1_000);
      const start = (...names: string[]): Promise<unknown> =>
        Promise.all(names.map((name) => world.started(world.container(name))));
      await start('a', 'b');
      // The first also asks for the engine's version, once.
      await pass();
      const few = await pass();
      await start('c', 'd', 'e', 'f', 'g', 'h');
      const many = await pass();
      expect(few.measured).toEqual(['a', 'b']);
      expect(many.measured).toEqual(['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']);
      expect(few.calls).toEqual(['GET /containers/json', 'GET /networks', 'GET /system/df']);
      expect(many.calls).toEqual(few.calls);
      // One by hand shows that an exec would be told.
      await docker('exec', world.named('c'), 'true');
      const until = Math.floor(Date.now() / 1_000) + 1;
      const when = ['--since', String(since), '--until', String(until)];
      const whose = ['--filter', `label=${LABEL.platform}=${world.platform}`];
      const told = await docker('events', ...when, ...whose, '--format', '{{.Actor.Attributes.name}} {{.Action}}');
      const execs = told.split('\n').filter((event) => event.includes(' exec_create'));
      expect(execs.map((event) => event.split(' ')[0])).toEqual([world.named('c')]);
    });
  });

  it('gives a followed log as it is written, each line with its time, and none of a container of others', async () => {
    const spec = await started(
      'talks',
      'for i in {1..500}; do echo "line $i"; done; echo oops >&2; sleep 1; head -c 40000 /dev/zero | tr "\\0" x; echo; echo last; sleep 1',
    );
    const stop = AbortSignal.timeout(30_000);
    const lines = [];
    for await (const line of watch.log(spec.name, world.mine, { tail: 1_000, follow: true }, stop)) {
      lines.push(line);
    }
    expect(lines.filter(({ stream }) => stream === 'out').map(({ text }) => text)).toEqual([
      ...Array.from({ length: 500 }, (_unused, index) => `line ${index + 1}`),
      'x'.repeat(40_000),
      'last',
    ]);
    expect(lines.filter(({ stream }) => stream === 'err').map(({ text }) => text)).toEqual(['oops']);
    const rest = [];
    const { at } = lines.at(-2) ?? { at: '' };
    for await (const line of watch.log(spec.name, world.mine, { tail: 1_000, follow: false, after: at }, stop)) {
      rest.push(line.text);
    }
    expect(rest).toEqual(['last']);
    const theirs = watch.log(spec.name, { platform: world.stranger }, { tail: 1, follow: false }, stop);
    await expect(theirs[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('leaves out what ended while it looked', async () => {
    const gone = await world.started(world.container('gone'));
    await world.started(world.container('stays'));
    const { id } = await world.state(gone);
    const { id: other } = await world.state(world.container('stays'));
    await world.engine.removeContainer(gone.name, world.mine, bounds);
    const seen = await files.containers([id, other].map((one) => ({ id: one, outward: true })));
    expect([...seen.keys()]).toEqual([other]);
    await expect(files.containers([{ id, outward: true }])).rejects.toThrow('None of 1 running containers');
  });
});
