import type { PortalServer } from '#libs/backup';
import { platformPrefix } from '#libs/contracts';
import type { EngineStreams } from '#libs/engine';

/** As docker-compose.portal.yml has them. */
const ACCOUNT = '10012:10012';
const OWNER_ROLE = 'aviary_owner';
const DATABASE = 'aviary';

/** The portal's own database in its container on this engine, spoken to as its owner over its own socket. */
export function portalServer(platformId: string, streams: EngineStreams): PortalServer {
  return {
    streams,
    place: {
      container: `aviary-${platformPrefix(platformId)}-postgres`,
      owner: { platform: platformId },
      account: ACCOUNT,
      user: OWNER_ROLE,
      database: DATABASE,
    },
  };
}
