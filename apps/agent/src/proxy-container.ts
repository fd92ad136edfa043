import { DomainError, platformPrefix } from '#libs/contracts';
import { LABEL, type Engine } from '#libs/engine';

const LOOK_MS = 60_000;
const STOP_SECONDS = 5;
const CALL_MS = 30_000;

/** Restarts the proxy of this platform, which its label proves ours. Throws NOT_FOUND where there is none. */
export async function restartProxy(engine: Engine, platformId: string): Promise<void> {
  const name = `aviary-${platformPrefix(platformId)}-traefik`;
  const { containers } = await engine.observe({ platform: platformId }, { deadlineMs: LOOK_MS });
  const found = containers.find((one) => one.name === name && one.labels[LABEL.role] === 'portal');
  if (!found) {
    throw new DomainError('NOT_FOUND', {
      message: `The proxy’s container ${name} is not there or not ours. Run scripts/up to make it.`,
    });
  }
  await engine.stopContainer(name, STOP_SECONDS, { deadlineMs: CALL_MS });
  await engine.startContainer(name, { deadlineMs: CALL_MS });
}
