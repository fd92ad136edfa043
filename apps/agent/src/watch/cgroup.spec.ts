import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { containerOfGroup, readV1, readV2, V1_FILES, V2_FILES } from './cgroup.js';

/**
 * `trees/v1` was copied from a running container of a stack with 153 MiB. `trees/v2` is written by hand after the
 * kernel's Documentation/admin-guide/cgroup-v2.rst: no machine with version 2 was at hand.
 */
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

  it('reads version 2 as the kernel documents it', async () => {
    expect(readV2(await files('v2', V2_FILES))).toEqual({
      cpuSeconds: 12.345678,
      throttledSeconds: 1.5,
      memoryBytes: 94_371_840 - 20_971_520,
      memoryLimitBytes: 134_217_728,
      oomKills: 2,
      pids: 11,
    });
  });

  it('knows both words for no limit', async () => {
    const v1 = await files('v1', V1_FILES);
    expect(readV1({ ...v1, 'memory/memory.limit_in_bytes': '9223372036854771712\n' }).memoryLimitBytes).toBeNull();
    const v2 = await files('v2', V2_FILES);
    expect(readV2({ ...v2, 'memory.max': 'max\n' }).memoryLimitBytes).toBeNull();
  });

  it('never says less than nothing when the cache grew between the two reads', async () => {
    const v1 = await files('v1', V1_FILES);
    expect(readV1({ ...v1, 'memory/memory.usage_in_bytes': '1000\n' }).memoryBytes).toBe(0);
  });

  it('refuses a file that is no number instead of counting it as nothing', async () => {
    const v1 = await files('v1', V1_FILES);
    expect(() => readV1({ ...v1, 'memory/memory.usage_in_bytes': '' })).toThrow('memory.usage_in_bytes');
    const { 'memory.current': _left, ...rest } = await files('v2', V2_FILES);
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
