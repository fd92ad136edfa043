import { LABEL, startsNever, type Engine, type Owner } from '#libs/engine';
import type { Logger } from '#libs/telemetry';

const LOOK_MS = 60_000;
const CALL_MS = 60_000;
/** What the engine says of a container that was gone when it came back; nobody's stop ends with this. */
const ENGINE_DIED = 255;

/**
 * Starts what of the platform itself did not come up after its engine died, and makes anew what the engine can never
 * start again: its restart policy has given that up. What a person stopped is left alone. Gives the names. One that does
 * not come up keeps no other down; all of those are named in the error at the end.
 */
export async function reviveOwn(engine: Engine, platformId: string, logger: Pick<Logger, 'warn'>): Promise<string[]> {
  const owner = { platform: platformId };
  const { containers } = await engine.observe(owner, { deadlineMs: LOOK_MS });
  const dead = containers.filter(
    ({ labels, status, exitCode }) =>
      labels[LABEL.role] === 'portal' && status === 'exited' && exitCode === ENGINE_DIED,
  );
  const failures: { name: string; error: unknown }[] = [];
  for (const { name } of dead) {
    logger.warn({ container: name }, 'a container of the platform did not come up after its engine died');
    try {
      await revive(engine, name, owner);
    } catch (error) {
      failures.push({ name, error });
    }
  }
  if (failures.length > 0) {
    throw new AggregateError(
      failures.map(({ error }) => error),
      `These containers of the platform could not be brought up: ${failures.map(({ name }) => name).join(', ')}`,
      { cause: failures[0]?.error },
    );
  }
  return dead.map(({ name }) => name);
}

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
