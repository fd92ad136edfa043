import { Body, Controller, Delete, Get, HttpStatus, Param, Post, Query, Req, Res } from '@nestjs/common';
import { ApiOperation, ApiProduces, ApiTags } from '@nestjs/swagger';
import type { Response } from 'express';
import { z } from 'zod';
import {
  acceptedSchema,
  createStackSchema,
  destroyStackSchema,
  DomainError,
  slugSchema,
  STACK_STATUS,
  stackListSchema,
  stackUsageSchema,
  stackViewSchema,
  USAGE_RANGES,
  type Accepted,
  type CreateStack,
  type StackList,
  type StackStatus,
  type StackUsage,
  type StackView,
} from '#libs/contracts';
import { ChangeFeed, StackService, UsageService } from '#libs/tenants';
import { CurrentActor, CurrentSession, Subscriber } from '../http/access.js';
import { Answers, pageQuery, WithToken } from '../http/answers.js';
import { EventStreams } from '../http/event-stream.js';
import { Idempotent } from '../http/idempotency.interceptor.js';
import { Limited } from '../http/rate-limits.js';
import type { ApiRequest, Person, SignedIn } from '../http/request.js';

export const stackListQuery = z.strictObject({
  ...pageQuery,
  q: z.string().trim().max(100).optional().describe('Part of the name, user name or e-mail address.'),
  status: z.enum(Object.keys(STACK_STATUS) as [StackStatus, ...StackStatus[]]).optional(),
});

export const usageQuery = z.strictObject({
  range: z.enum(USAGE_RANGES).default('day').describe('How far back; a longer one has coarser points.'),
});

@ApiTags('Stacks')
@WithToken()
@Controller('api/v1/stacks')
export class StacksController {
  constructor(
    private readonly stacks: StackService,
    private readonly usage: UsageService,
    private readonly feed: ChangeFeed,
    private readonly events: EventStreams,
  ) {}

  @Post()
  @Subscriber()
  @Idempotent()
  @ApiOperation({ summary: 'Create a stack' })
  @Answers(HttpStatus.ACCEPTED, acceptedSchema, 'The stack as it will be and the operation that makes it.')
  create(@CurrentActor() actor: Person, @Body({ schema: createStackSchema }) body: CreateStack): Promise<Accepted> {
    return this.stacks.create(actor, body);
  }

  @Get()
  @Subscriber()
  @ApiOperation({ summary: 'List your stacks', description: 'Operators see everybody’s.' })
  @Answers(HttpStatus.OK, stackListSchema, 'Newest first.')
  list(
    @CurrentActor() actor: Person,
    @Query({ schema: stackListQuery }) query: z.infer<typeof stackListQuery>,
  ): Promise<StackList> {
    return this.stacks.list(actor, query);
  }

  @Get(':slug')
  @Subscriber()
  @ApiOperation({ summary: 'Read a stack' })
  @Answers(HttpStatus.OK, stackViewSchema, 'The stack.')
  get(@CurrentActor() actor: Person, @Param('slug', { schema: slugSchema }) slug: string): Promise<StackView> {
    return this.stacks.get(actor, slug);
  }

  @Post(':slug/start')
  @Subscriber()
  @Idempotent()
  @ApiOperation({ summary: 'Start a stack' })
  @Answers(HttpStatus.ACCEPTED, acceptedSchema, 'The operation that starts it.')
  start(@CurrentActor() actor: Person, @Param('slug', { schema: slugSchema }) slug: string): Promise<Accepted> {
    return this.stacks.request(actor, slug, 'start');
  }

  @Post(':slug/stop')
  @Subscriber()
  @Idempotent()
  @ApiOperation({ summary: 'Stop a stack', description: 'Its data stays.' })
  @Answers(HttpStatus.ACCEPTED, acceptedSchema, 'The operation that stops it.')
  stop(@CurrentActor() actor: Person, @Param('slug', { schema: slugSchema }) slug: string): Promise<Accepted> {
    return this.stacks.request(actor, slug, 'stop');
  }

  @Post(':slug/restart')
  @Subscriber()
  @Idempotent()
  @ApiOperation({ summary: 'Restart a stack' })
  @Answers(HttpStatus.ACCEPTED, acceptedSchema, 'The operation that restarts it.')
  restart(@CurrentActor() actor: Person, @Param('slug', { schema: slugSchema }) slug: string): Promise<Accepted> {
    return this.stacks.request(actor, slug, 'restart');
  }

  @Delete(':slug')
  @Subscriber()
  @Idempotent()
  @ApiOperation({ summary: 'Destroy a stack and its data', description: 'Confirm by naming the stack.' })
  @Answers(HttpStatus.ACCEPTED, acceptedSchema, 'The operation that destroys it.')
  destroy(
    @CurrentActor() actor: Person,
    @Param('slug', { schema: slugSchema }) slug: string,
    @Body({ schema: destroyStackSchema }) body: z.infer<typeof destroyStackSchema>,
  ): Promise<Accepted> {
    if (body.confirm !== slug) {
      throw new DomainError('VALIDATION_FAILED', {
        details: { fields: { confirm: ['Name the stack that is to be destroyed.'] } },
      });
    }
    return this.stacks.request(actor, slug, 'destroy');
  }

  @Get(':slug/usage')
  @Subscriber()
  @ApiOperation({
    summary: 'What a stack uses',
    description: 'Processor, memory, disk and traffic over time, what is near its limit, and memory that only grows.',
  })
  @Answers(HttpStatus.OK, stackUsageSchema, 'Measured each minute; disk each quarter of an hour.')
  readUsage(
    @CurrentActor() actor: Person,
    @Param('slug', { schema: slugSchema }) slug: string,
    @Query({ schema: usageQuery }) { range }: z.infer<typeof usageQuery>,
  ): Promise<StackUsage> {
    return this.usage.ofStack(actor, slug, range);
  }

  @Get(':slug/events')
  @Subscriber()
  @Limited('stream')
  @ApiOperation({ summary: 'Follow a stack live', description: 'Each `stack` event is the whole stack.' })
  @ApiProduces('text/event-stream')
  @Answers(HttpStatus.OK, null, 'Server-sent events until the stack is gone or the session ends.')
  async follow(
    @CurrentSession() who: SignedIn,
    @Param('slug', { schema: slugSchema }) slug: string,
    @Req() request: ApiRequest,
    @Res() response: Response,
  ): Promise<void> {
    const { id } = await this.stacks.get(who.actor, slug);
    await this.events.send({ request, response }, who, {
      event: 'stack',
      isLast: () => false,
      values: (signal) =>
        this.feed.watch({
          channel: 'aviary_stack',
          id,
          read: () => this.stacks.get(who.actor, slug),
          isLast: () => false,
          signal,
        }),
    });
  }
}
