import { Body, Controller, Get, HttpStatus, Param, Post, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import {
  acceptedSchema,
  backupAcceptedSchema,
  backupListSchema,
  restoreStackSchema,
  slugSchema,
  type Accepted,
  type BackupAccepted,
  type BackupList,
  type RestoreStack,
} from '#libs/contracts';
import { BackupService } from '#libs/tenants';
import { CurrentActor, Subscriber } from '../http/access.js';
import { Answers, pageQuery, WithToken } from '../http/answers.js';
import { Idempotent } from '../http/idempotency.interceptor.js';
import type { Person } from '../http/request.js';

export const backupPage = z.strictObject(pageQuery);

@ApiTags('Stacks')
@WithToken()
@Controller('api/v1/stacks')
export class StackBackupsController {
  constructor(private readonly backups: BackupService) {}

  @Get(':slug/backups')
  @Subscriber()
  @ApiOperation({
    summary: 'List the backups of a stack',
    description:
      'Only `verified` ones count: restored from the repository and compared table by table. `open` is what is under way.',
  })
  @Answers(HttpStatus.OK, backupListSchema, 'Newest first.')
  list(
    @CurrentActor() actor: Person,
    @Param('slug', { schema: slugSchema }) slug: string,
    @Query({ schema: backupPage }) query: z.infer<typeof backupPage>,
  ): Promise<BackupList> {
    return this.backups.list(actor, slug, query);
  }

  @Post(':slug/backups')
  @Subscriber()
  @Idempotent()
  @ApiOperation({
    summary: 'Back a stack up now',
    description: 'The stack goes on meanwhile. Whatever else is asked of it takes the place of the backup.',
  })
  @Answers(HttpStatus.ACCEPTED, backupAcceptedSchema, 'The operation that takes, stores and checks it.')
  take(@CurrentActor() actor: Person, @Param('slug', { schema: slugSchema }) slug: string): Promise<BackupAccepted> {
    return this.backups.take(actor, slug);
  }

  @Post(':slug/restore')
  @Subscriber()
  @Idempotent()
  @ApiOperation({
    summary: 'Put the data of a backup in the place of a stack’s',
    description:
      'What came after the backup is lost, so confirm by naming the stack. A stack that runs is backed up first; whether it runs afterwards is as before.',
  })
  @Answers(HttpStatus.ACCEPTED, acceptedSchema, 'The operation that restores it.')
  restore(
    @CurrentActor() actor: Person,
    @Param('slug', { schema: slugSchema }) slug: string,
    @Body({ schema: restoreStackSchema }) body: RestoreStack,
  ): Promise<Accepted> {
    return this.backups.restore(actor, slug, body);
  }
}
