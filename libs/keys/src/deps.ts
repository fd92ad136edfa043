import type { Database } from '#libs/db';
import type { Logger } from '#libs/telemetry';
import type { MasterKeys } from './master-keys.js';

/** The repository of the portal's own backups, which opens with a password made of the master key. */
export interface PortalRepositoryKeys {
  /** Lets the password of that key in beside those that open it. */
  admit(masterKey: string, signal: AbortSignal): Promise<void>;
  /** Lets no other in any more. */
  retireOthers(masterKey: string, signal: AbortSignal): Promise<void>;
}

export interface KeyWorkDeps {
  database: Database;
  masters: MasterKeys;
  now: () => Date;
  logger: Pick<Logger, 'info' | 'warn' | 'error'>;
  /** None where backups of the portal are another agent's. */
  repository?: PortalRepositoryKeys;
  batch?: number;
  /** Told after each commit; tests end the process there. */
  committed?: () => void;
}
