import { Body, Controller, Get, HttpStatus, Param, Post, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import {
  planRolloutSchema,
  resumeRolloutSchema,
  ROLLOUT_STACK_STATES,
  rolloutListSchema,
  rolloutPlanSchema,
  rolloutReportSchema,
  rolloutViewSchema,
  startRolloutSchema,
  uuidSchema,
  type PlanRollout,
  type ResumeRollout,
  type RolloutList,
  type RolloutPlan,
  type RolloutReport,
  type RolloutView,
  type StartRollout,
} from '#libs/contracts';
import { RolloutService } from '#libs/tenants';
import { CurrentActor, Operator } from '../http/access.js';
import { Answers, pageQuery, WithToken } from '../http/answers.js';
import { Idempotent } from '../http/idempotency.interceptor.js';
import type { Person } from '../http/request.js';

const listQuery = z.strictObject(pageQuery);
const reportQuery = z.strictObject({
  ...pageQuery,
  /** `next` of the page before. */
  cursor: z.coerce.number().int().min(0).optional(),
  state: z.enum(ROLLOUT_STACK_STATES).optional(),
});

@ApiTags('Operators')
@WithToken()
@Controller('api/v1/operator/rollouts')
export class RolloutsController {
  constructor(private readonly rollouts: RolloutService) {}

  @Get()
  @Operator()
  @ApiOperation({ summary: 'List the upgrades of the fleet' })
  @Answers(HttpStatus.OK, rolloutListSchema, 'Newest first.')
  list(
    @CurrentActor() actor: Person,
    @Query({ schema: listQuery }) query: z.infer<typeof listQuery>,
  ): Promise<RolloutList> {
    return this.rollouts.list(actor, query);
  }

  @Post('plan')
  @Operator()
  @ApiOperation({
    summary: 'See who would be upgraded when, and who would not and why',
    description: 'Nothing is changed or kept. The same order starts the same rings.',
  })
  @Answers(HttpStatus.OK, rolloutPlanSchema, 'Rings and exceptions.')
  plan(@CurrentActor() actor: Person, @Body({ schema: planRolloutSchema }) body: PlanRollout): Promise<RolloutPlan> {
    return this.rollouts.plan(actor, body);
  }

  @Post()
  @Operator()
  @Idempotent()
  @ApiOperation({
    summary: 'Bring many stacks to a release, ring by ring',
    description:
      'Each by an upgrade of its own. Confirm by naming the release. It halts by itself where too many fail, and when the release is withdrawn.',
  })
  @Answers(HttpStatus.ACCEPTED, rolloutViewSchema, 'The rollout, which a worker takes up.')
  start(@CurrentActor() actor: Person, @Body({ schema: startRolloutSchema }) body: StartRollout): Promise<RolloutView> {
    return this.rollouts.start(actor, body);
  }

  @Get(':id')
  @Operator()
  @ApiOperation({ summary: 'Read a rollout' })
  @Answers(HttpStatus.OK, rolloutViewSchema, 'Its state, rings, budget, and how it came to be so.')
  get(@CurrentActor() actor: Person, @Param('id', { schema: uuidSchema }) id: string): Promise<RolloutView> {
    return this.rollouts.get(actor, id);
  }

  @Get(':id/stacks')
  @Operator()
  @ApiOperation({ summary: 'Read what became of each stack of a rollout' })
  @Answers(HttpStatus.OK, rolloutReportSchema, 'In the order in which they go; those left out from the start last.')
  report(
    @CurrentActor() actor: Person,
    @Param('id', { schema: uuidSchema }) id: string,
    @Query({ schema: reportQuery }) query: z.infer<typeof reportQuery>,
  ): Promise<RolloutReport> {
    return this.rollouts.report(actor, id, query);
  }

  @Post(':id/pause')
  @Operator()
  @ApiOperation({ summary: 'Pause a rollout', description: 'What is under way goes on; no other upgrade is begun.' })
  @Answers(HttpStatus.OK, rolloutViewSchema, 'The rollout.')
  pause(@CurrentActor() actor: Person, @Param('id', { schema: uuidSchema }) id: string): Promise<RolloutView> {
    return this.rollouts.pause(actor, id);
  }

  @Post(':id/resume')
  @Operator()
  @ApiOperation({
    summary: 'Go on with a rollout',
    description:
      'One that halted wants `acknowledge`; what failed until now counts no more. With `failures` and `newest`, what you saw of them in `budget`, it is refused where there are more or newer ones.',
  })
  @Answers(HttpStatus.OK, rolloutViewSchema, 'The rollout.')
  resume(
    @CurrentActor() actor: Person,
    @Param('id', { schema: uuidSchema }) id: string,
    @Body({ schema: resumeRolloutSchema }) body: ResumeRollout,
  ): Promise<RolloutView> {
    return this.rollouts.resume(actor, id, body);
  }

  @Post(':id/abort')
  @Operator()
  @ApiOperation({
    summary: 'Abort a rollout for good',
    description:
      'What was upgraded stays so; what is under way is cancelled where it has not touched its stack, and ends by itself otherwise.',
  })
  @Answers(HttpStatus.OK, rolloutViewSchema, 'The rollout.')
  abort(@CurrentActor() actor: Person, @Param('id', { schema: uuidSchema }) id: string): Promise<RolloutView> {
    return this.rollouts.abort(actor, id);
  }
}
