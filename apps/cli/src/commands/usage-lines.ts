import type { HostUsage, StackUsage } from '#libs/contracts';

const MIB = 1024 ** 2;
const mib = (bytes: number | null): string => (bytes === null ? 'not measured yet' : `${(bytes / MIB).toFixed(1)} MiB`);
const percent = (part: number, whole: number): string => `${((part / whole) * 100).toFixed(1)} %`;

type Host = HostUsage['items'][number];
type Series = Pick<StackUsage, 'range' | 'points' | 'alerts'> & Pick<Host, 'latest' | 'limits'>;

/** Now, and in the range: the same words for a stack and for a host. A host's limits may be unknown. */
function seriesLines(name: string, { range, latest, limits, points, alerts }: Series): string[] {
  if (latest === null && points.length === 0) {
    return [`${name}  nothing was measured in this ${range}`];
  }
  const sum = (key: 'receivedBytes' | 'sentBytes'): number =>
    points.reduce((total, point) => total + (point[key] ?? 0), 0);
  const peak = points.reduce((most, point) => Math.max(most, point.memoryMaxBytes), 0);
  const cpu = points.map((point) => point.cpu).filter((cores) => cores !== null);
  const mean = cpu.length === 0 ? null : cpu.reduce((total, cores) => total + cores, 0) / cpu.length;
  const cores = limits === null ? 'cores' : `of ${limits.cpus} cores`;
  const of = (limit: number | undefined): string => (limit === undefined ? '' : ` of ${mib(limit)}`);
  const now =
    latest === null
      ? [`${name}  not measured in the last minutes`]
      : [
          `${name}  measured ${latest.at}`,
          `cpu      ${latest.cpu === null ? 'not measured yet' : `${latest.cpu.toFixed(3)} ${cores}`}`,
          `memory   ${mib(latest.memoryBytes)}${of(limits?.memoryBytes)}${limits === null ? '' : ` (${percent(latest.memoryBytes, limits.memoryBytes)})`}`,
          `disk     ${mib(latest.diskBytes)}${of(limits?.diskBytes)}`,
        ];
  return [
    ...now,
    `in this ${range}: ${mean === null ? '' : `${mean.toFixed(3)} cores on average, `}at most ${mib(peak)} memory, ${mib(sum('receivedBytes'))} received, ${mib(sum('sentBytes'))} sent`,
    ...alerts.map(
      ({ resource, level, percent: share, service }) =>
        `${level === 'bad' ? '!!' : '!'} ${service === null ? '' : `${service}: `}${resource} at ${share} % of its limit`,
    ),
  ];
}

/** What a stack uses, for a person at a terminal. */
export function usageLines(use: StackUsage): string[] {
  return [
    ...seriesLines(use.slug, use),
    ...use.services.map(
      ({ service, memoryBytes, memoryLimitBytes, oomKills, pids }) =>
        `${service.padEnd(8)} ${mib(memoryBytes)}${memoryLimitBytes === null ? '' : ` of ${mib(memoryLimitBytes)}`}, ${pids} processes${oomKills > 0 ? `, ${oomKills} ended for lack of memory` : ''}`,
    ),
    ...use.growth.map(
      ({ service, bytesPerHour, hoursLeft }) =>
        `! ${service}: memory grows by ${mib(bytesPerHour)} an hour and reaches its limit in ${hoursLeft} hours`,
    ),
  ];
}

/** What a host uses, all stacks and everything else on it together. */
export const hostUsageLines = (host: Host): string[] => seriesLines(host.engine, host);
