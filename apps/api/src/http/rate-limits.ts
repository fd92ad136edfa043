import { SetMetadata, type CustomDecorator } from '@nestjs/common';

export interface RateLimit {
  /** Requests per window. */
  quota: number;
  windowSeconds: number;
}

/**
 * Limits by what a route costs or risks. Signed-in requests count per account, others per network. `sign_in` holds
 * back guessing (besides the lock of the account), `mail` what others receive from us, `report` is per stack since
 * all stacks of a host share its address.
 */
export const RATE_LIMITS = {
  read: { quota: 600, windowSeconds: 60 },
  write: { quota: 120, windowSeconds: 60 },
  stream: { quota: 120, windowSeconds: 60 },
  session: { quota: 120, windowSeconds: 60 },
  sign_in: { quota: 60, windowSeconds: 60 },
  sign_up: { quota: 60, windowSeconds: 60 },
  mail: { quota: 10, windowSeconds: 60 },
  report: { quota: 120, windowSeconds: 60 },
} as const satisfies Record<string, RateLimit>;

export type RateClass = keyof typeof RATE_LIMITS;
export type RateLimits = Record<RateClass, RateLimit>;

/** All requests of one network together, signed in or not: a ceiling for what knocks without a right to enter. */
export const NETWORK_CEILING: RateLimit = { quota: 6_000, windowSeconds: 60 };

export const RATE_CLASS = 'aviary:rate-class';
/** A route without one counts as `read` (GET) or `write`. */
export const Limited = (rate: RateClass): CustomDecorator => SetMetadata(RATE_CLASS, rate);
export const UNLIMITED = 'aviary:unlimited';
/** Probes of the platform itself. */
export const Unlimited = (): CustomDecorator => SetMetadata(UNLIMITED, true);
