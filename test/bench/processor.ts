import { readdir, readFile } from 'node:fs/promises';
import { containerOfProcess } from '../../apps/agent/src/watch/proc.js';

/** Ticks of the kernel's clocks in a second, as it tells them to programs (USER_HZ). */
const TICKS = 100;

/**
 * Seconds of processor time each of a machine's programs took until now, with those of its children that ended. What
 * runs in a container goes by the name `nameOf` has for it.
 */
export async function processorSeconds(
  nameOf: (container: string) => string | undefined,
): Promise<Map<string, number>> {
  const [, , , , , , irq = 0, softirq = 0, steal = 0] = (await readFile('/proc/stat', 'utf8')).split(/\s+/).map(Number);
  const seconds = new Map([
    ['(interrupts)', (irq + softirq) / TICKS],
    // What the machine below gave to others.
    ['(stolen)', steal / TICKS],
  ]);
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const read = (name: string): Promise<string> => readFile(`/proc/${pid}/${name}`, 'utf8').catch(() => ''); // ended meanwhile
    const [stat, cgroup] = await Promise.all([read('stat'), read('cgroup')]);
    // The name may have spaces and parentheses in it.
    const end = stat.lastIndexOf(')');
    if (end > 0) {
      const times = stat
        .slice(end + 2)
        .split(' ')
        .slice(11, 15)
        .map(Number);
      const container = containerOfProcess(cgroup);
      const program = stat.slice(stat.indexOf('(') + 1, end);
      const name = (container === null ? undefined : nameOf(container)) ?? program;
      seconds.set(name, (seconds.get(name) ?? 0) + times.reduce((sum, ticks) => sum + ticks, 0) / TICKS);
    }
  }
  return seconds;
}

/** The programs that took most of one core in between, with their share of it in per cent. */
export function busiest(
  before: ReadonlyMap<string, number>,
  after: ReadonlyMap<string, number>,
  { seconds, count }: { seconds: number; count: number },
): { name: string; percent: number }[] {
  return [...after]
    .map(([name, total]) => ({ name, percent: ((total - (before.get(name) ?? 0)) / seconds) * 100 }))
    .toSorted((a, b) => b.percent - a.percent)
    .slice(0, count);
}
