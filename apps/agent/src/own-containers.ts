import { LABEL, startsNever, type Engine } from '#libs/engine';
import type { Logger } from '#libs/telemetry';

const LOOK_MS = 60_000;
const CALL_MS = 60_000;
/** What the engine says of a container that was gone when it came back; nobody's stop ends with this. */
const ENGINE_DIED = 255;

/**
 * Starts what of the platform itself did not come up after its engine died, and makes anew what the engine can never
 * start again: its restart policy has given that up. What a person stopped is left alone. Gives the names.
 */
export async function reviveOwn(engine: Engine, platformId: string, logger: Pick<Logger, 'warn'>): Promise<string[]> {
  const owner = { platform: platformId };
  const { containers } = await engine.observe(owner, { deadlineMs: LOOK_MS });
  const dead = containers.filter(
    ({ labels, status, exitCode }) =>
      labels[LABEL.role] === 'portal' && status === 'exited' && exitCode === ENGINE_DIED,
  );
  for (const { name } of dead) {
    logger.warn({ container: name }, 'a container of the platform did not come up after its engine died');
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
  return dead.map(({ name }) => name);
}
