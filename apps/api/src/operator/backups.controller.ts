import { Controller, Get, HttpStatus, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { fleetBackupsSchema, type FleetBackups } from '#libs/contracts';
import { BackupService } from '#libs/tenants';
import { CurrentActor, Operator } from '../http/access.js';
import { Answers, pageQuery, WithToken } from '../http/answers.js';
import type { Person } from '../http/request.js';

const fleetPage = z.strictObject(pageQuery);

@ApiTags('Operators')
@WithToken()
@Controller('api/v1/operator/backups')
export class BackupsController {
  constructor(private readonly backups: BackupService) {}

  @Get()
  @Operator()
  @ApiOperation({ summary: 'How old the data is that is certain to come back, of every stack' })
  @Answers(HttpStatus.OK, fleetBackupsSchema, 'Stacks without a verified backup first, then the oldest.')
  read(
    @CurrentActor() actor: Person,
    @Query({ schema: fleetPage }) query: z.infer<typeof fleetPage>,
  ): Promise<FleetBackups> {
    return this.backups.fleet(actor, query);
  }
}
