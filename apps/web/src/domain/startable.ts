import type { StackView } from '#libs/contracts';

/** It does not run, and somebody can have it run again. */
export const isIdle = ({ status }: Pick<StackView, 'status'>): boolean => status === 'stopped' || status === 'asleep';

/** Somebody decided that it may not run; the breaker is the platform's own and gives way to a start. */
export const isHeld = ({ holds }: Pick<StackView, 'holds'>): boolean => holds.some((hold) => hold !== 'breaker');

export const isStartable = (stack: Pick<StackView, 'status' | 'holds'>): boolean => isIdle(stack) && !isHeld(stack);
