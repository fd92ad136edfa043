import { LessThan } from 'typeorm';
import { SignOnCodeEntity, type Database } from '#libs/db';

/** A code is good for a minute; an hour later not even a clock that is wrong could make it so. */
const KEEP_CODES_MS = 3_600_000;

/** Removes sign-on codes that can never be used again. */
export async function cleanSignOnCodes(database: Database, now: Date): Promise<number> {
  const { affected } = await database.manager.delete(SignOnCodeEntity, {
    expiresAt: LessThan(new Date(now.getTime() - KEEP_CODES_MS)),
  });
  return affected ?? 0;
}
