import { Controller, Get, HttpStatus, Inject, Res } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import type { Response } from 'express';
import { z } from 'zod';
import { Drain } from '#libs/async';
import { LISTENER, type Listener } from '../http/access.guard.js';
import { Public } from '../http/access.js';
import { Answers } from '../http/answers.js';
import { Unlimited } from '../http/rate-limits.js';
import { Readiness } from './readiness.js';

const statusSchema = z.object({ status: z.enum(['ok', 'unavailable']) });

@ApiTags('Health')
@Controller()
export class HealthController {
  constructor(
    private readonly readiness: Readiness,
    private readonly drain: Drain,
    @Inject(LISTENER) private readonly listener: Listener,
  ) {}

  @Get('healthz')
  @Public()
  @Unlimited()
  @ApiOperation({ summary: 'Is the process alive' })
  @Answers(HttpStatus.OK, statusSchema, 'It is.')
  alive(): { status: 'ok' | 'leaving' } {
    // For the agent, who restarts what hangs: one that ends what it has begun answers nowhere else any more.
    return { status: this.listener.kind === 'private' && this.drain.isLeaving ? 'leaving' : 'ok' };
  }

  @Get('readyz')
  @Public()
  @Unlimited()
  @ApiOperation({ summary: 'Can it do its work', description: '503 while it cannot.' })
  @Answers(HttpStatus.OK, statusSchema, 'It can.')
  async ready(@Res({ passthrough: true }) response: Response): Promise<Record<string, unknown>> {
    const { ready, parts } = await this.readiness.look();
    response.status(ready ? 200 : 503);
    const status = ready ? 'ok' : 'unavailable';
    // What we are made of is nobody's business on the public listener.
    return this.listener.kind === 'private' ? { status, parts } : { status };
  }
}
