import { GATE_PATH, sessionCheckResponseSchema } from '#libs/contracts';
import type { Logger } from '#libs/telemetry';
import type { LiveHub } from '../live/live-hub.js';
import type { PortalClient } from '../reports/portal-client.js';

/** Below the five seconds in which a revoked session must be over, with room for the answer. */
const EVERY_MS = 3_000;
const MAX_ASKED = 100;

/**
 * Ends streams of sessions that were revoked: requests are checked by the gate each time, a stream only when it is
 * opened. Asks while there are such streams. When the gate does not answer, streams go on: the portal being away must
 * not blind an owner.
 */
export class RevocationCheck {
  private readonly timer: NodeJS.Timeout;
  private asking = false;

  constructor(private readonly deps: { hub: LiveHub; client: PortalClient; dashboardUrl: string; logger: Logger }) {
    this.timer = setInterval(() => void this.check(), EVERY_MS);
    this.timer.unref();
  }

  private async check(): Promise<void> {
    const { hub, client, dashboardUrl, logger } = this.deps;
    const sids = hub.sessions().slice(0, MAX_ASKED);
    if (sids.length === 0 || this.asking) {
      return;
    }
    this.asking = true;
    try {
      const url = new URL(`${GATE_PATH}/sessions`, dashboardUrl).href;
      const answer = await client.post(url, JSON.stringify({ sids }));
      if (answer.status === 200) {
        hub.endSessions(sessionCheckResponseSchema.parse(JSON.parse(answer.body)).revoked);
      }
    } catch (error) {
      logger.debug({ reason: error instanceof Error ? error.message : 'unknown' }, 'sessions could not be checked');
    } finally {
      this.asking = false;
    }
  }

  close(): void {
    clearInterval(this.timer);
  }
}
