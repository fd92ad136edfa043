import {
  IdempotentRequestEntity,
  KnownDeviceEntity,
  MailTokenEntity,
  RefreshTokenEntity,
  SessionEntity,
  SignInGuardEntity,
  SignUpEntity,
  tx,
  type Database,
} from '#libs/db';
import { LessThan } from 'typeorm';
import { SIGN_UP_KEY_MS } from './registration.service.js';
import { DEVICE_TTL_SECONDS } from './session.service.js';

const DAY_MS = 86_400_000;
/** Ended sessions stay this long: the gate asks for revocations of the last 12 hours, people for last week's sign-ins. */
const KEEP_DAYS = 7;

/** Removes what can never be used again. A used refresh token goes after a week; coming back then it is only unknown. */
export async function cleanAccounts(database: Database, now: Date): Promise<{ sessions: number; tokens: number }> {
  const old = new Date(now.getTime() - KEEP_DAYS * DAY_MS);
  return tx(database, async (inTx) => {
    const revoked = await inTx.delete(SessionEntity, { revokedAt: LessThan(old) });
    const expired = await inTx.delete(SessionEntity, { expiresAt: LessThan(old) });
    const refresh = await inTx.delete(RefreshTokenEntity, { usedAt: LessThan(old) });
    const mailed = await inTx.delete(MailTokenEntity, { expiresAt: LessThan(old) });
    await inTx.delete(SignInGuardEntity, { updatedAt: LessThan(new Date(now.getTime() - DAY_MS)) });
    await inTx.delete(SignUpEntity, { createdAt: LessThan(new Date(now.getTime() - SIGN_UP_KEY_MS)) });
    await inTx.delete(IdempotentRequestEntity, { expiresAt: LessThan(now) });
    const device = new Date(now.getTime() - DEVICE_TTL_SECONDS * 1000);
    await inTx.delete(KnownDeviceEntity, { lastUsedAt: LessThan(device) });
    return {
      sessions: (revoked.affected ?? 0) + (expired.affected ?? 0),
      tokens: (refresh.affected ?? 0) + (mailed.affected ?? 0),
    };
  });
}
