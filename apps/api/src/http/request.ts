import type { Request } from 'express';
import type { Logger } from '#libs/telemetry';
import type { Actor } from '#libs/contracts';

export type Person = Extract<Actor, { accountId: string }>;

/** Who the access token names. `token` is kept so that long answers can look again whether it still holds. */
export interface SignedIn {
  actor: Person;
  token: string;
  expiresAt: Date;
}

export interface ApiRequest extends Omit<Request, 'log' | 'id'> {
  id: string;
  log: Logger;
  /** The body's exact bytes, where one was parsed. */
  rawBody?: Buffer;
  signedIn?: SignedIn;
}
