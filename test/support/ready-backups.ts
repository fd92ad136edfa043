import type { StackBackups } from '#libs/orchestrator';

const never =
  (what: string): (() => Promise<never>) =>
  () =>
    Promise.reject(new Error(`nothing is ${what} here`));

/** Backups that are taken and proven at once, for tests of what comes after one. */
export const readyBackups: StackBackups = {
  dump: () => Promise.resolve('dumped'),
  store: () => Promise.resolve('stored'),
  prove: () => Promise.resolve('proven'),
  prune: () => Promise.resolve('pruned'),
  kept: () => Promise.resolve('kept'),
  giveUp: () => Promise.resolve(),
  load: never('restored'),
  swap: never('restored'),
  roomToCarry: never('carried'),
  carry: never('carried'),
  setPassword: never('restored'),
  erase: () => Promise.resolve(null),
};
