import type { Decimal } from 'decimal.js';
import type { GridParams } from '#libs/contracts';
import { dec, sum, type Amount } from './decimal.js';
import { gridLevels } from './grid-levels.js';
import { ceilQuantity, floorQuantity, type MarketRules } from './market.js';

/** What a grid does when it starts at a price. The preview shows it and the bot carries it out. */
export interface GridPlan {
  levels: Decimal[];
  /** Cells below this index wait to buy; from it on they hold base and wait to sell. Their border stays empty. */
  firstHeld: number;
  /** Quantity of every cell, on the step; zero when the investment is too small for one step. */
  quantity: Decimal;
  /** Smallest quantity whose every order reaches the minimum, and the investment that takes. */
  minQuantity: Decimal;
  minInvestment: Decimal;
  startBase: Decimal;
  startCost: Decimal;
  reserved: Decimal;
  used: Decimal;
  left: Decimal;
}

/** The price a grid will begin at: its start price where it waits for one, else the present price. */
export function startPrice(params: Pick<GridParams, 'triggerPrice'>, price: Amount): Amount {
  return params.triggerPrice ?? price;
}

type PlanParams = Pick<GridParams, 'lower' | 'upper' | 'grids' | 'mode' | 'investment'>;

/**
 * Equal quantity in every cell. Cells whose lower price is at or above `price` are bought at the start; the others
 * keep quote currency for a limit order at their lower price. Costs include the fee.
 */
export function planGrid(params: PlanParams, rules: MarketRules, price: Amount): GridPlan {
  const levels = gridLevels(params, rules.tick);
  const lowers = levels.slice(0, -1);
  const now = dec(price);
  const found = lowers.findIndex((lower) => lower.gte(now));
  const firstHeld = found === -1 ? lowers.length : found;
  const heldCells = lowers.length - firstHeld;
  const gross = dec(1).plus(rules.fee);
  const waiting = sum(lowers.slice(0, firstHeld));
  const perUnit = waiting.plus(now.times(heldCells)).times(gross);
  const quantity = floorQuantity(dec(params.investment).div(perUnit), rules.step);
  const lowest = lowers[0] ?? now;
  // The start order is for all held cells together, so the lowest limit order decides.
  const minQuantity = ceilQuantity(dec(rules.minNotional).div(lowest), rules.step);
  const startBase = quantity.times(heldCells);
  const startCost = startBase.times(now);
  const reserved = quantity.times(waiting).times(gross);
  const used = startCost.times(gross).plus(reserved);
  return {
    levels,
    firstHeld,
    quantity,
    minQuantity,
    minInvestment: minQuantity.times(perUnit),
    startBase,
    startCost,
    reserved,
    used,
    left: dec(params.investment).minus(used),
  };
}
