import type { StackUsage } from '#libs/contracts';

const MIB = 1024 ** 2;
const mib = (bytes: number | null): string => (bytes === null ? 'not measured yet' : `${(bytes / MIB).toFixed(1)} MiB`);
const percent = (part: number, whole: number): string => `${((part / whole) * 100).toFixed(1)} %`;

/** What a stack uses, for a person at a terminal. */
export function usageLines({ slug, range, latest, limits, services, alerts, growth, points }: StackUsage): string[] {
  if (latest === null && points.length === 0) {
    return [`${slug}  nothing was measured in this ${range}`];
  }
  const sum = (key: 'receivedBytes' | 'sentBytes'): number =>
    points.reduce((total, point) => total + (point[key] ?? 0), 0);
  const peak = points.reduce((most, point) => Math.max(most, point.memoryMaxBytes), 0);
  const cpu = points.map((point) => point.cpu).filter((cores) => cores !== null);
  const mean = cpu.length === 0 ? null : cpu.reduce((total, cores) => total + cores, 0) / cpu.length;
  const now =
    latest === null
      ? [`${slug}  not measured in the last minutes`]
      : [
          `${slug}  measured ${latest.at}`,
          `cpu      ${latest.cpu === null ? 'not measured yet' : `${latest.cpu.toFixed(3)} of ${limits.cpus} cores`}`,
          `memory   ${mib(latest.memoryBytes)} of ${mib(limits.memoryBytes)} (${percent(latest.memoryBytes, limits.memoryBytes)})`,
          `disk     ${mib(latest.diskBytes)} of ${mib(limits.diskBytes)}`,
        ];
  return [
    ...now,
    `in this ${range}: ${mean === null ? '' : `${mean.toFixed(3)} cores on average, `}at most ${mib(peak)} memory, ${mib(sum('receivedBytes'))} received, ${mib(sum('sentBytes'))} sent`,
    ...services.map(
      ({ service, memoryBytes, memoryLimitBytes, oomKills, pids }) =>
        `${service.padEnd(8)} ${mib(memoryBytes)}${memoryLimitBytes === null ? '' : ` of ${mib(memoryLimitBytes)}`}, ${pids} processes${oomKills > 0 ? `, ${oomKills} ended for lack of memory` : ''}`,
    ),
    ...alerts.map(
      ({ resource, level, percent: of, service }) =>
        `${level === 'bad' ? '!!' : '!'} ${service === null ? '' : `${service}: `}${resource} at ${of} % of its limit`,
    ),
    ...growth.map(
      ({ service, bytesPerHour, hoursLeft }) =>
        `! ${service}: memory grows by ${mib(bytesPerHour)} an hour and reaches its limit in ${hoursLeft} hours`,
    ),
  ];
}
