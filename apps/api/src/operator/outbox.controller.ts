import { Controller, Get, HttpStatus, Param, Post, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { outboxListSchema, outboxMailSchema, uuidSchema, type OutboxMail } from '#libs/contracts';
import { OutboxService } from '#libs/support';
import { CurrentActor, Operator } from '../http/access.js';
import { Answers, pageQuery, WithToken } from '../http/answers.js';
import { Idempotent } from '../http/idempotency.interceptor.js';
import type { Person } from '../http/request.js';

const outboxQuery = z.strictObject({ ...pageQuery, state: outboxMailSchema.shape.state.optional() });

@ApiTags('Operators')
@WithToken()
@Controller('api/v1/operator/outbox')
export class OutboxController {
  constructor(private readonly outbox: OutboxService) {}

  @Get()
  @Operator()
  @ApiOperation({ summary: 'List mails as written' })
  @Answers(HttpStatus.OK, outboxListSchema, 'Newest first.')
  list(
    @CurrentActor() actor: Person,
    @Query({ schema: outboxQuery }) query: z.infer<typeof outboxQuery>,
  ): Promise<{ items: OutboxMail[]; next: string | null }> {
    return this.outbox.list(actor, query);
  }

  @Get(':id')
  @Operator()
  @ApiOperation({ summary: 'Read a mail' })
  @Answers(HttpStatus.OK, outboxMailSchema, 'The mail.')
  get(@CurrentActor() actor: Person, @Param('id', { schema: uuidSchema }) id: string): Promise<OutboxMail> {
    return this.outbox.get(actor, id);
  }

  @Post(':id/resend')
  @Operator()
  @Idempotent()
  @ApiOperation({ summary: 'Send a mail again' })
  @Answers(HttpStatus.ACCEPTED, outboxMailSchema, 'The mail, queued.')
  resend(@CurrentActor() actor: Person, @Param('id', { schema: uuidSchema }) id: string): Promise<OutboxMail> {
    return this.outbox.resend(actor, id);
  }
}
