import { Body, Controller, Get, HttpStatus, Param, Post, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import {
  acceptedSchema,
  allowTradingSchema,
  backupAcceptedSchema,
  backupListSchema,
  cloneStackSchema,
  restoreLossSchema,
  restoreStackSchema,
  slugSchema,
  takeBackupSchema,
  undoRestoreSchema,
  uuidSchema,
  type Accepted,
  type AllowTrading,
  type BackupAccepted,
  type BackupList,
  type CloneStack,
  type RestoreLoss,
  type RestoreStack,
  type TakeBackup,
  type UndoRestore,
} from '#libs/contracts';
import { BackupService, RestoreLossQuery, StackService } from '#libs/tenants';
import { CurrentActor, Subscriber } from '../http/access.js';
import { Answers, pageQuery, WithToken } from '../http/answers.js';
import { Idempotent } from '../http/idempotency.interceptor.js';
import type { Person } from '../http/request.js';

export const backupPage = z.strictObject(pageQuery);

@ApiTags('Stacks')
@WithToken()
@Controller('api/v1/stacks')
export class StackBackupsController {
  constructor(
    private readonly backups: BackupService,
    private readonly stacks: StackService,
    private readonly losses: RestoreLossQuery,
  ) {}

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
    description:
      'The stack goes on meanwhile. Whatever else is asked of it takes the place of the backup. With `logs` it also has the last 16 MiB that each of its services logged; a restore leaves them alone.',
  })
  @Answers(HttpStatus.ACCEPTED, backupAcceptedSchema, 'The operation that takes, stores and checks it.')
  take(
    @CurrentActor() actor: Person,
    @Param('slug', { schema: slugSchema }) slug: string,
    @Body({ schema: takeBackupSchema }) body: TakeBackup,
  ): Promise<BackupAccepted> {
    return this.backups.take(actor, slug, body);
  }

  @Get(':slug/backups/:id/loss')
  @Subscriber()
  @ApiOperation({
    summary: 'Count what a restore of a backup would lose',
    description:
      'Counted in the stack’s own database, within a few seconds. Where that cannot be (the stack rests, its host’s agent is away, it takes too long), `now` is false and it is what the newest verified backup holds more; where nothing was counted `countedAt` is null. Rows that were added since less those removed since.',
  })
  @Answers(HttpStatus.OK, restoreLossSchema, 'What is lost, and as of when that was counted.')
  loss(
    @CurrentActor() actor: Person,
    @Param('slug', { schema: slugSchema }) slug: string,
    @Param('id', { schema: uuidSchema }) id: string,
  ): Promise<RestoreLoss> {
    return this.losses.read(actor, slug, id);
  }

  @Post(':slug/clone')
  @Subscriber()
  @Idempotent()
  @ApiOperation({
    summary: 'Make a new stack out of a backup',
    description:
      'Of the same owner, beside the one it was taken of, with a name, secrets and a network of its own; the plan must have room for it. Its bots are paused, and nothing of it trades until that is allowed.',
  })
  @Answers(HttpStatus.ACCEPTED, acceptedSchema, 'The new stack and the operation that makes it.')
  clone(
    @CurrentActor() actor: Person,
    @Param('slug', { schema: slugSchema }) slug: string,
    @Body({ schema: cloneStackSchema }) body: CloneStack,
  ): Promise<Accepted> {
    return this.stacks.clone(actor, slug, body);
  }

  @Post(':slug/allow-trading')
  @Subscriber()
  @Idempotent()
  @ApiOperation({
    summary: 'Let a stack that is a copy trade',
    description: 'Confirm by naming it. It restarts; its bots stay paused until each is resumed.',
  })
  @Answers(HttpStatus.ACCEPTED, acceptedSchema, 'The restart by which its runtime knows.')
  allowTrading(
    @CurrentActor() actor: Person,
    @Param('slug', { schema: slugSchema }) slug: string,
    @Body({ schema: allowTradingSchema }) body: AllowTrading,
  ): Promise<Accepted> {
    return this.stacks.allowTrading(actor, slug, body);
  }

  @Post(':slug/undo-restore')
  @Subscriber()
  @Idempotent()
  @ApiOperation({
    summary: 'Go back to what a restore took the place of',
    description:
      'Possible until the next good backup; `kept` of the list of backups says since when and what comes back. What came since the restore is lost, so confirm by naming the stack.',
  })
  @Answers(HttpStatus.ACCEPTED, acceptedSchema, 'The operation that leads the stack back.')
  undo(
    @CurrentActor() actor: Person,
    @Param('slug', { schema: slugSchema }) slug: string,
    @Body({ schema: undoRestoreSchema }) body: UndoRestore,
  ): Promise<Accepted> {
    return this.backups.undoRestore(actor, slug, body);
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
