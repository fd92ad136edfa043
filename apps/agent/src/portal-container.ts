import { DomainError, platformPrefix } from '#libs/contracts';
import { LABEL, type ContainerState, type Engine } from '#libs/engine';

const LOOK_MS = 60_000;
const STOP_SECONDS = 5;
const CALL_MS = 30_000;

type Service = 'traefik' | 'gate' | 'gate2' | 'api' | 'api2';

const nameOf = (platformId: string, service: Service): string => `aviary-${platformPrefix(platformId)}-${service}`;

/** The container of this platform's own service, which its labels prove ours; null where there is none. */
export async function portalContainer(
  engine: Engine,
  platformId: string,
  service: Service,
): Promise<ContainerState | null> {
  const name = nameOf(platformId, service);
  const { containers } = await engine.observe({ platform: platformId }, { deadlineMs: LOOK_MS });
  return containers.find((one) => one.name === name && one.labels[LABEL.role] === 'portal') ?? null;
}

/** Throws NOT_FOUND where there is none that is ours. */
export async function restartPortal(engine: Engine, platformId: string, service: Service): Promise<void> {
  const found = await portalContainer(engine, platformId, service);
  if (!found) {
    throw new DomainError('NOT_FOUND', {
      message: `The container ${nameOf(platformId, service)} is not there or not ours. Run scripts/up to make it.`,
    });
  }
  await engine.restartContainer(found.name, STOP_SECONDS, { deadlineMs: CALL_MS });
}
