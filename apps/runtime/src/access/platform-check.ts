import { createPublicKey, type KeyObject } from 'node:crypto';
import { ACTIVITY_AUDIENCE, DomainError } from '#libs/contracts';
import { verifyToken } from '#libs/crypto';
import type { StackFiles } from '../stack/stack-files.js';

/** As between the gate's clock and ours. */
const LEEWAY_SECONDS = 5;

/** Knows the platform by the stack's own key, of which it alone holds the other copy. */
export class PlatformCheck {
  private readonly key: KeyObject;
  private readonly tenant: string;

  constructor({ stackKey, spec }: Pick<StackFiles, 'stackKey' | 'spec'>) {
    this.key = createPublicKey(stackKey);
    this.tenant = spec.tenant;
  }

  /** Throws UNAUTHENTICATED unless `Stack <jws>` was signed for this question a moment ago. */
  async require(authorization: string | undefined): Promise<void> {
    const token = /^Stack (\S+)$/.exec(authorization ?? '')?.[1];
    const claims =
      token === undefined
        ? null
        : await verifyToken(this.key, token, {
            issuer: this.tenant,
            audience: ACTIVITY_AUDIENCE,
            leewaySeconds: LEEWAY_SECONDS,
          });
    if (claims === null) {
      throw new DomainError('UNAUTHENTICATED');
    }
  }
}
