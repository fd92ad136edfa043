import { Controller, Get, Header, HttpCode } from '@nestjs/common';
import { Internal } from '../http/access.js';
import { Metrics } from '../http/metrics.js';
import { Unlimited } from '../http/rate-limits.js';

@Controller('metrics')
export class MetricsController {
  constructor(private readonly metrics: Metrics) {}

  @Get()
  @Internal()
  @Unlimited()
  @HttpCode(200)
  @Header('Content-Type', 'text/plain; version=0.0.4; charset=utf-8')
  read(): Promise<string> {
    return this.metrics.registry.metrics();
  }
}
