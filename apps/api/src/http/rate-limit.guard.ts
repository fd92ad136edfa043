import { Inject, Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import type { Response } from 'express';
import { decodeJwt } from 'jose';
import { DomainError, uuidSchema } from '#libs/contracts';
import { clientAddress, networkOf } from './client-address.js';
import type { RateCounter } from './rate-counter.js';
import {
  NETWORK_CEILING,
  RATE_CLASS,
  UNLIMITED,
  type RateClass,
  type RateLimit,
  type RateLimits,
} from './rate-limits.js';
import type { ApiRequest } from './request.js';

export const RATE_COUNTER = Symbol('RATE_COUNTER');
export const RATE_LIMIT_TABLE = Symbol('RATE_LIMIT_TABLE');

/** Counts and refuses. Headers as in draft-ietf-httpapi-ratelimit-headers-10: RateLimit-Policy, RateLimit. */
abstract class Limiter {
  constructor(private readonly counter: RateCounter) {}

  protected async count(response: Response, name: string, key: string, limit: RateLimit): Promise<void> {
    const { count, resetSeconds } = await this.counter.hit(`${name}:${key}`, limit.windowSeconds);
    response.setHeader('RateLimit-Policy', `"${name}";q=${limit.quota};w=${limit.windowSeconds}`);
    response.setHeader('RateLimit', `"${name}";r=${Math.max(0, limit.quota - count)};t=${resetSeconds}`);
    if (count > limit.quota) {
      throw new DomainError('RATE_LIMITED', {
        message: `Too many requests. Try again in ${resetSeconds} ${resetSeconds === 1 ? 'second' : 'seconds'}.`,
        details: { retryAfterSeconds: resetSeconds },
      });
    }
  }
}

/** Runs before the access guard, so that knocking without a token is counted too. */
@Injectable()
export class NetworkLimitGuard extends Limiter implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    @Inject(RATE_COUNTER) counter: RateCounter,
  ) {
    super(counter);
  }

  async canActivate(context: ExecutionContext): Promise<boolean> {
    if (!this.reflector.get<boolean | undefined>(UNLIMITED, context.getHandler())) {
      const http = context.switchToHttp();
      const network = networkOf(clientAddress(http.getRequest<ApiRequest>()));
      await this.count(http.getResponse<Response>(), 'network', network, NETWORK_CEILING);
    }
    return true;
  }
}

/** Runs after the access guard, when it is known who asks. */
@Injectable()
export class RouteLimitGuard extends Limiter implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    @Inject(RATE_COUNTER) counter: RateCounter,
    @Inject(RATE_LIMIT_TABLE) private readonly limits: RateLimits,
  ) {
    super(counter);
  }

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const handler = context.getHandler();
    if (this.reflector.get<boolean | undefined>(UNLIMITED, handler)) {
      return true;
    }
    const http = context.switchToHttp();
    const request = http.getRequest<ApiRequest>();
    const declared = this.reflector.get<RateClass | undefined>(RATE_CLASS, handler);
    const name = declared ?? (request.method === 'GET' ? 'read' : 'write');
    await this.count(http.getResponse<Response>(), name, sender(request, name), this.limits[name]);
    return true;
  }
}

function sender(request: ApiRequest, rate: RateClass): string {
  if (request.signedIn) {
    return `account ${request.signedIn.actor.accountId}`;
  }
  const network = networkOf(clientAddress(request));
  return rate === 'report' ? `${network} stack ${claimedStack(request)}` : network;
}

/** Not verified here: whoever invents names only shares the ceiling of their own network. */
function claimedStack(request: ApiRequest): string {
  const [, token = ''] = (request.headers.authorization ?? '').split(' ');
  try {
    return uuidSchema.safeParse(decodeJwt(token).iss).data ?? 'none';
  } catch {
    // Not a token; the service will refuse it. It counts like every other one without a name.
    return 'none';
  }
}
