import { Body, Controller, Get, HttpStatus, Post } from '@nestjs/common';
import type { z } from 'zod';
import { redeemRequestSchema, redeemResponseSchema, revocationsSchema, type Revocations } from '#libs/contracts';
import { SignOnService } from '#libs/tenants';
import { Internal } from '../http/access.js';
import { Answers } from '../http/answers.js';
import { Unlimited } from '../http/rate-limits.js';

/** What the gate asks, on the private listener. */
@Controller('internal')
export class GateController {
  constructor(private readonly signOn: SignOnService) {}

  @Post('redeem')
  @Internal()
  @Unlimited()
  @Answers(HttpStatus.OK, redeemResponseSchema, 'The session for the tenant host.')
  redeem(
    @Body({ schema: redeemRequestSchema }) body: z.infer<typeof redeemRequestSchema>,
  ): Promise<{ token: string; next: string }> {
    return this.signOn.redeem(body);
  }

  @Get('revocations')
  @Internal()
  @Unlimited()
  @Answers(HttpStatus.OK, revocationsSchema, 'Sessions that ended in the last 12 hours.')
  revocations(): Promise<Revocations> {
    return this.signOn.revocations();
  }
}
