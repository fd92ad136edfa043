import type { StackView } from '#libs/contracts';

/** Where a stack rests, what it had was written before that. */
const RESTING = ['stopped', 'asleep', 'suspended'] as const satisfies StackView['status'][];
type Resting = (typeof RESTING)[number];
const restOf = (status: StackView['status']): Resting | undefined => RESTING.find((one) => one === status);

/**
 * How far the newest backup that counts is behind its stack, as far as the platform knows: by its age where the stack
 * goes on writing, by what came before its rest where it rests. That one holds all a stack has is never known: a backup
 * is taken of what runs, and what runs writes until its end. Milliseconds.
 */
export type Kept =
  | { is: 'none' }
  | { is: 'writing'; at: string; ageMs: number }
  | { is: 'rested'; at: string; how: Resting; missingMs: number }
  | { is: 'older'; at: string };

/** `at`: of when the data is; `now`: by the platform's clock, as are the others, since the browser's may be wrong. */
export function keptOf({ status, since }: Pick<StackView, 'status' | 'since'>, at: string | null, now: number): Kept {
  if (at === null) {
    return { is: 'none' };
  }
  const taken = Date.parse(at);
  if (status === 'running') {
    return { is: 'writing', at, ageMs: Math.max(0, now - taken) };
  }
  const how = restOf(status);
  const missingMs = Date.parse(since) - taken;
  // While what was suspended is still brought down, `since` is when it began to run.
  return how === undefined || missingMs <= 0 ? { is: 'older', at } : { is: 'rested', at, how, missingMs };
}
