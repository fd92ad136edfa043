import { readFile, statfs } from 'node:fs/promises';
import type { Config } from '#libs/config';
import type { EngineCapacity } from '#libs/contracts';
import type { EngineInfo } from '#libs/engine';
import type { HostDisk } from '#libs/tenants';

type Settings = Pick<
  Config<'agent'>,
  'OVERCOMMIT_MEMORY' | 'OVERCOMMIT_CPU' | 'OVERCOMMIT_DISK' | 'OVERCOMMIT_PIDS' | 'DISK_FLOOR_MB' | 'EDGE_PORTS'
>;

/** A number of the kernel's, or null where this namespace does not show it (neighbour tables: the first one alone). */
export async function kernelNumber(name: string): Promise<number | null> {
  const text = await readFile(`/proc/sys/${name}`, 'utf8').catch(() => null);
  return text === null ? null : Number(text.trim());
}

export interface HostRoom {
  disk: { totalMb: number; freeMb: number };
  pidMax: number | null;
  inotifyInstances: number | null;
  neighbours: number | null;
}

/** What of a host runs out beside memory and CPU. This container's root lies in the engine's folder: its disk is that one's. */
export async function hostRoom(): Promise<HostRoom> {
  const { bavail, bfree, blocks, bsize } = await statfs('/');
  const mib = (count: number): number => Math.floor((count * bsize) / 1024 ** 2);
  return {
    // What a file system keeps for itself is not there for anybody.
    disk: { totalMb: mib(blocks - bfree + bavail), freeMb: mib(bavail) },
    pidMax: await kernelNumber('kernel/pid_max'),
    inotifyInstances: await kernelNumber('fs/inotify/max_user_instances'),
    neighbours: await kernelNumber('net/ipv4/neigh/default/gc_thresh3'),
  };
}

/** The disk of this host's stacks, and what of it must stay free. */
export async function hostDisk({ DISK_FLOOR_MB }: Pick<Settings, 'DISK_FLOOR_MB'>): Promise<HostDisk> {
  const { disk } = await hostRoom();
  return { ...disk, floorMb: DISK_FLOOR_MB };
}

/** What this engine has now and how much of it may be promised. */
export async function engineCapacity(
  info: Pick<EngineInfo, 'memoryBytes' | 'cpus' | 'cgroupVersion'>,
  settings: Settings,
): Promise<EngineCapacity> {
  return {
    memoryMb: Math.floor(info.memoryBytes / 1024 ** 2),
    cpus: info.cpus,
    ...(await hostRoom()),
    cgroupVersion: info.cgroupVersion,
    overcommit: {
      memory: settings.OVERCOMMIT_MEMORY,
      cpu: settings.OVERCOMMIT_CPU,
      disk: settings.OVERCOMMIT_DISK,
      pids: settings.OVERCOMMIT_PIDS,
    },
    diskFloorMb: settings.DISK_FLOOR_MB,
    edgePorts: settings.EDGE_PORTS,
  };
}
