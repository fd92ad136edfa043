import {
  HEALTH_LAYERS,
  type HealthLayer,
  type LayerStatus,
  type StackReasonCode,
  type StackStatus,
} from '#libs/contracts';
import type { ObservedState } from './headline.js';

type Layer = HealthLayer['layer'];
type Found = Partial<Record<Layer, LayerStatus>>;

export interface Seen {
  status: StackStatus;
  observed: ObservedState;
  reasonCode: StackReasonCode | null;
  reasonParams: Readonly<Record<string, string | number>> | null;
}

type Params = NonNullable<Seen['reasonParams']>;

const ALL_OK: Found = Object.fromEntries(HEALTH_LAYERS.map((layer) => [layer, 'ok']));
/** The runtime answered through the proxy, so all before it works, and it has its data. */
const ANSWERS: Found = { certificate: 'ok', route: 'ok', runtime: 'ok', containers: 'ok', data: 'ok' };
const RUNS: Found = { containers: 'ok', data: 'ok' };

/** It answered a second look by its address, so only the platform's way to it fails. */
export const failsOnTheWay = ({ reasonCode, reasonParams }: Pick<Seen, 'reasonCode' | 'reasonParams'>): boolean =>
  reasonCode === 'HEALTH_GATE_FAILED' && reasonParams?.['layer'] === 'route';

/**
 * A health gate that was not passed: `ready` is what the runtime said itself, `tls` why the proxy's certificate was not
 * taken, `layer` what a second look past the proxy found.
 */
function gate({ ready, tls, layer }: Params): Found {
  if (ready !== undefined) {
    return { ...ANSWERS, runtime: 'bad' };
  }
  // A refused certificate hides the way behind it; without a refusal the certificate was not at fault, if seen at all.
  const way: Found = tls === undefined ? { certificate: 'unknown' } : { certificate: 'bad', route: 'unknown' };
  if (layer === 'route') {
    return { ...ALL_OK, route: 'bad', ...way };
  }
  return { ...RUNS, ...(layer === 'runtime' ? { runtime: 'bad' } : {}), ...way };
}

function notRunning({ services }: Params): Found {
  const named = String(services ?? '').split(', ');
  const bad = HEALTH_LAYERS.filter((layer) => named.includes(layer));
  return { data: 'ok', containers: 'bad', ...Object.fromEntries(bad.map((layer) => [layer, 'bad'])) };
}

const BY_REASON: Partial<Record<StackReasonCode, (params: Params) => Found>> = {
  DATA_MISSING: () => ({ data: 'bad' }),
  NOT_RUNNING: notRunning,
  HEALTH_GATE_FAILED: gate,
  POSTGRES_AWAY: () => ({ ...ANSWERS, postgres: 'bad', redis: 'ok' }),
  REDIS_AWAY: () => ({ ...ANSWERS, postgres: 'ok', redis: 'bad' }),
  STORES_AWAY: () => ({ ...ANSWERS, postgres: 'bad', redis: 'bad' }),
};

function attention({ observed, reasonCode, reasonParams }: Seen): Found {
  if (reasonCode === null) {
    return observed === 'running' ? ALL_OK : {};
  }
  // Another reason is that of an operation or of the breaker; the look itself only saw what runs.
  const containers = { containers: observed === 'running' || observed === 'failed' ? 'ok' : 'bad' } as const;
  return BY_REASON[reasonCode]?.(reasonParams ?? {}) ?? containers;
}

/** Nothing of it is looked at while it rests, but that nothing runs; its volumes are looked at when it starts. */
const rests = (): Found => ({
  certificate: 'off',
  route: 'off',
  runtime: 'off',
  postgres: 'off',
  redis: 'off',
  containers: 'off',
});

/** Of the others, something is at work on it, whose steps say more, or the last look is too old to say anything. */
const BY_STATUS: Partial<Record<StackStatus, (seen: Seen) => Found>> = {
  running: () => ALL_OK,
  attention,
  asleep: rests,
  stopped: rests,
  suspended: rests,
};

/**
 * Each layer of a stack as the last look from outside found it. A look goes from the outside in and asks for what lies
 * behind only through what lies before, so behind one that fails nothing is known.
 */
export function healthLayers(seen: Seen): HealthLayer[] {
  const states = BY_STATUS[seen.status]?.(seen) ?? {};
  return HEALTH_LAYERS.map((layer) => ({ layer, state: states[layer] ?? 'unknown' }));
}
