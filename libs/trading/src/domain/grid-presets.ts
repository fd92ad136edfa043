import type { Decimal } from 'decimal.js';
import { gridParamsSchema, type GridParams } from '#libs/contracts';
import { dec, Dec, text, type Amount } from './decimal.js';
import { roundPrice, type MarketRules } from './market.js';

export const GRID_PRESETS = ['narrow', 'balanced', 'wide'] as const;
export type GridPreset = (typeof GRID_PRESETS)[number];

/** Ratio between neighbouring levels, and how many cells lie below and above the price. */
const SHAPES: Record<GridPreset, { ratio: string; below: number; above: number }> = {
  narrow: { ratio: '1.004', below: 5, above: 5 },
  balanced: { ratio: '1.008', below: 6, above: 6 },
  wide: { ratio: '1.015', below: 10, above: 10 },
};
/** The first level below the price: near enough that a new bot trades within minutes. */
const NEAREST = '0.001';

/**
 * Ready parameters around a price. A buy order always waits 0.1 % below it. The investment is taken as it is, also one
 * that cannot be traded: `gridPreview` says so.
 */
export function presetParams(preset: GridPreset, rules: MarketRules, price: Amount, investment: Amount): GridParams {
  const { ratio, below, above } = SHAPES[preset];
  const anchor = dec(price).times(dec(1).minus(NEAREST));
  const bound = (cells: number): Decimal => roundPrice(anchor.times(Dec.pow(ratio, cells)), rules.tick);
  const shape = gridParamsSchema.omit({ investment: true }).parse({
    lower: text(bound(1 - below)),
    upper: text(bound(1 + above)),
    grids: below + above,
    mode: 'geo',
  });
  return { ...shape, investment };
}
