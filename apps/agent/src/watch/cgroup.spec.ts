import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { containerOfGroup, readV1, readV2, V1_FILES, V2_FILES } from './cgroup.js';
import { HostFiles } from './host-files.js';
import { containerOfProcess } from './proc.js';

/** Recorded from kernels of both versions; trees/README.md says how. */
const V2 = join(__dirname, 'trees/v2');
const idOf = (name: string): string => createHash('sha256').update(name).digest('hex');
const [BUSY, GREEDY, FREE] = [idOf('busy'), idOf('greedy'), idOf('free')];
const files = async (tree: string, names: readonly string[]): Promise<Record<string, string>> =>
  Object.fromEntries(
    await Promise.all(
      names.map(async (name) => [name, await readFile(join(__dirname, 'trees', tree, name), 'utf8')] as const),
    ),
  );

describe('control groups', () => {
  it('reads version 1 as recorded from a container with a limit', async () => {
    expect(readV1(await files('v1', V1_FILES))).toEqual({
      cpuSeconds: 0.202308147,
      throttledSeconds: 0.251628339,
      memoryBytes: 48_234_496 - 40_939_520,
      memoryLimitBytes: 160_432_128,
      oomKills: 0,
      pids: 4,
    });
  });

  it('reads version 2 as recorded, in groups of either of the engine’s drivers', async () => {
    const host = new HostFiles({ cgroupDir: join(V2, 'cgroup'), procDir: join(V2, 'proc'), diskPath: '/' });
    const found = await host.containers([BUSY, GREEDY, FREE].map((id) => ({ id, outward: false })));
    // Held to three tenths of a core; all it read of a disk of 24 MiB is cache that is given back.
    expect(found.get(BUSY)).toEqual({
      cpuSeconds: 3.759757,
      throttledSeconds: 8.676953,
      memoryBytes: 25_489_408 - 25_165_824,
      memoryLimitBytes: 64 * 1024 ** 2,
      oomKills: 0,
      pids: 1,
      traffic: null,
    });
    // What took too much was killed once; the shell that began it lives on with what it did next.
    expect(found.get(GREEDY)).toEqual({
      cpuSeconds: 2.260752,
      throttledSeconds: 0,
      memoryBytes: 139_264,
      memoryLimitBytes: 32 * 1024 ** 2,
      oomKills: 1,
      pids: 2,
      traffic: null,
    });
    expect(found.get(FREE)).toEqual({
      cpuSeconds: 0.014197,
      throttledSeconds: 0,
      memoryBytes: 139_264,
      memoryLimitBytes: null,
      oomKills: 0,
      pids: 2,
      traffic: null,
    });
  });

  it('finds the container of each process that was recorded with them', async () => {
    const pids = await readdir(join(V2, 'proc'));
    const texts = await Promise.all(pids.map((pid) => readFile(join(V2, 'proc', pid, 'cgroup'), 'utf8')));
    expect(new Set(texts.map(containerOfProcess))).toEqual(new Set([BUSY, GREEDY, FREE]));
  });

  it('knows version 1’s word for no limit', async () => {
    const v1 = await files('v1', V1_FILES);
    expect(readV1({ ...v1, 'memory/memory.limit_in_bytes': '9223372036854771712\n' }).memoryLimitBytes).toBeNull();
  });

  it('never says less than nothing when the cache grew between the two reads', async () => {
    const v1 = await files('v1', V1_FILES);
    expect(readV1({ ...v1, 'memory/memory.usage_in_bytes': '1000\n' }).memoryBytes).toBe(0);
  });

  it('refuses a file that is no number instead of counting it as nothing', async () => {
    const v1 = await files('v1', V1_FILES);
    expect(() => readV1({ ...v1, 'memory/memory.usage_in_bytes': '' })).toThrow('memory.usage_in_bytes');
    const { 'memory.current': _left, ...rest } = await files(`v2/cgroup/docker/${FREE}`, V2_FILES);
    expect(() => readV2(rest)).toThrow('memory.current');
  });

  it('tells containers from other groups', () => {
    const id = 'ab'.repeat(32);
    expect(containerOfGroup(id)).toBe(id);
    expect(containerOfGroup(`docker-${id}.scope`)).toBe(id);
    expect(containerOfGroup('ssh.service')).toBeNull();
    expect(containerOfGroup(`buildkit-${id}.scope`)).toBeNull();
    expect(containerOfGroup('memory.stat')).toBeNull();
  });
});
