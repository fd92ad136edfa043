import { Controller, Get, HttpStatus } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { capacityViewSchema, type CapacityView } from '#libs/contracts';
import { CapacityService } from '#libs/tenants';
import { CurrentActor, Operator } from '../http/access.js';
import { Answers, WithToken } from '../http/answers.js';
import type { Person } from '../http/request.js';

@ApiTags('Operators')
@WithToken()
@Controller('api/v1/operator/capacity')
export class CapacityController {
  constructor(private readonly room: CapacityService) {}

  @Get()
  @Operator()
  @ApiOperation({ summary: 'What hosts have, and what of it is promised' })
  @Answers(HttpStatus.OK, capacityViewSchema, 'Every engine: ok below 80 %, warn below 95 %, bad from there.')
  read(@CurrentActor() actor: Person): Promise<CapacityView> {
    return this.room.read(actor);
  }
}
