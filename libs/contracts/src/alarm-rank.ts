import type { Alarm } from './watch.js';

/**
 * How bad an alarm is; one that gets worse has a higher rank than before: a critical one above every warning, and of
 * one severity the one with the lower `level` left, such as days of a certificate.
 */
export function alarmRank({ severity, params }: Pick<Alarm, 'severity' | 'params'>): number {
  const level = params['level'];
  const near = typeof level === 'number' ? 99 - Math.min(99, Math.max(0, Math.round(level))) : 0;
  return (severity === 'critical' ? 200 : 100) + near;
}
