import { Body, Controller, HttpStatus, Param, Post } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { acceptedSchema, slugSchema, suspendStackSchema, type Accepted, type SuspendStack } from '#libs/contracts';
import { HoldService } from '#libs/tenants';
import { CurrentActor, Operator } from '../http/access.js';
import { Answers, WithToken } from '../http/answers.js';
import { Idempotent } from '../http/idempotency.interceptor.js';
import type { Person } from '../http/request.js';

/** What only operators do to a stack. */
@ApiTags('Operators')
@WithToken()
@Controller('api/v1/operator')
export class HoldsController {
  constructor(private readonly holds: HoldService) {}

  @Post('stacks/:slug/suspend')
  @Operator()
  @Idempotent()
  @ApiOperation({
    summary: 'Suspend a stack',
    description: 'It is stopped and kept from running until it is resumed; its data stays. Its owner reads the note.',
  })
  @Answers(HttpStatus.ACCEPTED, acceptedSchema, 'The operation that suspends it.')
  suspend(
    @CurrentActor() actor: Person,
    @Param('slug', { schema: slugSchema }) slug: string,
    @Body({ schema: suspendStackSchema }) body: SuspendStack,
  ): Promise<Accepted> {
    return this.holds.suspend(actor, slug, body.note);
  }

  @Post('stacks/:slug/resume')
  @Operator()
  @Idempotent()
  @ApiOperation({ summary: 'Resume a stack', description: 'What its owner wants of it holds again.' })
  @Answers(HttpStatus.ACCEPTED, acceptedSchema, 'The operation that resumes it.')
  resume(@CurrentActor() actor: Person, @Param('slug', { schema: slugSchema }) slug: string): Promise<Accepted> {
    return this.holds.resume(actor, slug);
  }
}
