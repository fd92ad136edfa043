/**
 * Of the points this run chooses: the same in each, so that what passes depends on what is tested alone.
 * `AVIARY_TEST_SEED` chooses others; `npm run bench -- faults` meets all of them.
 */
export function seedOfRun(
  { AVIARY_TEST_SEED: given }: Readonly<Record<string, string | undefined>> = process.env,
): number {
  const seed = Number(given ?? 20_261_123);
  if (given === '' || !Number.isSafeInteger(seed)) {
    throw new Error(`AVIARY_TEST_SEED is no whole number: ${given}`);
  }
  return seed;
}
