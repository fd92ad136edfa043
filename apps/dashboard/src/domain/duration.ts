export interface DurationPart {
  unit: 's' | 'm' | 'h' | 'd';
  count: number;
}

/** A stretch of time in at most two neighbouring units: `3 d 2 h`, `4 min`, `12 s`. */
export function durationParts(milliseconds: number): DurationPart[] {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const days = Math.floor(seconds / 86_400);
  const hours = Math.floor((seconds % 86_400) / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  if (days > 0) {
    return [{ unit: 'd', count: days }, ...(hours > 0 ? [{ unit: 'h' as const, count: hours }] : [])];
  }
  if (hours > 0) {
    return [{ unit: 'h', count: hours }, ...(minutes > 0 ? [{ unit: 'm' as const, count: minutes }] : [])];
  }
  return minutes > 0 ? [{ unit: 'm', count: minutes }] : [{ unit: 's', count: seconds }];
}

/** How long a bot has traded, in ms: of an ended one until it ended. Null before its start. */
export function tradedFor(bot: { startedAt: string | null; stoppedAt: string | null }, now: number): number | null {
  if (bot.startedAt === null) {
    return null;
  }
  return (bot.stoppedAt === null ? now : Date.parse(bot.stoppedAt)) - Date.parse(bot.startedAt);
}

/** Closed cells an hour with one decimal; null before there is a rate to speak of. */
export function ratePerHour(count: number, sinceMs: number): string | null {
  return count === 0 || sinceMs < 10 * 60_000 ? null : ((count * 3_600_000) / sinceMs).toFixed(1);
}
