import { Injectable } from '@nestjs/common';
import { PassportStrategy } from '@nestjs/passport';
import passport from 'passport';
import { SessionLookup } from './session-lookup.js';
import type { SignedIn } from './request.js';

export const ACCESS_TOKEN = 'access-token';

type Verified = (error: unknown, user?: SignedIn | null) => void;
type Verify = (token: string, request: Readonly<{ ip?: string }>, done: Verified) => Promise<void>;
interface WithHeaders {
  ip?: string;
  headers: Record<string, string | string[] | undefined>;
}

/** RFC 6750 §2.1 only: a token in an address or a form would end up in logs and histories. */
class BearerHeaderStrategy extends passport.Strategy {
  constructor(private readonly verify: Verify) {
    super();
  }

  override authenticate(request: WithHeaders): void {
    const match = /^Bearer ([A-Za-z0-9_.~+/=-]{1,4096})$/i.exec(String(request.headers['authorization'] ?? ''));
    if (!match?.[1]) {
      this.fail(401);
      return;
    }
    void this.verify(match[1], request, (error, user) => {
      if (error) {
        this.error(error);
      } else if (user) {
        this.success(user);
      } else {
        this.fail(401);
      }
    });
  }
}

@Injectable()
export class AccessTokenStrategy extends PassportStrategy(BearerHeaderStrategy, ACCESS_TOKEN) {
  constructor(private readonly sessions: SessionLookup) {
    super();
  }

  validate(token: string, request: Readonly<{ ip?: string }>): Promise<SignedIn | null> {
    return this.sessions.signedIn(token, request);
  }
}
