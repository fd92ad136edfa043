import type { SignedIn } from './request.js';

/** Says whom an access token names now, or null. Looks at the session too, so a revoked one ends at once. */
export abstract class SessionLookup {
  abstract signedIn(token: string, request: { ip?: string | undefined }): Promise<SignedIn | null>;
}
