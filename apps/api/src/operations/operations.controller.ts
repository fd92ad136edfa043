import { Controller, Get, HttpStatus, Param, Post, Query, Req, Res } from '@nestjs/common';
import { ApiOperation, ApiProduces, ApiTags } from '@nestjs/swagger';
import type { Response } from 'express';
import { z } from 'zod';
import {
  OPEN_OPERATION_STATES,
  OPERATION_STATES,
  operationListSchema,
  operationViewSchema,
  slugSchema,
  uuidSchema,
  type OperationList,
  type OperationView,
} from '#libs/contracts';
import { ChangeFeed, OperationService } from '#libs/tenants';
import { CurrentActor, CurrentSession, Subscriber } from '../http/access.js';
import { Answers, pageQuery, WithToken } from '../http/answers.js';
import { EventStreams } from '../http/event-stream.js';
import { Limited } from '../http/rate-limits.js';
import type { ApiRequest, Person, SignedIn } from '../http/request.js';

export const operationListQuery = z.strictObject({
  ...pageQuery,
  slug: slugSchema.optional(),
  state: z.enum(OPERATION_STATES).optional(),
});

const isOver = (operation: OperationView): boolean => !OPEN_OPERATION_STATES.includes(operation.state);

@ApiTags('Operations')
@WithToken()
@Controller('api/v1/operations')
export class OperationsController {
  constructor(
    private readonly operations: OperationService,
    private readonly feed: ChangeFeed,
    private readonly events: EventStreams,
  ) {}

  @Get()
  @Subscriber()
  @ApiOperation({ summary: 'List your operations', description: 'Operators see everybody’s.' })
  @Answers(HttpStatus.OK, operationListSchema, 'Newest first.')
  list(
    @CurrentActor() actor: Person,
    @Query({ schema: operationListQuery }) query: z.infer<typeof operationListQuery>,
  ): Promise<OperationList> {
    return this.operations.list(actor, query);
  }

  @Get(':id')
  @Subscriber()
  @ApiOperation({ summary: 'Read an operation with its steps' })
  @Answers(HttpStatus.OK, operationViewSchema, 'The operation.')
  get(@CurrentActor() actor: Person, @Param('id', { schema: uuidSchema }) id: string): Promise<OperationView> {
    return this.operations.get(actor, id);
  }

  @Post(':id/cancel')
  @Subscriber()
  @ApiOperation({ summary: 'Cancel an operation', description: 'It ends at its next safe point.' })
  @Answers(HttpStatus.OK, operationViewSchema, 'The operation, cancelled or about to be.')
  cancel(@CurrentActor() actor: Person, @Param('id', { schema: uuidSchema }) id: string): Promise<OperationView> {
    return this.operations.cancel(actor, id);
  }

  @Get(':id/events')
  @Subscriber()
  @Limited('stream')
  @ApiOperation({ summary: 'Follow an operation live', description: 'Each `operation` event is the whole operation.' })
  @ApiProduces('text/event-stream')
  @Answers(HttpStatus.OK, null, 'Server-sent events until the operation is over.')
  async follow(
    @CurrentSession() who: SignedIn,
    @Param('id', { schema: uuidSchema }) id: string,
    @Req() request: ApiRequest,
    @Res() response: Response,
  ): Promise<void> {
    const read = (): Promise<OperationView> => this.operations.get(who.actor, id);
    await read();
    await this.events.send({ request, response }, who, {
      event: 'operation',
      isLast: isOver,
      values: (signal) => this.feed.watch({ channel: 'aviary_operation', id, read, isLast: isOver, signal }),
    });
  }
}
