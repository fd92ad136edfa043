import type { LogBatch, StackLogLine } from '#libs/contracts';

/** A line as a page shows it; or that lines are missing there, or that the service ended there. */
export type ShownLine =
  | ({ kind: 'line'; id: number } & StackLogLine)
  | { kind: 'gap'; id: number; dropped: number }
  | { kind: 'end'; id: number };

export interface ShownLog {
  lines: readonly ShownLine[];
  /** Of the newest line, to go on behind it. */
  after: string | null;
  nextId: number;
}

export const EMPTY_LOG: ShownLog = { lines: [], after: null, nextId: 0 };

/** A page holds that many; the browser slows down long before memory ends. */
export const MOST_LINES = 5_000;

/**
 * The log with a batch more: known lines are not shown twice, missing ones are a gap, the oldest go. The same log when
 * the batch adds nothing; a service that stays ended has ended once.
 */
export function withBatch(log: ShownLog, { lines, dropped, ended }: LogBatch): ShownLog {
  const { after } = log;
  const fresh = after === null ? lines : lines.filter(({ at }) => at > after);
  let id = log.nextId;
  const added: ShownLine[] = [];
  if (dropped > 0) {
    added.push({ kind: 'gap', id, dropped });
    id += 1;
  }
  for (const line of fresh) {
    added.push({ kind: 'line', id, ...line });
    id += 1;
  }
  const last = added.at(-1) ?? log.lines.at(-1);
  if (ended && last !== undefined && last.kind !== 'end') {
    added.push({ kind: 'end', id });
    id += 1;
  }
  if (added.length === 0) {
    return log;
  }
  return {
    lines: [...log.lines, ...added].slice(-MOST_LINES),
    after: fresh.at(-1)?.at ?? after,
    nextId: id,
  };
}

/** How many lines came at or after an id. */
export function linesSince(log: Pick<ShownLog, 'lines'>, id: number): number {
  return log.lines.filter((line) => line.kind === 'line' && line.id >= id).length;
}
