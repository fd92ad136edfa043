import { HEALTH_LAYERS, STACK_STATUS, type LayerStatus, type StackStatus } from '#libs/contracts';
import { healthLayers, type Seen } from './health-layers.js';

/** In the order certificate, route, runtime, postgres, redis, containers, data. */
const layers = (seen: Partial<Seen>): string =>
  healthLayers({ status: 'attention', observed: 'failed', reasonCode: null, reasonParams: null, ...seen })
    .map(({ state }): LayerStatus => state)
    .join(' ');

describe('the layers of a stack', () => {
  it('are all of them, in one order, whatever its state', () => {
    for (const status of Object.keys(STACK_STATUS) as StackStatus[]) {
      const seen = healthLayers({ status, observed: 'none', reasonCode: null, reasonParams: null });
      expect(seen.map(({ layer }) => layer)).toEqual(HEALTH_LAYERS);
    }
  });

  it('work while it runs, are off while it rests, and are not known while something is at work or news are old', () => {
    expect(layers({ status: 'running', observed: 'running' })).toBe('ok ok ok ok ok ok ok');
    for (const status of ['asleep', 'stopped', 'suspended'] as const) {
      expect(layers({ status, observed: 'stopped' })).toBe('off off off off off off unknown');
    }
    for (const status of ['repairing', 'starting', 'queued', 'unknown', 'deleting'] as const) {
      expect(layers({ status, observed: 'running' })).toBe('unknown unknown unknown unknown unknown unknown unknown');
    }
  });

  it('name the one that fails, and claim nothing of what lies behind it', () => {
    const gate = (reasonParams: Record<string, string>): string =>
      layers({ reasonCode: 'HEALTH_GATE_FAILED', reasonParams });
    expect(gate({ layer: 'route' })).toBe('unknown bad ok ok ok ok ok');
    expect(gate({ layer: 'runtime' })).toBe('unknown unknown bad unknown unknown ok ok');
    expect(gate({ layer: 'route', tls: 'CERT_HAS_EXPIRED' })).toBe('bad unknown ok ok ok ok ok');
    expect(gate({ layer: 'runtime', tls: 'CERT_HAS_EXPIRED' })).toBe('bad unknown bad unknown unknown ok ok');
    expect(gate({ ready: 'STARTING' })).toBe('ok ok bad unknown unknown ok ok');
    expect(gate({})).toBe('unknown unknown unknown unknown unknown ok ok');
    expect(layers({ reasonCode: 'POSTGRES_AWAY' })).toBe('ok ok ok bad ok ok ok');
    expect(layers({ reasonCode: 'REDIS_AWAY' })).toBe('ok ok ok ok bad ok ok');
    expect(layers({ reasonCode: 'STORES_AWAY' })).toBe('ok ok ok bad bad ok ok');
    expect(layers({ reasonCode: 'NOT_RUNNING', reasonParams: { services: 'postgres, runtime' } })).toBe(
      'unknown unknown bad bad unknown bad ok',
    );
    expect(layers({ reasonCode: 'DATA_MISSING' })).toBe('unknown unknown unknown unknown unknown unknown bad');
    expect(layers({ reasonCode: 'CRASH_LOOP', observed: 'stopped' })).toBe(
      'unknown unknown unknown unknown unknown bad unknown',
    );
    expect(layers({ reasonCode: 'STILL_RUNNING', observed: 'running' })).toBe(
      'unknown unknown unknown unknown unknown ok unknown',
    );
  });
});
