import type { IncomingMessage, ServerResponse } from 'node:http';
import { createRegistry, Gauge, Histogram } from '#libs/telemetry';
import type { Revocations } from './revocations.js';

/** What the gate tells a scraper: the proxy's questions and visits, and how old its list of ended sessions is. */
export class GateMetrics {
  private readonly registry = createRegistry();
  private readonly seconds = new Histogram({
    name: 'aviary_gate_request_duration_seconds',
    help: 'Time to answer: the proxy asking whether somebody may pass (auth), or a person who was led here (visit).',
    labelNames: ['kind', 'status'],
    buckets: [0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25, 1],
    registers: [this.registry],
  });

  constructor(revocations: Pick<Revocations, 'ageSeconds'>) {
    new Gauge({
      name: 'aviary_gate_revocations_age_seconds',
      help: 'Since the api last gave the list of ended sessions; absent when it never did.',
      registers: [this.registry],
      collect() {
        const age = revocations.ageSeconds();
        this.reset();
        if (age !== null) {
          this.set(age);
        }
      },
    });
  }

  measure(request: IncomingMessage, response: ServerResponse): void {
    const end = this.seconds.startTimer();
    const kind = /^\/auth(\?|$)/.test(request.url ?? '') ? 'auth' : 'visit';
    response.once('finish', () => end({ kind, status: String(response.statusCode) }));
  }

  read(): Promise<string> {
    return this.registry.metrics();
  }
}
