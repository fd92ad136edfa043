import { Controller, Get, HttpStatus, Param, Query, Req, Res } from '@nestjs/common';
import { ApiOperation, ApiProduces, ApiTags } from '@nestjs/swagger';
import type { Response } from 'express';
import { z } from 'zod';
import { LOG_TAIL_MOST, serviceNameSchema, slugSchema, stackLogSchema, type StackLog } from '#libs/contracts';
import { StackLogs } from '#libs/tenants';
import { CurrentActor, CurrentSession, Subscriber } from '../http/access.js';
import { Answers, WithToken } from '../http/answers.js';
import { EventStreams } from '../http/event-stream.js';
import { Limited } from '../http/rate-limits.js';
import type { ApiRequest, Person, SignedIn } from '../http/request.js';

const logQuery = {
  service: serviceNameSchema.optional().describe('One of the stack’s `services`; the first of them unless named.'),
  tail: z.coerce.number().int().min(1).max(LOG_TAIL_MOST).default(200).describe('That many of the last lines.'),
  q: z.string().min(1).max(200).optional().describe('Only lines that contain it, whatever the case.'),
};
const readQuery = z.strictObject(logQuery);
const followQuery = z.strictObject({
  ...logQuery,
  after: z.iso.datetime().optional().describe('`at` of the newest line you have.'),
});

@ApiTags('Stacks')
@WithToken()
@Controller('api/v1/stacks')
export class StackLogsController {
  constructor(
    private readonly logs: StackLogs,
    private readonly events: EventStreams,
  ) {}

  @Get(':slug/logs')
  @Subscriber()
  @ApiOperation({
    summary: 'Read or search the log of a service of a stack',
    description: `A search looks through the last ${LOG_TAIL_MOST} lines.`,
  })
  @Answers(HttpStatus.OK, stackLogSchema, 'The last lines, oldest first.')
  read(
    @CurrentActor() actor: Person,
    @Param('slug', { schema: slugSchema }) slug: string,
    @Query({ schema: readQuery }) query: z.infer<typeof readQuery>,
  ): Promise<StackLog> {
    return this.logs.read(actor, slug, query);
  }

  @Get(':slug/logs/events')
  @Subscriber()
  @Limited('stream')
  @ApiOperation({
    summary: 'Follow the log of a service of a stack live',
    description: 'Each `lines` event is a batch; `dropped` counts the lines missing before it.',
  })
  @ApiProduces('text/event-stream')
  @Answers(HttpStatus.OK, null, 'Server-sent events until you leave or the session ends.')
  // oxlint-disable-next-line eslint/max-params -- Nest hands in each by its own decorator
  async follow(
    @CurrentSession() who: SignedIn,
    @Param('slug', { schema: slugSchema }) slug: string,
    @Query({ schema: followQuery }) query: z.infer<typeof followQuery>,
    @Req() request: ApiRequest,
    @Res() response: Response,
  ): Promise<void> {
    await this.events.send({ request, response }, who, {
      event: 'lines',
      isLast: () => false,
      values: (signal) => this.logs.follow(who.actor, slug, query, signal),
    });
  }
}
