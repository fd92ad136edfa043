import { createPublicKey, type KeyObject } from 'node:crypto';
import { DomainError, HOLD_AUDIENCE, holdSchema, type Hold } from '#libs/contracts';
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

  /** Throws UNAUTHENTICATED unless `Stack <jws>` was signed for the question of that audience a moment ago. */
  async require(authorization: string | undefined, audience: string): Promise<void> {
    await this.claims(authorization, audience);
  }

  /** The hold that is asked for: signed with the request, so that nothing of it can be changed on the way. */
  async requireHold(authorization: string | undefined): Promise<Hold> {
    const hold = holdSchema.safeParse((await this.claims(authorization, HOLD_AUDIENCE))['hold']);
    if (!hold.success) {
      throw new DomainError('VALIDATION_FAILED', { message: 'There is no such hold.' });
    }
    return hold.data;
  }

  private async claims(authorization: string | undefined, audience: string): Promise<Record<string, unknown>> {
    const token = /^Stack (\S+)$/.exec(authorization ?? '')?.[1];
    const claims =
      token === undefined
        ? null
        : await verifyToken(this.key, token, {
            issuer: this.tenant,
            audience,
            leewaySeconds: LEEWAY_SECONDS,
          });
    if (claims === null) {
      throw new DomainError('UNAUTHENTICATED');
    }
    return claims;
  }
}
