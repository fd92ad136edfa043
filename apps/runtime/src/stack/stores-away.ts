import type { StoreCode } from '#libs/contracts';

/** Which store did not take a write and give it back, with what it said instead as its cause, for the log alone. */
export class StoresAway extends Error {
  constructor(
    readonly code: StoreCode,
    causes: readonly unknown[],
  ) {
    super(`${code}: ${causes.map((cause) => (cause instanceof Error ? cause.message : String(cause))).join('; ')}`, {
      cause: causes[0],
    });
  }
}
