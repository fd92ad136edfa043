import { Body, Controller, Get, HttpStatus, Post } from '@nestjs/common';
import type { z } from 'zod';
import {
  redeemRequestSchema,
  redeemResponseSchema,
  revocationsSchema,
  startingRequestSchema,
  startingResponseSchema,
  wakeRequestSchema,
  wakeResponseSchema,
  type Revocations,
  type StartingRequest,
  type StartingResponse,
  type WakeRequest,
  type WakeResponse,
} from '#libs/contracts';
import { SignOnService, SleepService } from '#libs/tenants';
import { Internal } from '../http/access.js';
import { Answers } from '../http/answers.js';
import { Unlimited } from '../http/rate-limits.js';

/** What the gate asks, on the private listener. */
@Controller('internal')
export class GateController {
  constructor(
    private readonly signOn: SignOnService,
    private readonly sleep: SleepService,
  ) {}

  @Post('redeem')
  @Internal()
  @Unlimited()
  @Answers(HttpStatus.OK, redeemResponseSchema, 'The session for the tenant host.')
  redeem(
    @Body({ schema: redeemRequestSchema }) body: z.infer<typeof redeemRequestSchema>,
  ): Promise<{ token: string; next: string }> {
    return this.signOn.redeem(body);
  }

  @Post('wake')
  @Internal()
  @Unlimited()
  @Answers(HttpStatus.OK, wakeResponseSchema, 'Whether the stack is waking.')
  wake(@Body({ schema: wakeRequestSchema }) body: WakeRequest): Promise<WakeResponse> {
    return this.sleep.wakeFor(body);
  }

  @Post('starting')
  @Internal()
  @Unlimited()
  @Answers(HttpStatus.OK, startingResponseSchema, 'Whether the stack still starts; why not, to its owner.')
  starting(@Body({ schema: startingRequestSchema }) body: StartingRequest): Promise<StartingResponse> {
    return this.sleep.standing(body);
  }

  @Get('revocations')
  @Internal()
  @Unlimited()
  @Answers(HttpStatus.OK, revocationsSchema, 'Sessions that ended in the last 12 hours.')
  revocations(): Promise<Revocations> {
    return this.signOn.revocations();
  }
}
