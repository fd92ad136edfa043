import { readdir, readFile, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { Semaphore } from '#libs/async';
import type { RunningContainer } from '#libs/engine';
import { containerOfGroup, readV1, readV2, V1_FILES, V2_FILES, type CgroupFigures } from './cgroup.js';
import { containerOfProcess, defaultInterface, parseMeminfo, parseNetDev, parseStat, type Traffic } from './proc.js';

/** Open files at once: each is read in microseconds, more would only fill libuv's queue. */
const AT_ONCE = 16;
/** Where groups of containers stand: below the engine's own, or systemd's. */
const PARENTS = ['docker', 'system.slice'];

/** What one container used since its start. */
export interface ContainerFigures extends CgroupFigures {
  /**
   * Over the interface of its default route: with visitors (through the proxy) and the internet. Null for what has no
   * way out, such as a database, and where its process could not be found.
   */
  traffic: Traffic | null;
}

export interface HostFigures {
  cpuSeconds: number;
  cores: number;
  memoryBytes: number;
  memoryTotalBytes: number;
  diskBytes: number;
  diskTotalBytes: number;
  /** Over the interface of the default route. */
  traffic: Traffic | null;
}

export interface HostPlaces {
  /** The host's control groups, read-only. */
  cgroupDir: string;
  /** The host's processes, read-only. */
  procDir: string;
  /** A path on the file system the engine keeps its data on. */
  diskPath: string;
}

/** Reads containers and host from files of the host: no process is started, and the engine is not asked. */
export class HostFiles {
  /** A process of each container, as last seen. */
  private pids = new Map<string, string>();

  constructor(private readonly places: HostPlaces) {}

  /** Figures by container id; those that ended meanwhile are missing. */
  async containers(
    running: readonly Pick<RunningContainer, 'id' | 'outward'>[],
  ): Promise<Map<string, ContainerFigures>> {
    const ids = running.map(({ id }) => id);
    const groups = await this.groups();
    if (ids.length > 0 && !ids.some((id) => groups.has(id))) {
      throw new Error(`None of ${ids.length} running containers has a control group below ${this.places.cgroupDir}`);
    }
    const pids = await this.findProcesses(running.filter(({ outward }) => outward).map(({ id }) => id));
    const reading = new Semaphore(AT_ONCE);
    const found = await Promise.all(
      ids.map((id) =>
        reading.run(async () => {
          const figures = await gone(groups.read(id));
          const pid = pids.get(id);
          return (
            figures && ([id, { ...figures, traffic: pid === undefined ? null : await this.traffic(pid) }] as const)
          );
        }),
      ),
    );
    return new Map(found.filter((entry) => entry !== null));
  }

  async host(): Promise<HostFigures> {
    const { procDir, diskPath } = this.places;
    const [cpu, memory, disk, traffic] = await Promise.all([
      readFile(join(procDir, 'stat'), 'utf8').then(parseStat),
      readFile(join(procDir, 'meminfo'), 'utf8').then(parseMeminfo),
      statfs(diskPath),
      this.traffic('self'),
    ]);
    return {
      cpuSeconds: cpu.busySeconds,
      cores: cpu.cores,
      memoryBytes: memory.totalBytes - memory.availableBytes,
      memoryTotalBytes: memory.totalBytes,
      diskBytes: (disk.blocks - disk.bfree) * disk.bsize,
      // As df counts: what is kept for root is neither used nor to be had.
      diskTotalBytes: (disk.blocks - disk.bfree + disk.bavail) * disk.bsize,
      traffic,
    };
  }

  private async groups(): Promise<{ has(id: string): boolean; read(id: string): Promise<CgroupFigures | null> }> {
    const { cgroupDir } = this.places;
    const unified = (await gone(stat(join(cgroupDir, 'cgroup.controllers')))) !== null;
    const tree = unified ? cgroupDir : join(cgroupDir, 'memory');
    const places = new Map<string, string>();
    for (const parent of PARENTS) {
      for (const name of (await gone(readdir(join(tree, parent)))) ?? []) {
        const id = containerOfGroup(name);
        if (id !== null) {
          places.set(id, join(parent, name));
        }
      }
    }
    const read = async (names: readonly string[], path: (name: string) => string): Promise<Record<string, string>> =>
      Object.fromEntries(
        await Promise.all(names.map(async (name) => [name, await readFile(path(name), 'utf8')] as const)),
      );
    return {
      has: (id) => places.has(id),
      read: async (id) => {
        const place = places.get(id);
        if (place === undefined) {
          return null;
        }
        if (unified) {
          return readV2(await read(V2_FILES, (name) => join(cgroupDir, place, name)));
        }
        return readV1(
          await read(V1_FILES, (name) => {
            const [controller = '', file = ''] = name.split('/');
            return join(cgroupDir, controller, place, file);
          }),
        );
      },
    };
  }

  /**
   * A process of each container. `cgroup.procs` would name them, but not to a reader in a process namespace of its
   * own; so the processes' own words are read: all of them only while a container's is not known.
   */
  private async findProcesses(ids: readonly string[]): Promise<Map<string, string>> {
    const wanted = new Set(ids);
    const known = new Map<string, string>();
    for (const [id, pid] of this.pids) {
      if (wanted.has(id) && (await this.containerOf(pid)) === id) {
        known.set(id, pid);
      }
    }
    if (ids.some((id) => !known.has(id))) {
      for (const pid of (await readdir(this.places.procDir)).filter((name) => /^\d+$/.test(name))) {
        const id = await this.containerOf(pid);
        if (id !== null && wanted.has(id) && !known.has(id)) {
          known.set(id, pid);
        }
      }
    }
    this.pids = known;
    return known;
  }

  private async containerOf(pid: string): Promise<string | null> {
    const text = await gone(readFile(join(this.places.procDir, pid, 'cgroup'), 'utf8'));
    return text === null ? null : containerOfProcess(text);
  }

  private async traffic(pid: string): Promise<Traffic | null> {
    const read = (name: string): Promise<string | null> =>
      gone(readFile(join(this.places.procDir, pid, 'net', name), 'utf8'));
    const [devices, routes] = await Promise.all([read('dev'), read('route')]);
    const way = routes === null ? null : defaultInterface(routes);
    return devices === null || way === null ? null : (parseNetDev(devices).get(way) ?? null);
  }
}

/** Null for what ended while it was looked at: its files are gone, or there but of nobody (ESRCH, ENODEV). */
async function gone<T>(reading: Promise<T>): Promise<T | null> {
  try {
    return await reading;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENODEV' || code === 'ESRCH' || code === 'EINVAL') {
      return null;
    }
    throw error;
  }
}
