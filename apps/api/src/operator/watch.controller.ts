import { Controller, Get, HttpStatus } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { alarmListSchema, dutiesSchema, type AlarmList, type Duties } from '#libs/contracts';
import { Operator } from '../http/access.js';
import { Answers, WithToken } from '../http/answers.js';
import { WatchQuery } from './watch-query.js';

/** What operators must know without having looked for it. */
@ApiTags('Operators')
@WithToken()
@Controller('api/v1/operator')
export class WatchController {
  constructor(private readonly watch: WatchQuery) {}

  @Get('alarms')
  @Operator()
  @ApiOperation({ summary: 'List alarms' })
  @Answers(HttpStatus.OK, alarmListSchema, 'The open ones first; those that ended within a week after them.')
  alarms(): Promise<AlarmList> {
    return this.watch.alarms();
  }

  @Get('schedules')
  @Operator()
  @ApiOperation({ summary: 'Recurring and waiting work: what is expected, what was done, what was missed' })
  @Answers(HttpStatus.OK, dutiesSchema, 'Read from the rows now, also while no worker runs.')
  schedules(): Promise<Duties> {
    return this.watch.duties();
  }
}
