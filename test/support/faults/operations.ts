/** A verify is the part of a backup that loads it and compares. */
export const FAULT_OPERATIONS = ['backup', 'verify', 'prune', 'restore'] as const;
export type FaultOperation = (typeof FAULT_OPERATIONS)[number];
