import { Inject, Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { AuthGuard } from '@nestjs/passport';
import { DomainError } from '#libs/contracts';
import { ACCESS, type Access } from './access.js';
import { ACCESS_TOKEN } from './access-token.strategy.js';
import type { ApiRequest, SignedIn } from './request.js';

/** Which listener this process half is, and the portal's own origin. */
export interface Listener {
  kind: 'public' | 'private';
  portalOrigin: string;
}
export const LISTENER = Symbol('LISTENER');

@Injectable()
export class BearerGuard extends AuthGuard(ACCESS_TOKEN) {
  override handleRequest<T>(error: unknown, user: T): T {
    if (error) {
      throw error as Error;
    }
    if (!user) {
      throw new DomainError('UNAUTHENTICATED');
    }
    return user;
  }
}

/** Closed by default: what a route does not declare, nobody may do. */
@Injectable()
export class AccessGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    @Inject(LISTENER) private readonly listener: Listener,
    private readonly bearer: BearerGuard,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const access = this.reflector.get<Access | undefined>(ACCESS, context.getHandler());
    const request = context.switchToHttp().getRequest<ApiRequest & { user?: SignedIn }>();
    switch (access) {
      case 'public':
      case 'stack':
        return true;
      case 'internal':
        if (this.listener.kind !== 'private') {
          throw new DomainError('NOT_FOUND');
        }
        return true;
      case 'cookie':
        this.requireOwnOrigin(request);
        return true;
      case 'subscriber':
      case 'operator':
        await this.bearer.canActivate(context);
        if (!request.user) {
          throw new DomainError('UNAUTHENTICATED');
        }
        request.signedIn = request.user;
        if (access === 'operator' && request.user.actor.kind !== 'operator') {
          throw new DomainError('FORBIDDEN');
        }
        return true;
      case undefined:
        throw new DomainError('FORBIDDEN');
    }
  }

  /** Browsers send Origin with every POST and a page cannot forge it, so another site's page is told apart by it. */
  private requireOwnOrigin(request: ApiRequest): void {
    if (request.headers.origin !== this.listener.portalOrigin) {
      throw new DomainError('FORBIDDEN', { message: 'This request must come from the portal’s own pages.' });
    }
  }
}
