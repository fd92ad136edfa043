import { Body, Controller, HttpStatus, Post } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { signOnRequestSchema, signOnResponseSchema, type SignOnRequest } from '#libs/contracts';
import { SignOnService } from '#libs/tenants';
import { CurrentActor, Subscriber } from '../http/access.js';
import { Answers, WithToken } from '../http/answers.js';
import type { Person } from '../http/request.js';

@ApiTags('Stacks')
@WithToken()
@Controller('api/v1/sign-on')
export class SignOnController {
  constructor(private readonly signOn: SignOnService) {}

  @Post()
  @Subscriber()
  @ApiOperation({ summary: 'Go to the dashboard of your stack', description: 'The code in the address works once.' })
  @Answers(HttpStatus.OK, signOnResponseSchema, 'Where to send the browser.')
  mint(
    @CurrentActor() actor: Person,
    @Body({ schema: signOnRequestSchema }) body: SignOnRequest,
  ): Promise<{ redirect: string }> {
    return this.signOn.mint(actor, body);
  }
}
