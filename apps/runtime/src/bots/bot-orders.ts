import type { LiveOrder } from '#libs/trading';
import { orderPrefix, type BotRecord } from './bot-record.js';

/** Everything the bot believes to be live at the exchange. */
export function liveOrders({ grid }: BotRecord): LiveOrder[] {
  return [grid.startOrder, grid.exitOrder, ...grid.cells.map((cell) => cell.order)].filter((order) => order !== null);
}

/** The number of an order within its bot, from its client order id. */
export function refOf(record: BotRecord, id: string): number {
  return Number.parseInt(id.slice(orderPrefix(record.code).length), 36);
}
