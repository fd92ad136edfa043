/** What jest runs around the tests, which need no types of their own. */
async function support(name: string): Promise<() => Promise<void>> {
  const loaded = (await import(new URL(`../support/${name}.mjs`, import.meta.url).href)) as {
    default: () => Promise<void>;
  };
  return loaded.default;
}

/** With the tests' own PostgreSQL server. */
export async function withPostgres<T>(work: () => Promise<T>): Promise<T> {
  const start = await support('postgres-global');
  const stop = await support('postgres-global-stop');
  await start();
  try {
    return await work();
  } finally {
    await stop();
  }
}
