import { isDomainError, DomainError } from '#libs/contracts';
import type { CertificateReport } from '#libs/edge';
import type { Logger } from '#libs/telemetry';

const CALM_SECONDS = 12 * 3600;
/** A name of which DNS says before the order that it does not lead here costs none, so it is looked at often: its owner is mending it. */
const UNORDERED_SECONDS = 120;
/** A failed order counts: the authority allows few in an hour, and our own budget (libs/edge) four in half a day. */
const ORDERED_SECONDS = 900;
const GROWTH = 4;
export const LONGEST_PAUSE_SECONDS = 3 * 3600;

interface CertificateDeps {
  /** Resolves once a question of the certificate authority would be answered here. */
  ready: () => Promise<void>;
  ensure: () => Promise<CertificateReport>;
  /** Makes the proxy read its certificates again. */
  touch: () => Promise<void>;
  logger: Pick<Logger, 'warn'>;
  now: () => Date;
}

/** Keeps what the proxy serves valid, and comes back by itself, later each time, when an authority would not issue. */
export class CertificateKeeper {
  private failedOrders = 0;
  private pause = CALM_SECONDS;

  constructor(private readonly deps: CertificateDeps) {}

  /** Until the next turn. */
  pauseSeconds(): number {
    return this.pause;
  }

  /** Throws what was wrong, with what to do and when it is tried again; what was served stays served. */
  async turn(): Promise<void> {
    const { ready, ensure, touch, logger } = this.deps;
    this.pause = UNORDERED_SECONDS;
    await ready();
    try {
      const { changed, warnings } = await ensure();
      for (const warning of warnings) {
        logger.warn({ warning }, 'certificates need a look');
      }
      if (changed) {
        await touch();
      }
      this.failedOrders = 0;
      this.pause = CALM_SECONDS;
    } catch (error) {
      if (!isDomainError(error)) {
        throw error;
      }
      if (error.details['changed'] === true) {
        await touch();
      }
      throw this.postponed(error);
    }
  }

  private postponed(error: DomainError): DomainError {
    if (error.details['ordered'] === true) {
      this.pause = Math.min(LONGEST_PAUSE_SECONDS, ORDERED_SECONDS * GROWTH ** this.failedOrders);
      this.failedOrders += 1;
    }
    const again = new Date(this.deps.now().getTime() + this.pause * 1_000).toISOString().slice(0, 16).replace('T', ' ');
    return new DomainError(error.code, {
      message: `${error.message} It is tried again at ${again} UTC.`,
      details: error.details,
      cause: error,
    });
  }
}
