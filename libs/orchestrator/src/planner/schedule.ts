/**
 * Runs actions as soon as what they need is done, so that independent ones run side by side. The first failure
 * starts nothing new, lets what runs come to its end (its effects must be known) and is then thrown.
 */
export async function runInOrder<A extends { id: string; needs: readonly string[] }>(
  actions: readonly A[],
  run: (action: A) => Promise<void>,
): Promise<void> {
  const known = new Set(actions.map(({ id }) => id));
  for (const { id, needs } of actions) {
    const missing = needs.find((need) => !known.has(need));
    if (missing !== undefined) {
      throw new Error(`${id} needs ${missing}, which is not in the plan`);
    }
  }
  const done = new Set<string>();
  const waiting = new Set(actions);
  const running = new Set<Promise<void>>();
  const failures: unknown[] = [];
  const launch = (): void => {
    for (const action of waiting) {
      if (failures.length > 0 || !action.needs.every((need) => done.has(need))) {
        continue;
      }
      waiting.delete(action);
      const work = run(action).then(
        () => {
          done.add(action.id);
        },
        (error: unknown) => {
          failures.push(error);
        },
      );
      const settled: Promise<void> = work.finally(() => running.delete(settled));
      running.add(settled);
    }
  };
  launch();
  while (running.size > 0) {
    await Promise.race(running);
    launch();
  }
  if (failures.length > 0) {
    throw failures[0];
  }
  if (waiting.size > 0) {
    throw new Error(`a circle in the plan: ${[...waiting].map(({ id }) => id).join(', ')}`);
  }
}
