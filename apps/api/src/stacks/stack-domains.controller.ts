import { Body, Controller, Delete, Get, HttpStatus, Param, Post } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import {
  addDomainSchema,
  domainListSchema,
  domainNameSchema,
  domainViewSchema,
  slugSchema,
  type AddDomain,
  type DomainList,
  type DomainView,
} from '#libs/contracts';
import { DomainService } from '#libs/tenants';
import { CurrentActor, Subscriber } from '../http/access.js';
import { Answers, WithToken } from '../http/answers.js';
import type { Person } from '../http/request.js';

/** Names of an owner's own that lead to the dashboard of a stack. */
@ApiTags('Stacks')
@WithToken()
@Controller('api/v1/stacks')
export class StackDomainsController {
  constructor(private readonly domains: DomainService) {}

  @Get(':slug/domains')
  @Subscriber()
  @ApiOperation({
    summary: 'List the domains of a stack',
    description: 'With the DNS records to set, and what keeps each from being live.',
  })
  @Answers(HttpStatus.OK, domainListSchema, 'In the order they were added.')
  list(@CurrentActor() actor: Person, @Param('slug', { schema: slugSchema }) slug: string): Promise<DomainList> {
    return this.domains.list(actor, slug);
  }

  @Post(':slug/domains')
  @Subscriber()
  @ApiOperation({
    summary: 'Add a domain of your own to a stack',
    description:
      'It becomes live by itself once its DNS records are set. Adding it again changes nothing. `details.reason` of VALIDATION_FAILED says why a name is not accepted.',
  })
  @Answers(HttpStatus.CREATED, domainViewSchema, 'The domain, with the DNS records to set.')
  add(
    @CurrentActor() actor: Person,
    @Param('slug', { schema: slugSchema }) slug: string,
    @Body({ schema: addDomainSchema }) { domain }: AddDomain,
  ): Promise<DomainView> {
    return this.domains.add(actor, slug, domain);
  }

  @Post(':slug/domains/:domain/verify')
  @Subscriber()
  @ApiOperation({
    summary: 'Look at the DNS of a domain now',
    description: 'It is looked at by itself too. A failed certificate order is not repeated sooner for being asked.',
  })
  @Answers(HttpStatus.ACCEPTED, domainViewSchema, 'The domain as it was before this look, which takes seconds.')
  verify(
    @CurrentActor() actor: Person,
    @Param('slug', { schema: slugSchema }) slug: string,
    @Param('domain', { schema: domainNameSchema }) domain: string,
  ): Promise<DomainView> {
    return this.domains.verify(actor, slug, domain);
  }

  @Delete(':slug/domains/:domain')
  @Subscriber()
  @ApiOperation({
    summary: 'Remove a domain from a stack',
    description: 'It leads nowhere within seconds, and its certificate is deleted.',
  })
  @Answers(HttpStatus.NO_CONTENT, null, 'It is removed.')
  async remove(
    @CurrentActor() actor: Person,
    @Param('slug', { schema: slugSchema }) slug: string,
    @Param('domain', { schema: domainNameSchema }) domain: string,
  ): Promise<void> {
    await this.domains.remove(actor, slug, domain);
  }
}
