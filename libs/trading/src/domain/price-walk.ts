import { dec, text, type Amount } from './decimal.js';
import { roundPrice } from './market.js';
import { normalOf } from './random.js';

/**
 * A seeded random walk for paper trading; one step is one second of market. Three parts, as log prices: a slow walk
 * (about 3 % a day, like bitcoin's), a swing that returns within ten minutes (0.6 %) and a ripple that returns within
 * fifteen seconds (0.3 %). The ripple makes a level 0.1 % away trade within two minutes nearly always; without the
 * returns such movement would carry the price away by a quarter a day.
 */
export interface WalkState {
  step: number;
  slow: number;
  swing: number;
  ripple: number;
}

export interface WalkParams {
  seed: number;
  pair: string;
  start: Amount;
  tick: Amount;
}

const SLOW_STEP = 0.0001;
/** The slow part turns back beyond ±50 %, so that a price stays one after months. */
const SLOW_BOUND = 0.4;
const SWING = { deviation: 0.006, steps: 600 };
const RIPPLE = { deviation: 0.003, steps: 15 };

export const WALK_START: WalkState = { step: 0, slow: 0, swing: 0, ripple: 0 };

/** One step of an Ornstein–Uhlenbeck process with the given stationary deviation (exact discretisation). */
function returning(value: number, part: { deviation: number; steps: number }, noise: number): number {
  const keep = Math.exp(-1 / part.steps);
  return value * keep + part.deviation * Math.sqrt(1 - keep * keep) * noise;
}

export function stepWalk(state: WalkState, params: WalkParams): WalkState {
  const step = state.step + 1;
  const noise = (part: string): number => normalOf(params.seed, `${params.pair}/${step}/${part}`);
  const slow = state.slow + SLOW_STEP * noise('slow');
  return {
    step,
    slow: Math.abs(slow) > SLOW_BOUND ? state.slow : slow,
    swing: returning(state.swing, SWING, noise('swing')),
    ripple: returning(state.ripple, RIPPLE, noise('ripple')),
  };
}

/** The price of a walk, on the tick. Floating point ends here: everything after is decimal. */
export function walkPrice(state: WalkState, params: WalkParams): Amount {
  const factor = Math.exp(state.slow + state.swing + state.ripple);
  return text(roundPrice(dec(params.start).times(factor.toFixed(12)), params.tick));
}
