import { collectDefaultMetrics, Registry } from 'prom-client';

export { Counter, Gauge, Histogram, Registry } from 'prom-client';

/** What a scraper is told the text is. */
export const METRICS_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

/** A registry with the process's own figures. Never the global one, so that two in one process do not collide. */
export function createRegistry(): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  return registry;
}
