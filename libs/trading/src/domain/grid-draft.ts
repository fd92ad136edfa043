import type { Decimal } from 'decimal.js';
import { dec, sum, text, type Amount } from './decimal.js';
import { baseHeld, bookBuy, bookSale, cashAfter } from './grid-ledger.js';
import type { Cell, GridEffect, GridEvent, GridResult, GridState, LiveOrder, OrderRequest } from './grid-state.js';
import { floorPrice, floorQuantity, isTradable, type Side } from './market.js';

type Fill = Extract<GridEvent, { type: 'fill' }>;

/** How far above the price the start order may buy, as a fraction; beyond it the rest waits for the next price. */
const START_SLIPPAGE = 0.01;

/**
 * The next state while a step works it out. Copies what it changes: the state given stays as it was, and a step that
 * changes nothing gives the same object back, so that nothing needs to be stored.
 */
export class GridDraft {
  state: GridState;
  readonly orders: OrderRequest[] = [];
  readonly cancels: number[] = [];
  readonly effects: GridEffect[] = [];

  constructor(state: GridState) {
    this.state = state;
  }

  result(): GridResult {
    return { state: this.state, orders: this.orders, cancels: this.cancels, effects: this.effects };
  }

  set(change: Partial<GridState>): void {
    this.state = { ...this.state, ...change };
  }

  private setCell(index: number, change: Partial<Cell>): void {
    const cells = [...this.state.cells];
    const cell = cells[index];
    if (cell) {
      cells[index] = { ...cell, ...change };
      this.set({ cells });
    }
  }

  private cellOf(ref: number): number {
    return this.state.cells.findIndex((cell) => cell.order?.ref === ref);
  }

  hasLiveOrders(): boolean {
    const { cells, startOrder, exitOrder } = this.state;
    return startOrder !== null || exitOrder !== null || cells.some((cell) => cell.order !== null);
  }

  /** Forgets an order that is no longer live. False when it was not known. */
  dropOrder(ref: number): boolean {
    if (this.state.startOrder?.ref === ref) {
      this.set({ startOrder: null });
      return true;
    }
    if (this.state.exitOrder?.ref === ref) {
      this.set({ exitOrder: null });
      return true;
    }
    const index = this.cellOf(ref);
    if (index < 0) {
      return false;
    }
    this.setCell(index, { order: null });
    return true;
  }

  cancelAll(): void {
    this.cancelStart();
    this.state.cells.forEach((_cell, i) => this.cancelCell(i));
  }

  private cancelCell(index: number): void {
    const order = this.state.cells[index]?.order;
    if (order && !order.cancelling) {
      this.cancels.push(order.ref);
      this.setCell(index, { order: { ...order, cancelling: true } });
    }
  }

  private request(request: Omit<OrderRequest, 'ref'>): LiveOrder {
    const ref = this.state.nextRef;
    this.set({ nextRef: ref + 1 });
    this.orders.push({ ref, ...request });
    return { ref, side: request.side, quantity: request.quantity, filled: '0', cancelling: false };
  }

  /**
   * Buys the base of the held cells at once, never for more than the cash: a limit above the price takes what a market
   * order would and ends where the money does. True when there is nothing (more) to buy.
   */
  placeStart(price: Amount): boolean {
    const { startOrder, cells, firstHeld, rules, cash } = this.state;
    if (startOrder) {
      return false;
    }
    const missing = sum(cells.slice(firstHeld).map((cell) => dec(cell.quantity).minus(cell.held)));
    const paid = dec(cash).div(dec(1).plus(rules.fee));
    const quantity = minimum(missing, floorQuantity(paid.div(price), rules.step));
    // A rest below the minimum cannot be ordered; the cells sell what they have.
    if (!isTradable(dec(price), quantity, rules)) {
      return true;
    }
    const limit = minimum(paid.div(quantity), dec(price).times(1 + START_SLIPPAGE));
    const order = this.request({
      side: 'buy',
      type: 'limit',
      purpose: 'start',
      cell: null,
      price: text(floorPrice(limit, rules.tick)),
      quantity: text(quantity),
    });
    this.set({ startOrder: order });
    return false;
  }

  /** Gives up what the exchange did not fill at once: the price has moved, and the rest is ordered anew. */
  cancelStart(): void {
    const { startOrder } = this.state;
    if (startOrder && !startOrder.cancelling) {
      this.cancels.push(startOrder.ref);
      this.set({ startOrder: { ...startOrder, cancelling: true } });
    }
  }

  /**
   * The start may have cost more than planned, or bought less, when the price moved. Then the cells take less, so that
   * their purchases never need more quote currency than there is: those that begin with base what they got, the others
   * an equal share of the rest.
   */
  fitCash(): void {
    this.mergeCrumb();
    if (this.isCovered()) {
      return;
    }
    const { cells, firstHeld, rules, cash } = this.state;
    const gross = dec(1).plus(rules.fee);
    const perUnit = sum(cells.slice(0, firstHeld).map((cell) => cell.lower)).times(gross);
    const share = perUnit.isZero() ? perUnit : floorQuantity(dec(cash).div(perUnit), rules.step);
    this.set({
      cells: cells.map((cell, i) => ({
        ...cell,
        quantity: i < firstHeld ? text(minimum(share, dec(cell.quantity).minus(cell.held)).plus(cell.held)) : cell.held,
      })),
    });
  }

  /** True when the cash pays for everything the cells still want to buy, fees included. */
  private isCovered(): boolean {
    const { cells, rules, cash } = this.state;
    const wanted = sum(cells.map((cell) => dec(cell.quantity).minus(cell.held).times(cell.lower)));
    return wanted.times(dec(1).plus(rules.fee)).lte(cash);
  }

  /**
   * The start order may end in the middle of a cell. A part too small to be sold, whose rest cannot be bought either,
   * would lie there for ever: the cell below, which is full or waits to buy, sells it with its own.
   */
  private mergeCrumb(): void {
    const { cells, firstHeld, rules } = this.state;
    const covered = this.isCovered();
    const index = cells.findIndex((cell, i) => {
      const rest = dec(cell.quantity).minus(cell.held);
      const stuck = !isTradable(dec(cell.upper), dec(cell.held), rules);
      return i >= firstHeld && cell.held !== '0' && stuck && !(covered && isTradable(dec(cell.lower), rest, rules));
    });
    const crumb = cells[index];
    const below = cells[index - 1];
    if (crumb && below) {
      const plus = (key: 'quantity' | 'held' | 'cost' | 'buyFees', value: Amount): Amount =>
        text(dec(below[key]).plus(value));
      this.setCell(index - 1, {
        quantity: plus('quantity', crumb.held),
        held: plus('held', crumb.held),
        cost: plus('cost', crumb.cost),
        buyFees: plus('buyFees', crumb.buyFees),
      });
      this.setCell(index, { held: '0', cost: '0', buyFees: '0' });
    }
  }

  /** Sells everything at market. False when there is nothing an exchange would take. */
  placeExit(price: Amount): boolean {
    const base = floorQuantity(dec(baseHeld(this.state)), this.state.rules.step);
    if (!isTradable(dec(price), base, this.state.rules)) {
      return false;
    }
    const order = this.request({
      side: 'sell',
      type: 'market',
      purpose: 'exit',
      cell: null,
      price: null,
      quantity: text(base),
    });
    this.set({ exitOrder: order });
    return true;
  }

  /** Gives every cell without an order the one it should have. */
  refresh(price: Decimal): void {
    this.state.cells.forEach((cell, i) => {
      if (!cell.order) {
        this.placeCell(i, price);
      }
    });
  }

  private placeCell(index: number, price: Decimal): void {
    const cell = this.state.cells[index];
    const side = cell && this.wantedSide(cell, price);
    if (!cell || !side) {
      return;
    }
    const quantity = side === 'sell' ? dec(cell.held) : dec(cell.quantity).minus(cell.held);
    const order = this.request({
      side,
      type: 'limit',
      purpose: 'grid',
      cell: index,
      price: side === 'sell' ? cell.upper : cell.lower,
      quantity: text(quantity),
    });
    this.setCell(index, { order });
  }

  /**
   * Which order a cell should have. A full cell sells, an empty one buys. A partly filled one could do either: it
   * takes the side whose level is nearer to the price, so the rest of an order is not given up while it may still
   * fill, and above the range everything is sold, below it everything bought.
   */
  private wantedSide(cell: Cell, price: Decimal): Side | null {
    const { rules } = this.state;
    const canSell = isTradable(dec(cell.upper), dec(cell.held), rules);
    const canBuy = isTradable(dec(cell.lower), dec(cell.quantity).minus(cell.held), rules);
    if (canSell && canBuy) {
      const middle = dec(cell.lower).plus(cell.upper).div(2);
      return price.gt(middle) ? 'sell' : price.lt(middle) ? 'buy' : (cell.order?.side ?? 'sell');
    }
    return canSell ? 'sell' : canBuy ? 'buy' : null;
  }

  /**
   * Cancels orders of partly filled cells the price has turned away from; the counter order follows the confirmation.
   * One that was partly filled turns in the middle of its cell. A counter order turns back only at the level of the
   * other side, so that a price that lingers in the middle does not cost a cancel each time it passes.
   */
  turnPartialCells(price: Decimal): void {
    this.state.cells.forEach((cell, i) => {
      const { order } = cell;
      const inside = price.gt(cell.lower) && price.lt(cell.upper);
      if (!order || order.cancelling || (order.filled === '0' && inside)) {
        return;
      }
      const wanted = this.wantedSide(cell, price);
      if (wanted !== null && wanted !== order.side) {
        this.cancelCell(i);
      }
    });
  }

  /** Books a trade on the order it belongs to. False when that order is not (any more) this bot's. */
  bookFill(fill: Fill): boolean {
    if (this.state.startOrder?.ref === fill.ref) {
      return this.bookStart(this.state.startOrder, fill);
    }
    if (this.state.exitOrder?.ref === fill.ref) {
      return this.bookExit(this.state.exitOrder, fill);
    }
    const index = this.cellOf(fill.ref);
    const cell = this.state.cells[index];
    return cell?.order ? this.bookCell(index, cell, cell.order, fill) : false;
  }

  private bookCell(index: number, cell: Cell, order: LiveOrder, fill: Fill): boolean {
    const after = withFill(order, fill);
    this.set({ cash: cashAfter(this.state.cash, order.side, fill), fills: this.state.fills + 1 });
    if (order.side === 'buy') {
      this.setCell(index, { ...bookBuy(cell, fill), order: after });
      this.effects.push({ kind: 'filled', ref: fill.ref, cell: index, cellProfit: null });
      return true;
    }
    const sale = bookSale(cell, fill);
    this.setCell(index, { ...sale.cell, order: after });
    this.set({
      gridProfit: text(dec(this.state.gridProfit).plus(sale.profit)),
      carried: text(dec(this.state.carried).plus(sale.carried)),
      cellsClosed: this.state.cellsClosed + (after === null ? 1 : 0),
    });
    this.effects.push({ kind: 'filled', ref: fill.ref, cell: index, cellProfit: text(sale.profit) });
    return true;
  }

  /** The start order's base goes to the held cells from the lowest up: those sell first. */
  private bookStart(order: LiveOrder, fill: Fill): boolean {
    let quantity = dec(fill.quantity);
    let fee = dec(fill.fee);
    const cells = this.state.cells.map((cell, i) => {
      const take = i < this.state.firstHeld ? dec(0) : minimum(quantity, dec(cell.quantity).minus(cell.held));
      if (!take.gt(0)) {
        return cell;
      }
      const part = take.eq(quantity) ? fee : fee.times(take).div(quantity).toDecimalPlaces(12);
      quantity = quantity.minus(take);
      fee = fee.minus(part);
      return bookBuy(cell, { price: fill.price, quantity: text(take), fee: text(part) });
    });
    this.set({
      cells,
      cash: cashAfter(this.state.cash, 'buy', fill),
      fills: this.state.fills + 1,
      startOrder: withFill(order, fill),
    });
    this.effects.push({ kind: 'filled', ref: fill.ref, cell: null, cellProfit: null });
    return true;
  }

  private bookExit(order: LiveOrder, fill: Fill): boolean {
    let quantity = dec(fill.quantity);
    let carried = dec(this.state.carried).plus(quantity.times(fill.price));
    let fees = dec(this.state.exitFees).plus(fill.fee);
    const cells = this.state.cells.map((cell) => {
      const take = minimum(quantity, dec(cell.held));
      if (!take.gt(0)) {
        return cell;
      }
      const sale = bookSale(cell, { price: fill.price, quantity: text(take), fee: '0' });
      quantity = quantity.minus(take);
      carried = carried.minus(sale.cost);
      fees = fees.plus(sale.buyFees);
      return sale.cell;
    });
    this.set({
      cells,
      carried: text(carried),
      exitFees: text(fees),
      cash: cashAfter(this.state.cash, 'sell', fill),
      fills: this.state.fills + 1,
      exitOrder: withFill(order, fill),
    });
    this.effects.push({ kind: 'filled', ref: fill.ref, cell: null, cellProfit: null });
    return true;
  }
}

function minimum(a: Decimal, b: Decimal): Decimal {
  return a.lt(b) ? a : b;
}

/** The order after a trade; null once it is filled. */
function withFill(order: LiveOrder, fill: Fill): LiveOrder | null {
  const filled = dec(order.filled).plus(fill.quantity);
  return filled.gte(order.quantity) ? null : { ...order, filled: text(filled) };
}
