import { Controller, Get, HttpStatus, Res } from '@nestjs/common';
import type { Response } from 'express';
import { Drain } from '#libs/async';
import { BALANCER_PATH } from '#libs/contracts';
import { Internal } from '../http/access.js';
import { Unlimited } from '../http/rate-limits.js';

/**
 * What the proxy asks each api, once a second: whether to send requests there. Nothing of the database is in it: with that
 * away each of them would be left out, and people would get the proxy's bare words in the place of a page that explains.
 */
@Controller(BALANCER_PATH)
export class BalancerController {
  constructor(private readonly drain: Drain) {}

  @Get()
  @Internal()
  @Unlimited()
  takes(@Res({ passthrough: true }) response: Response): { status: 'ok' | 'leaving' } {
    if (this.drain.asked()) {
      return { status: 'ok' };
    }
    response.once('finish', () => this.drain.wasTold());
    response.status(HttpStatus.SERVICE_UNAVAILABLE);
    return { status: 'leaving' };
  }
}
