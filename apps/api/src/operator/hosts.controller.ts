import { Controller, Get, HttpStatus, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import { hostUsageSchema, type HostUsage } from '#libs/contracts';
import { UsageService } from '#libs/tenants';
import { CurrentActor, Operator } from '../http/access.js';
import { Answers, WithToken } from '../http/answers.js';
import type { Person } from '../http/request.js';
import { usageQuery } from '../stacks/stacks.controller.js';

@ApiTags('Operators')
@WithToken()
@Controller('api/v1/operator/hosts')
export class HostsController {
  constructor(private readonly usage: UsageService) {}

  @Get('usage')
  @Operator()
  @ApiOperation({ summary: 'What the hosts use' })
  @Answers(HttpStatus.OK, hostUsageSchema, 'Every host, by name.')
  read(
    @CurrentActor() actor: Person,
    @Query({ schema: usageQuery }) { range }: z.infer<typeof usageQuery>,
  ): Promise<HostUsage> {
    return this.usage.ofHosts(actor, range);
  }
}
