import { Controller, Get, Header, HttpCode } from '@nestjs/common';
import { METRICS_TYPE } from '#libs/telemetry';
import { AgentPort } from '#libs/tenants';
import { Internal } from '../http/access.js';
import { Metrics } from '../http/metrics.js';
import { Unlimited } from '../http/rate-limits.js';

@Controller('metrics')
export class MetricsController {
  constructor(
    private readonly metrics: Metrics,
    private readonly agent: AgentPort,
  ) {}

  @Get()
  @Internal()
  @Unlimited()
  @HttpCode(200)
  @Header('Content-Type', METRICS_TYPE)
  read(): Promise<string> {
    return this.metrics.registry.metrics();
  }

  /** The agent listens on a unix socket, which a scraper cannot reach. */
  @Get('agent')
  @Internal()
  @Unlimited()
  @HttpCode(200)
  @Header('Content-Type', METRICS_TYPE)
  readAgent(): Promise<string> {
    return this.agent.metrics();
  }
}
