import { createParamDecorator, SetMetadata, type CustomDecorator, type ExecutionContext } from '@nestjs/common';
import { DomainError } from '#libs/contracts';
import type { ApiRequest, Person, SignedIn } from './request.js';

/**
 * Who may call a route. Each route declares exactly one; a route without one is refused by the guard and fails the
 * test that walks them all. What a person may do with a thing (is it theirs?) is decided by the services.
 */
export const ACCESS_KINDS = ['public', 'cookie', 'subscriber', 'operator', 'stack', 'internal'] as const;
export type Access = (typeof ACCESS_KINDS)[number];
export const ACCESS = 'aviary:access';

const declare = (access: Access): CustomDecorator => SetMetadata(ACCESS, access);

/** Anybody. */
export const Public = (): CustomDecorator => declare('public');
/** Whoever holds the refresh cookie; the browser adds it by itself, so the page's Origin must be the portal's. */
export const ByCookie = (): CustomDecorator => declare('cookie');
/** Any signed-in person. */
export const Subscriber = (): CustomDecorator => declare('subscriber');
/** Signed-in operators only. */
export const Operator = (): CustomDecorator => declare('operator');
/** A stack's runtime; the service verifies the stack's signature over the body. */
export const SignedByStack = (): CustomDecorator => declare('stack');
/** The platform's own processes, on the private listener only. */
export const Internal = (): CustomDecorator => declare('internal');

function signedIn(context: ExecutionContext): SignedIn {
  const request = context.switchToHttp().getRequest<ApiRequest>();
  if (!request.signedIn) {
    throw new DomainError('UNAUTHENTICATED');
  }
  return request.signedIn;
}

/** The person who asks, as services want them. */
export const CurrentActor = createParamDecorator(
  (_data: undefined, context: ExecutionContext): Person => signedIn(context).actor,
);
export const CurrentSession = createParamDecorator((_data: undefined, context: ExecutionContext): SignedIn =>
  signedIn(context),
);
