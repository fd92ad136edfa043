/** Bytes over one network interface since it was made. */
export interface Traffic {
  receivedBytes: number;
  sentBytes: number;
}

/** `/proc/<pid>/net/dev`: traffic by interface. */
export function parseNetDev(text: string): Map<string, Traffic> {
  return new Map(
    text.split('\n').flatMap((line) => {
      const [, name, rest] = /^\s*([^\s:]+):\s*(.*)$/.exec(line) ?? [];
      const fields = rest?.trim().split(/\s+/).map(Number) ?? [];
      const [received, sent] = [fields[0], fields[8]];
      return name === undefined || received === undefined || sent === undefined
        ? []
        : [[name, { receivedBytes: received, sentBytes: sent }] as const];
    }),
  );
}

/** `/proc/<pid>/net/route`: the interface of the default route (destination and mask 0), or null. */
export function defaultInterface(text: string): string | null {
  const row = text
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .find(([, destination, , , , , , mask]) => destination === '00000000' && mask === '00000000');
  return row?.[0] ?? null;
}

/** `/proc/<pid>/cgroup`: the container the process is in, or null. Paths are relative to who reads; ids are not. */
export function containerOfProcess(text: string): string | null {
  return /(?:\/|docker-)([0-9a-f]{64})(?:\.scope)?(?:\/|$)/m.exec(text)?.[1] ?? null;
}

/** USER_HZ, which the kernel fixes at 100 for what it tells programs. */
const TICKS_A_SECOND = 100;

/** `/proc/stat`: seconds all cores together were busy since the start, and how many cores there are. */
export function parseStat(text: string): { busySeconds: number; cores: number } {
  const lines = text.split('\n');
  const fields =
    lines
      .find((line) => line.startsWith('cpu '))
      ?.trim()
      .split(/\s+/)
      .slice(1)
      .map(Number) ?? [];
  // user nice system idle iowait irq softirq steal; guest time is part of user
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = fields;
  return {
    busySeconds: (user + nice + system + irq + softirq + steal) / TICKS_A_SECOND,
    cores: lines.filter((line) => /^cpu\d/.test(line)).length,
  };
}

/** `/proc/meminfo` in bytes. Available is the kernel's own estimate of what programs could still get. */
export function parseMeminfo(text: string): { totalBytes: number; availableBytes: number } {
  const kilobytes = (key: string): number => {
    const found = new RegExp(`^${key}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1];
    if (found === undefined) {
      throw new TypeError(`/proc/meminfo does not say ${key}`);
    }
    return Number(found) * 1024;
  };
  return { totalBytes: kilobytes('MemTotal'), availableBytes: kilobytes('MemAvailable') };
}
