/**
 * Of the points this run chooses, such as 20261123: another each day (UTC), so that in time all of them are met, and
 * the same for whoever runs it again that day. `AVIARY_TEST_SEED` replays one, which a failure tells.
 */
export function seedOfDay(
  now: Date = new Date(),
  { AVIARY_TEST_SEED: given }: Readonly<Record<string, string | undefined>> = process.env,
): number {
  const seed = Number(given ?? now.toISOString().slice(0, 10).replaceAll('-', ''));
  if (given === '' || !Number.isSafeInteger(seed)) {
    throw new Error(`AVIARY_TEST_SEED is no whole number: ${given}`);
  }
  return seed;
}
