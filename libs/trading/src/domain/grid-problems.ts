import type { GridParams } from '#libs/contracts';
import { dec, text, type Amount } from './decimal.js';
import { cellProfit, gridLevels } from './grid-levels.js';
import { planGrid, startPrice } from './grid-plan.js';
import type { MarketRules } from './market.js';

export interface GridProblem {
  field: keyof GridParams;
  code:
    | 'bounds'
    | 'too_many_grids'
    | 'tick'
    | 'loses_to_fees'
    | 'below_minimum'
    | 'stop_loss'
    | 'take_profit'
    | 'side'
    | 'trailing'
    | 'off_tick'
    | 'start_at_stop_loss'
    | 'start_at_take_profit'
    | 'above_range'
    | 'below_range';
  /** An error cannot be traded; a warning is worth knowing. */
  severity: 'error' | 'warning';
  message: string;
  /** Figures of the message, for a translated one. */
  values: Record<string, Amount>;
}

const error = (
  field: GridProblem['field'],
  code: GridProblem['code'],
  message: string,
  values: Record<string, Amount> = {},
): GridProblem => ({ field, code, severity: 'error', message, values });

const percent = (value: ReturnType<typeof dec>): Amount => text(value.times(100).toDecimalPlaces(2));

/**
 * What stops these parameters from being traded, worst first; empty when nothing does. `price` is the present one: a
 * grid with a start price is judged at that instead.
 */
export function gridProblems(params: GridParams, rules: MarketRules, price: Amount): GridProblem[] {
  return problemsAt(params, rules, startPrice(params, price));
}

/** The same for a grid that begins at exactly this price, whatever it waited for. */
export function problemsAt(params: GridParams, rules: MarketRules, price: Amount): GridProblem[] {
  const lower = dec(params.lower);
  const upper = dec(params.upper);
  if (lower.gte(upper)) {
    return [
      error('upper', 'bounds', `The upper price ${params.upper} must be above the lower price ${params.lower}.`, {
        lower: params.lower,
        upper: params.upper,
      }),
    ];
  }
  if (params.grids < 2 || params.grids > 200) {
    return [error('grids', 'too_many_grids', 'Use 2 to 200 grids: an exchange takes at most 200 orders of one bot.')];
  }
  const structural = [...sideProblems(params), ...tickProblems(params, rules)];
  if (structural.length > 0) {
    return structural;
  }
  return [...moneyProblems(params, rules, price), ...exitProblems(params, price), ...rangeProblems(params, price)];
}

function sideProblems(params: GridParams): GridProblem[] {
  const problems: GridProblem[] = [];
  if (params.side !== 'long') {
    problems.push(
      error('side', 'side', `A ${params.side} grid needs borrowed base currency; on a spot market choose long.`, {
        side: params.side,
      }),
    );
  }
  if (params.trailingUp) {
    problems.push(error('trailingUp', 'trailing', 'Trailing up is not offered yet. Switch it off.'));
  }
  return problems;
}

function tickProblems(params: GridParams, rules: MarketRules): GridProblem[] {
  for (const field of ['lower', 'upper'] as const) {
    if (!dec(params[field]).mod(rules.tick).isZero()) {
      return [
        error(field, 'off_tick', `${params[field]} is not a multiple of the price tick ${rules.tick}.`, {
          value: params[field],
          tick: rules.tick,
        }),
      ];
    }
  }
  const levels = gridLevels(params, rules.tick);
  const clash = levels.some((level, i) => i > 0 && level.lte(levels[i - 1] ?? 0));
  return clash
    ? [
        error('grids', 'tick', `The levels are closer than the price tick ${rules.tick}. Use fewer grids.`, {
          tick: rules.tick,
        }),
      ]
    : [];
}

function moneyProblems(params: GridParams, rules: MarketRules, price: Amount): GridProblem[] {
  const problems: GridProblem[] = [];
  const plan = planGrid(params, rules, price);
  const { levels } = plan;
  const least = levels
    .slice(1)
    .map((sell, i) => ({ sell, buy: levels[i] ?? sell }))
    .reduce((a, b) => (b.sell.div(b.buy).lt(a.sell.div(a.buy)) ? b : a));
  if (cellProfit(least.buy, least.sell, rules.fee).lte(0)) {
    const width = percent(least.sell.div(least.buy).minus(1));
    // s/b must exceed (1+f)/(1−f); as people read it, the width of a cell against both fees.
    const needed = percent(dec(1).plus(rules.fee).div(dec(1).minus(rules.fee)).minus(1));
    problems.push(
      error('grids', 'loses_to_fees', `A cell of ${width} % loses to fees of ${needed} %. Use fewer grids.`, {
        width,
        needed,
      }),
    );
  }
  if (plan.quantity.lt(plan.minQuantity)) {
    const most = mostGrids(params, rules, price);
    const order = text((levels[0] ?? dec(0)).times(plan.quantity).toDecimalPlaces(2));
    const needs = text(plan.minInvestment.toDecimalPlaces(2, 2));
    const advice = most >= 2 ? `Use at most ${most} grids, or invest ${needs}.` : `Invest at least ${needs}.`;
    problems.push(
      error(
        'investment',
        'below_minimum',
        `An order of ${order} is below the minimum ${rules.minNotional}. ${advice}`,
        {
          order,
          minimum: rules.minNotional,
          most: String(most),
          needs,
        },
      ),
    );
  }
  return problems;
}

/** The largest number of grids this investment allows; 0 when not even two. Fewer grids never need more money. */
function mostGrids(params: GridParams, rules: MarketRules, price: Amount): number {
  let low = 1;
  let high = params.grids;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    const plan = planGrid({ ...params, grids: middle }, rules, price);
    if (plan.quantity.gte(plan.minQuantity)) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low >= 2 ? low : 0;
}

function exitProblems(params: GridParams, price: Amount): GridProblem[] {
  const problems: GridProblem[] = [];
  const { triggerPrice } = params;
  const waits = triggerPrice !== null && dec(triggerPrice).eq(price);
  if (params.stopLoss !== null && dec(params.stopLoss).gte(params.lower)) {
    problems.push(
      error(
        'stopLoss',
        'stop_loss',
        `The stop-loss ${params.stopLoss} must be below the lower price ${params.lower}.`,
        {
          stopLoss: params.stopLoss,
          lower: params.lower,
        },
      ),
    );
  } else if (params.stopLoss !== null && dec(params.stopLoss).gte(price)) {
    const { stopLoss } = params;
    problems.push(
      waits
        ? error(
            'triggerPrice',
            'start_at_stop_loss',
            `The start price ${price} must be above the stop-loss ${stopLoss}.`,
            { price, stopLoss },
          )
        : error(
            'stopLoss',
            'stop_loss',
            `The price ${price} is already at or below the stop-loss ${params.stopLoss}.`,
            {
              stopLoss: params.stopLoss,
              price,
            },
          ),
    );
  }
  if (params.takeProfit !== null && dec(params.takeProfit).lte(params.upper)) {
    problems.push(
      error(
        'takeProfit',
        'take_profit',
        `The take-profit ${params.takeProfit} must be above the upper price ${params.upper}.`,
        { takeProfit: params.takeProfit, upper: params.upper },
      ),
    );
  } else if (params.takeProfit !== null && dec(params.takeProfit).lte(price)) {
    const { takeProfit } = params;
    problems.push(
      waits
        ? error(
            'triggerPrice',
            'start_at_take_profit',
            `The start price ${price} must be below the take-profit ${takeProfit}.`,
            { price, takeProfit },
          )
        : error(
            'takeProfit',
            'take_profit',
            `The price ${price} already reached the take-profit ${params.takeProfit}.`,
            {
              takeProfit: params.takeProfit,
              price,
            },
          ),
    );
  }
  return problems;
}

function rangeProblems(params: GridParams, price: Amount): GridProblem[] {
  const warning = (field: 'lower' | 'upper', code: 'above_range' | 'below_range', message: string): GridProblem[] => [
    { field, code, severity: 'warning', message, values: { price } },
  ];
  if (dec(price).gt(params.upper)) {
    const message = `At ${price} the price is above the range: the bot waits until it comes back.`;
    return warning('upper', 'above_range', message);
  }
  if (dec(price).lt(params.lower)) {
    const message = `At ${price} the price is below the range: the bot buys all of its base currency at once and waits to sell it.`;
    return warning('lower', 'below_range', message);
  }
  return [];
}
