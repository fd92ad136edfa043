import { Controller, Get, HttpStatus } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { orphanListSchema, type OrphanList } from '#libs/contracts';
import { OrphanService } from '#libs/tenants';
import { CurrentActor, Operator } from '../http/access.js';
import { Answers, WithToken } from '../http/answers.js';
import type { Person } from '../http/request.js';

@ApiTags('Operators')
@WithToken()
@Controller('api/v1/operator/orphans')
export class OrphansController {
  constructor(private readonly orphans: OrphanService) {}

  @Get()
  @Operator()
  @ApiOperation({ summary: 'List objects on engines that no stack wants' })
  @Answers(HttpStatus.OK, orphanListSchema, 'Oldest first.')
  list(@CurrentActor() actor: Person): Promise<OrphanList> {
    return this.orphans.list(actor);
  }
}
