import { LABEL, placeOf, startsNever, type ContainerState, type Engine, type Owner } from '#libs/engine';
import type { Logger } from '#libs/telemetry';

const LOOK_MS = 60_000;
const CALL_MS = 60_000;
/** What the engine says of a container that was gone when it came back; nobody's stop ends with this. */
const ENGINE_DIED = 255;

/**
 * Starts what of the platform itself did not come up after its engine died, and makes anew what the engine can never
 * start again: its restart policy has given that up. A making that was cut short is finished first, wherever it was. What
 * a person stopped is left alone. Gives the names. One that does not come up keeps no other down; all of those are named
 * in the error at the end.
 */
export async function reviveOwn(engine: Engine, platformId: string, logger: Pick<Logger, 'warn'>): Promise<string[]> {
  const owner = { platform: platformId };
  const failures: { name: string; error: unknown }[] = [];
  const each = async (names: readonly string[], what: string, work: (name: string) => Promise<void>): Promise<void> => {
    for (const name of names) {
      logger.warn({ container: name }, what);
      await work(name).catch((error: unknown) => failures.push({ name, error }));
    }
  };
  const seen = await ownContainers(engine, owner);
  const begun = seen.flatMap(({ name }) => placeOf(name) ?? []);
  await each(begun, 'the making anew of a container of the platform was cut short', (name) =>
    engine.remakeContainer(name, owner, { deadlineMs: CALL_MS }),
  );
  const down = (begun.length === 0 ? seen : await ownContainers(engine, owner))
    .filter((container) => isDown(container) && placeOf(container.name) === null)
    .map(({ name }) => name)
    // Of those there may still be two, and nobody knows which to start.
    .filter((name) => failures.every((failure) => failure.name !== name));
  await each(down, 'a container of the platform did not come up after its engine died', (name) =>
    revive(engine, name, owner),
  );
  if (failures.length > 0) {
    throw new AggregateError(
      failures.map(({ error }) => error),
      `These containers of the platform could not be brought up: ${failures.map(({ name }) => name).join(', ')}`,
      { cause: failures[0]?.error },
    );
  }
  return down;
}

async function ownContainers(engine: Engine, owner: Owner): Promise<ContainerState[]> {
  const { containers } = await engine.observe(owner, { deadlineMs: LOOK_MS });
  return containers.filter(({ labels }) => labels[LABEL.role] === 'portal');
}

/** What waits for its first start is somebody's who is at work, unless it was made anew here. */
const isDown = ({ status, exitCode, labels }: ContainerState): boolean =>
  status === 'created' ? LABEL.remade in labels : status === 'exited' && exitCode === ENGINE_DIED;

async function revive(engine: Engine, name: string, owner: Owner): Promise<void> {
  try {
    await engine.startContainer(name, { deadlineMs: CALL_MS });
  } catch (error) {
    if (!startsNever(error)) {
      throw error;
    }
    await engine.remakeContainer(name, owner, { deadlineMs: CALL_MS });
    await engine.startContainer(name, { deadlineMs: CALL_MS });
  }
}
