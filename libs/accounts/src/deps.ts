import type { Database, Tx } from '#libs/db';
import type { Passwords } from './passwords.js';

/** What this library asks of whoever writes mails: put it into the outbox, in the same transaction. */
export interface AccountMails {
  verifyEmail(tx: Tx, mail: { to: string; username: string; token: string; expiresAt: Date }): Promise<void>;
  /** Somebody signed up with an address that has an account: `username` is that account's. */
  addressTaken(tx: Tx, mail: { to: string; username: string }): Promise<void>;
}

export interface AccountDeps {
  database: Database;
  mails: AccountMails;
  passwords: Passwords;
  now: () => Date;
}

/** Where a request comes from. */
export interface Client {
  ip: string | null;
  userAgent: string | null;
}
