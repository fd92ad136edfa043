import { randomBytes } from 'node:crypto';
import {
  AccessTokens,
  AccountService,
  currentDisclaimer,
  Passwords,
  RegistrationService,
  SessionService,
  SignInService,
  type AccountDeps,
} from '#libs/accounts';
import type { Actor } from '#libs/contracts';
import type { TestDatabase } from './postgres.js';

export interface MailedLink {
  to: string;
  token: string;
}

/** A clock that stands still until a test moves it. */
export class TestClock {
  constructor(private at = new Date('2026-06-01T10:00:00Z')) {}
  readonly now = (): Date => this.at;
  pass(ms: number): void {
    this.at = new Date(this.at.getTime() + ms);
  }
}

export const SYSTEM: Actor = { kind: 'system', name: 'test' };
export const PASSWORD = 'a long enough password';
export const CLIENT = { ip: '203.0.113.7', userAgent: 'test' };

/** The services of accounts with cheap passwords, a clock to move and a list instead of an outbox. */
export function accountServices(db: TestDatabase) {
  const clock = new TestClock();
  const mailed: MailedLink[] = [];
  const taken: { to: string; username: string }[] = [];
  const deps: AccountDeps = {
    database: db.dataSource,
    passwords: new Passwords(4),
    now: clock.now,
    mails: {
      verifyEmail: (_tx, mail) => {
        mailed.push({ to: mail.to, token: mail.token });
        return Promise.resolve();
      },
      addressTaken: (_tx, mail) => {
        taken.push(mail);
        return Promise.resolve();
      },
    },
  };
  const tokens = new AccessTokens(randomBytes(32).toString('base64'));
  const sessions = new SessionService(deps, tokens);
  const registration = new RegistrationService(deps);
  return {
    clock,
    mailed,
    taken,
    tokens,
    sessions,
    registration,
    accounts: new AccountService(deps),
    signIn: new SignInService(deps, sessions),
    register: async (username: string) => {
      const input = { email: `${username}@example.org`, username, password: PASSWORD };
      const disclaimerVersion = currentDisclaimer().version;
      return (await registration.register({ ...input, disclaimerVersion }, CLIENT)).me;
    },
  };
}
