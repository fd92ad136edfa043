import type { RequestHandler } from 'express';
import { Counter, createRegistry, Gauge, Histogram } from '#libs/telemetry';
import { LiveStreams } from './live-streams.js';

/** What the api tells a scraper of its requests. */
export class Metrics {
  readonly registry = createRegistry();
  private readonly duration = new Histogram({
    name: 'aviary_http_request_duration_seconds',
    help: 'Time from the first byte of a request to the end of its answer, by route.',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    registers: [this.registry],
  });
  private readonly refused = new Counter({
    name: 'aviary_http_rate_limited_total',
    help: 'Requests answered 429.',
    labelNames: ['route'],
    registers: [this.registry],
  });

  constructor(streams: LiveStreams) {
    new Gauge({
      name: 'aviary_http_live_streams',
      help: 'Open event streams.',
      registers: [this.registry],
      collect() {
        this.set(streams.size);
      },
    });
  }

  /** Labelled by the route's pattern, never by the address: a scan of random paths must not make new series. */
  measure(): RequestHandler {
    return (request, response, next) => {
      const end = this.duration.startTimer();
      response.once('finish', () => {
        const pattern = (request.route as { path?: unknown } | undefined)?.path;
        const route = typeof pattern === 'string' ? pattern : 'other';
        end({ method: request.method, route, status: String(response.statusCode) });
        if (response.statusCode === 429) {
          this.refused.inc({ route });
        }
      });
      next();
    };
  }
}
