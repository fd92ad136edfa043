import type { Decimal } from 'decimal.js';
import type { Pnl } from '#libs/contracts';
import { dec, sum, text, type Amount } from './decimal.js';
import type { Cell, GridState } from './grid-state.js';

/** A trade as the exchange reported it; the fee is in quote currency. */
export interface Trade {
  price: Amount;
  quantity: Amount;
  fee: Amount;
}

/** The share of `whole` that belongs to part/all; the whole itself when nothing remains, so nothing is lost. */
function share(whole: Amount, part: Decimal, all: Decimal): Decimal {
  return part.gte(all) ? dec(whole) : dec(whole).times(part).div(all).toDecimalPlaces(12);
}

export function bookBuy(cell: Cell, trade: Trade): Cell {
  return {
    ...cell,
    held: text(dec(cell.held).plus(trade.quantity)),
    cost: text(dec(cell.cost).plus(dec(trade.price).times(trade.quantity))),
    buyFees: text(dec(cell.buyFees).plus(trade.fee)),
  };
}

export interface BookedSale {
  cell: Cell;
  /** quantity × (price − lower) − fees of both sides. */
  profit: Decimal;
  /** quantity × lower − what it cost. */
  carried: Decimal;
  buyFees: Decimal;
  cost: Decimal;
}

export function bookSale(cell: Cell, trade: Trade): BookedSale {
  const sold = dec(trade.quantity);
  const held = dec(cell.held);
  const cost = share(cell.cost, sold, held);
  const buyFees = share(cell.buyFees, sold, held);
  const lowerValue = sold.times(cell.lower);
  return {
    cell: {
      ...cell,
      held: text(held.minus(sold)),
      cost: text(dec(cell.cost).minus(cost)),
      buyFees: text(dec(cell.buyFees).minus(buyFees)),
    },
    profit: sold.times(trade.price).minus(lowerValue).minus(trade.fee).minus(buyFees),
    carried: lowerValue.minus(cost),
    buyFees,
    cost,
  };
}

/** Quote currency after a trade: the fee is always paid in it. */
export function cashAfter(cash: Amount, side: 'buy' | 'sell', trade: Trade): Amount {
  const value = dec(trade.price).times(trade.quantity);
  const moved = side === 'buy' ? dec(cash).minus(value) : dec(cash).plus(value);
  return text(moved.minus(trade.fee));
}

export function baseHeld(state: GridState): Amount {
  return text(sum(state.cells.map((cell) => cell.held)));
}

export interface GridAccount {
  base: Amount;
  quote: Amount;
  equity: Amount;
  pnl: Pnl;
}

/**
 * The account of a grid at a price. `pnl.total` is worked out from the parts and equals equity − investment exactly;
 * the invariant test holds the two apart.
 */
export function gridAccount(state: GridState, price: Amount): GridAccount {
  const base = dec(baseHeld(state));
  const grid = dec(state.gridProfit);
  const unrealised = base
    .times(price)
    .minus(sum(state.cells.map((cell) => cell.cost)))
    .plus(state.carried);
  const otherFees = sum(state.cells.map((cell) => cell.buyFees))
    .plus(state.exitFees)
    .neg();
  return {
    base: text(base),
    quote: state.cash,
    equity: text(dec(state.cash).plus(base.times(price))),
    pnl: {
      total: text(grid.plus(unrealised).plus(otherFees)),
      grid: text(grid),
      unrealised: text(unrealised),
      otherFees: text(otherFees),
    },
  };
}
