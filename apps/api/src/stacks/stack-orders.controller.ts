import { Body, Controller, HttpStatus, Param, Post } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import {
  acceptedSchema,
  resizeStackSchema,
  slugSchema,
  upgradeStackSchema,
  type Accepted,
  type ResizeStack,
  type UpgradeStack,
} from '#libs/contracts';
import { ResizeService, SleepService, UpgradeService } from '#libs/tenants';
import { CurrentActor, Subscriber } from '../http/access.js';
import { Answers, WithToken } from '../http/answers.js';
import { Idempotent } from '../http/idempotency.interceptor.js';
import type { Person } from '../http/request.js';

/** What may be asked of a stack besides running and stopping it. */
@ApiTags('Stacks')
@WithToken()
@Controller('api/v1/stacks')
export class StackOrdersController {
  constructor(
    private readonly sleep: SleepService,
    private readonly limits: ResizeService,
    private readonly releases: UpgradeService,
  ) {}

  @Post(':slug/hibernate')
  @Subscriber()
  @Idempotent()
  @ApiOperation({
    summary: 'Put a stack to sleep',
    description: 'Refused (BOTS_RUNNING) unless the stack itself says that no bot runs and no order is open.',
  })
  @Answers(HttpStatus.ACCEPTED, acceptedSchema, 'The operation that puts it to sleep.')
  hibernate(@CurrentActor() actor: Person, @Param('slug', { schema: slugSchema }) slug: string): Promise<Accepted> {
    return this.sleep.hibernate(actor, slug);
  }

  @Post(':slug/wake')
  @Subscriber()
  @Idempotent()
  @ApiOperation({ summary: 'Wake a stack', description: 'Its owner’s visit to the dashboard does the same.' })
  @Answers(HttpStatus.ACCEPTED, acceptedSchema, 'The operation that wakes it.')
  wake(@CurrentActor() actor: Person, @Param('slug', { schema: slugSchema }) slug: string): Promise<Accepted> {
    return this.sleep.wake(actor, slug);
  }

  @Post(':slug/resize')
  @Subscriber()
  @Idempotent()
  @ApiOperation({
    summary: 'Give a stack the limits of a plan',
    description: 'Of your own plan; operators name any. It runs on, unless the number of bots changes.',
  })
  @Answers(HttpStatus.ACCEPTED, acceptedSchema, 'The operation that changes its limits.')
  resize(
    @CurrentActor() actor: Person,
    @Param('slug', { schema: slugSchema }) slug: string,
    @Body({ schema: resizeStackSchema }) body: ResizeStack,
  ): Promise<Accepted> {
    return this.limits.resize(actor, slug, body.plan);
  }

  @Post(':slug/rotate-secrets')
  @Subscriber()
  @Idempotent()
  @ApiOperation({
    summary: 'Give a stack new passwords and keys',
    description: 'Those of its database, its Redis and its own key. What runs is restarted with them.',
  })
  @Answers(HttpStatus.ACCEPTED, acceptedSchema, 'The operation that rotates them.')
  rotateSecrets(@CurrentActor() actor: Person, @Param('slug', { schema: slugSchema }) slug: string): Promise<Accepted> {
    return this.limits.rotateSecrets(actor, slug);
  }

  @Post(':slug/upgrade')
  @Subscriber()
  @Idempotent()
  @ApiOperation({
    summary: 'Bring a stack to another release',
    description:
      'To the newest stable one, or to the one named. It is backed up first; what fails afterwards is rolled back by itself.',
  })
  @Answers(HttpStatus.ACCEPTED, acceptedSchema, 'The operation that upgrades it.')
  upgrade(
    @CurrentActor() actor: Person,
    @Param('slug', { schema: slugSchema }) slug: string,
    @Body({ schema: upgradeStackSchema }) body: UpgradeStack,
  ): Promise<Accepted> {
    return this.releases.upgrade(actor, slug, body);
  }
}
