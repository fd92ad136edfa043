import { DomainError } from '#libs/contracts';

/** Every call here was run against an engine that speaks this version; older engines lack options we rely on. */
export const OLDEST_API = '1.41';
/**
 * The newest version the contract suite was run with (Engine 26.1). A newer engine is asked to speak this one; Engine
 * 29, which refuses everything below 1.44, still does.
 */
export const NEWEST_API = '1.45';

export interface ServerVersion {
  version: string;
  apiVersion: string;
  minApiVersion: string;
}

/** The version to speak: the lower of the server's and the newest tested. Refuses with a sentence where there is none. */
export function negotiate({ version, apiVersion, minApiVersion }: ServerVersion): string {
  if (compare(minApiVersion, NEWEST_API) > 0) {
    throw new DomainError('ENGINE_REFUSED', {
      message:
        `Docker Engine ${version} answers API ${minApiVersion} and newer only; this Aviary speaks up to ${NEWEST_API}. ` +
        'Upgrade Aviary, or let the engine answer older versions (DOCKER_MIN_API_VERSION).',
      details: { version, apiVersion, minApiVersion, newest: NEWEST_API },
    });
  }
  if (compare(apiVersion, OLDEST_API) < 0) {
    throw new DomainError('ENGINE_REFUSED', {
      message: `Docker Engine ${version} speaks API ${apiVersion}; Aviary needs ${OLDEST_API} or newer (Engine 20.10).`,
      details: { version, apiVersion, minApiVersion, oldest: OLDEST_API },
    });
  }
  return compare(apiVersion, NEWEST_API) < 0 ? apiVersion : NEWEST_API;
}

function compare(a: string, b: string): number {
  const [aMajor = 0, aMinor = 0] = a.split('.').map(Number);
  const [bMajor = 0, bMinor = 0] = b.split('.').map(Number);
  return aMajor - bMajor || aMinor - bMinor;
}
