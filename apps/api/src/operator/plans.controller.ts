import { Controller, Get, HttpStatus } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { planListSchema, type PlanList } from '#libs/contracts';
import { PlanQuery } from '#libs/tenants';
import { CurrentActor, Operator } from '../http/access.js';
import { Answers, WithToken } from '../http/answers.js';
import type { Person } from '../http/request.js';

@ApiTags('Operators')
@WithToken()
@Controller('api/v1/operator/plans')
export class PlansController {
  constructor(private readonly plans: PlanQuery) {}

  @Get()
  @Operator()
  @ApiOperation({ summary: 'List plans', description: 'A stack can be given the limits of any of them.' })
  @Answers(HttpStatus.OK, planListSchema, 'Cheapest first.')
  list(@CurrentActor() actor: Person): Promise<PlanList> {
    return this.plans.list(actor);
  }
}
