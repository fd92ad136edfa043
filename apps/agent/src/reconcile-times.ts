export interface ReconcileTimes {
  /** From the first event of a stack to the look at it: what happens together is looked at once. */
  settleMs: number;
  /** Between two looks at the whole engine, give or take a fifth. */
  passMs: number;
  /** To the next look at a stack that something is at work on, or that is not well. */
  againMs: number;
  /** Between two looks at the files in a stack's volumes, of which no event tells. */
  filesMs: number;
  /** Longest that a turn waits for the looks it began: what does not answer goes on beside the next ones. */
  patienceMs: number;
}

export const RECONCILE_TIMES: ReconcileTimes = {
  settleMs: 1_000,
  passMs: 300_000,
  againMs: 10_000,
  filesMs: 900_000,
  patienceMs: 500,
};
