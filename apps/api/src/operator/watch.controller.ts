import { Body, Controller, Get, HttpCode, HttpStatus, Post } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { z } from 'zod';
import {
  acknowledgeAlarmSchema,
  alarmListSchema,
  alarmSchema,
  dutiesSchema,
  type Alarm,
  type AlarmList,
  type Duties,
} from '#libs/contracts';
import { CurrentActor, Operator } from '../http/access.js';
import { Answers, WithToken } from '../http/answers.js';
import type { Person } from '../http/request.js';
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

  @Post('alarms/acknowledge')
  @HttpCode(HttpStatus.OK)
  @Operator()
  @ApiOperation({
    summary: 'Acknowledge an alarm',
    description: 'It is no longer counted nor mailed, until it is over or gets worse.',
  })
  @Answers(HttpStatus.OK, alarmSchema, 'Also when it was acknowledged before.')
  acknowledge(
    @CurrentActor() actor: Person,
    @Body({ schema: acknowledgeAlarmSchema }) { key }: z.infer<typeof acknowledgeAlarmSchema>,
  ): Promise<Alarm> {
    return this.watch.acknowledge(actor, key);
  }

  @Get('schedules')
  @Operator()
  @ApiOperation({ summary: 'Recurring and waiting work: what is expected, what was done, what was missed' })
  @Answers(HttpStatus.OK, dutiesSchema, 'Read from the rows now, also while no worker runs.')
  schedules(): Promise<Duties> {
    return this.watch.duties();
  }
}
