import { Controller, Get, HttpStatus, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import {
  fleetOverviewSchema,
  operationListSchema,
  stackListSchema,
  userListSchema,
  type FleetOverview,
  type OperationList,
  type Me,
  type StackList,
} from '#libs/contracts';
import { AccountService } from '#libs/accounts';
import { FleetOverviewQuery, OperationService, StackService } from '#libs/tenants';
import { CurrentActor, Operator } from '../http/access.js';
import { Answers, pageQuery, WithToken } from '../http/answers.js';
import type { Person } from '../http/request.js';
import { operationListQuery } from '../operations/operations.controller.js';
import { stackListQuery } from '../stacks/stacks.controller.js';

const userListQuery = z.strictObject({
  ...pageQuery,
  q: z.string().trim().max(100).optional().describe('Part of the e-mail address or user name.'),
});

/** What the console reads. What it does is mostly done by the same routes as everybody: the services let operators. */
@ApiTags('Operators')
@WithToken()
@Controller('api/v1/operator')
export class OperatorController {
  constructor(
    private readonly fleet: FleetOverviewQuery,
    private readonly stacks: StackService,
    private readonly operations: OperationService,
    private readonly accounts: AccountService,
  ) {}

  @Get('overview')
  @Operator()
  @ApiOperation({ summary: 'The fleet in figures' })
  @Answers(HttpStatus.OK, fleetOverviewSchema, 'Counted now.')
  overview(@CurrentActor() actor: Person): Promise<FleetOverview> {
    return this.fleet.read(actor);
  }

  @Get('stacks')
  @Operator()
  @ApiOperation({ summary: 'List everybody’s stacks' })
  @Answers(HttpStatus.OK, stackListSchema, 'Newest first.')
  listStacks(
    @CurrentActor() actor: Person,
    @Query({ schema: stackListQuery }) query: z.infer<typeof stackListQuery>,
  ): Promise<StackList> {
    return this.stacks.list(actor, query);
  }

  @Get('operations')
  @Operator()
  @ApiOperation({ summary: 'List everybody’s operations' })
  @Answers(HttpStatus.OK, operationListSchema, 'Newest first.')
  listOperations(
    @CurrentActor() actor: Person,
    @Query({ schema: operationListQuery }) query: z.infer<typeof operationListQuery>,
  ): Promise<OperationList> {
    return this.operations.list(actor, query);
  }

  @Get('users')
  @Operator()
  @ApiOperation({ summary: 'List accounts' })
  @Answers(HttpStatus.OK, userListSchema, 'Newest first.')
  listUsers(
    @CurrentActor() actor: Person,
    @Query({ schema: userListQuery }) query: z.infer<typeof userListQuery>,
  ): Promise<{ items: Me[]; next: string | null }> {
    return this.accounts.list(actor, query);
  }
}
