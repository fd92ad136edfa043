import {
  applyDecorators,
  Injectable,
  UseInterceptors,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import { ApiHeader } from '@nestjs/swagger';
import type { Response } from 'express';
import { lastValueFrom, of, type Observable } from 'rxjs';
import { DomainError, type Accepted } from '#libs/contracts';
import { hashToken } from '#libs/crypto';
import { OperationService, StackService } from '#libs/tenants';
import { canonicalJson } from './canonical-json.js';
import { IdempotencyStore, type RequestIdentity } from './idempotency.store.js';
import type { ApiRequest, Person } from './request.js';

const KEY = /^[\x21-\x7e]{1,200}$/;

/** On routes whose effect must happen once. Without the header they work as ever. */
@Injectable()
export class IdempotencyInterceptor implements NestInterceptor {
  constructor(
    private readonly store: IdempotencyStore,
    private readonly stacks: StackService,
    private readonly operations: OperationService,
  ) {}

  async intercept(context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    const http = context.switchToHttp();
    const request = http.getRequest<ApiRequest>();
    const response = http.getResponse<Response>();
    const actor = request.signedIn?.actor;
    const identity = actor && identityOf(request, actor);
    if (!identity) {
      return next.handle();
    }
    const claim = await this.store.claim(identity);
    if (claim.kind === 'mine') {
      return of(await this.work(identity, claim.claimId, { next, response }));
    }
    response.setHeader(REPLAYED_HEADER, 'true');
    if (claim.kind === 'made') {
      return of(await this.rebuild(actor, claim.operationId));
    }
    response.status(claim.status);
    return of(claim.body);
  }

  private async work(
    identity: RequestIdentity,
    claimId: string,
    { next, response }: { next: CallHandler; response: Response },
  ): Promise<unknown> {
    let body: unknown;
    try {
      body = await this.store.working(identity, claimId, () => lastValueFrom<unknown>(next.handle()));
    } catch (error) {
      await this.store.release(identity, claimId);
      throw error;
    }
    await this.store.answer(identity, claimId, { status: response.statusCode, body });
    return body;
  }

  private async rebuild(actor: Person, operationId: string): Promise<Accepted> {
    const operation = await this.operations.get(actor, operationId);
    return { operation, stack: await this.stacks.get(actor, operation.slug) };
  }
}

/** The header of a request, or null without one. VALIDATION_FAILED for one of another shape. */
export function idempotencyKey(request: ApiRequest): string | null {
  const key = request.headers['idempotency-key'];
  if (key === undefined) {
    return null;
  }
  if (typeof key !== 'string' || !KEY.test(key)) {
    throw new DomainError('VALIDATION_FAILED', {
      details: { fields: { 'Idempotency-Key': ['Use 1 to 200 printable characters, such as a UUID.'] } },
    });
  }
  return key;
}

function identityOf(request: ApiRequest, actor: Person): RequestIdentity | null {
  const key = idempotencyKey(request);
  if (key === null) {
    return null;
  }
  const what = canonicalJson([request.method, request.path, request.body ?? null]);
  return { accountId: actor.accountId, key, requestHash: hashToken(what) };
}

export const REPLAYED_HEADER = 'Idempotency-Replayed';

export const WithIdempotencyKey = (): MethodDecorator =>
  ApiHeader({
    name: 'Idempotency-Key',
    required: false,
    description: 'Repeating a request with the same key gives the first answer again, for 24 hours.',
  });

export const Idempotent = (): MethodDecorator =>
  applyDecorators(UseInterceptors(IdempotencyInterceptor), WithIdempotencyKey());
