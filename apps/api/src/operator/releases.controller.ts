import { Body, Controller, Get, HttpStatus, Param, Post } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import {
  makeReleaseSchema,
  releaseListSchema,
  releaseNotesSchema,
  releaseViewSchema,
  type MakeRelease,
  type ReleaseList,
  type ReleaseNotes,
  type ReleaseView,
} from '#libs/contracts';
import { ReleaseService } from '#libs/tenants';
import { CurrentActor, Operator } from '../http/access.js';
import { Answers, WithToken } from '../http/answers.js';
import type { Person } from '../http/request.js';

const idSchema = z.string().min(1).max(200);

@ApiTags('Operators')
@WithToken()
@Controller('api/v1/operator/releases')
export class ReleasesController {
  constructor(private readonly releases: ReleaseService) {}

  @Get()
  @Operator()
  @ApiOperation({ summary: 'List the releases of all templates', description: 'With how many stacks are on each.' })
  @Answers(HttpStatus.OK, releaseListSchema, 'Newest first.')
  list(@CurrentActor() actor: Person): Promise<ReleaseList> {
    return this.releases.list(actor);
  }

  @Post()
  @Operator()
  @ApiOperation({
    summary: 'Make a release',
    description:
      'A draft like another one, with images that this host’s engine has: they are pinned to what they are now.',
  })
  @Answers(HttpStatus.CREATED, releaseViewSchema, 'The draft. Offer it next.')
  make(@CurrentActor() actor: Person, @Body({ schema: makeReleaseSchema }) body: MakeRelease): Promise<ReleaseView> {
    return this.releases.make(actor, body);
  }

  @Post(':id/notes')
  @Operator()
  @ApiOperation({ summary: 'Write what is new in a release' })
  @Answers(HttpStatus.OK, releaseViewSchema, 'The release.')
  notes(
    @CurrentActor() actor: Person,
    @Param('id', { schema: idSchema }) id: string,
    @Body({ schema: releaseNotesSchema }) body: ReleaseNotes,
  ): Promise<ReleaseView> {
    return this.releases.setNotes(actor, id, body);
  }

  @Get(':id')
  @Operator()
  @ApiOperation({ summary: 'Read a release' })
  @Answers(HttpStatus.OK, releaseViewSchema, 'The release.')
  get(@CurrentActor() actor: Person, @Param('id', { schema: idSchema }) id: string): Promise<ReleaseView> {
    return this.releases.get(actor, id);
  }

  @Post(':id/offer')
  @Operator()
  @ApiOperation({ summary: 'Make a release a candidate', description: 'Operators may upgrade stacks to it then.' })
  @Answers(HttpStatus.OK, releaseViewSchema, 'The release.')
  offer(@CurrentActor() actor: Person, @Param('id', { schema: idSchema }) id: string): Promise<ReleaseView> {
    return this.releases.move(actor, id, 'offer');
  }

  @Post(':id/promote')
  @Operator()
  @ApiOperation({ summary: 'Make a candidate stable', description: 'New stacks are made of the newest stable one.' })
  @Answers(HttpStatus.OK, releaseViewSchema, 'The release.')
  promote(@CurrentActor() actor: Person, @Param('id', { schema: idSchema }) id: string): Promise<ReleaseView> {
    return this.releases.move(actor, id, 'promote');
  }

  @Post(':id/withdraw')
  @Operator()
  @ApiOperation({ summary: 'Withdraw a release', description: 'No stack goes there any more; those on it stay.' })
  @Answers(HttpStatus.OK, releaseViewSchema, 'The release.')
  withdraw(@CurrentActor() actor: Person, @Param('id', { schema: idSchema }) id: string): Promise<ReleaseView> {
    return this.releases.move(actor, id, 'withdraw');
  }

  @Post(':id/fixed')
  @Operator()
  @ApiOperation({ summary: 'Mark a release as fixed', description: 'Stacks on which it failed may be tried again.' })
  @Answers(HttpStatus.OK, releaseViewSchema, 'The release.')
  async fixed(@CurrentActor() actor: Person, @Param('id', { schema: idSchema }) id: string): Promise<ReleaseView> {
    await this.releases.markFixed(actor, id);
    return this.releases.get(actor, id);
  }
}
