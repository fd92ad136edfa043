import type { LogBatch, StackLogLine } from '#libs/contracts';

/** A line as a page shows it, or a gap in their place. */
export type ShownLine = ({ kind: 'line'; id: number } & StackLogLine) | { kind: 'gap'; id: number; dropped: number };

export interface ShownLog {
  lines: readonly ShownLine[];
  /** Of the newest line, to go on behind it. */
  after: string | null;
  nextId: number;
}

export const EMPTY_LOG: ShownLog = { lines: [], after: null, nextId: 0 };

/** A page holds that many; the browser slows down long before memory ends. */
export const MOST_LINES = 5_000;

/** The log with a batch more: known lines are not shown twice, missing ones are a gap, the oldest go. */
export function withBatch(log: ShownLog, batch: Pick<LogBatch, 'lines' | 'dropped'>): ShownLog {
  const { after } = log;
  const fresh = after === null ? batch.lines : batch.lines.filter(({ at }) => at > after);
  let id = log.nextId;
  const added: ShownLine[] = [];
  if (batch.dropped > 0) {
    added.push({ kind: 'gap', id, dropped: batch.dropped });
    id += 1;
  }
  for (const line of fresh) {
    added.push({ kind: 'line', id, ...line });
    id += 1;
  }
  return {
    lines: [...log.lines, ...added].slice(-MOST_LINES),
    after: fresh.at(-1)?.at ?? after,
    nextId: id,
  };
}
