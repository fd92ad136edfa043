import { DomainError } from '#libs/contracts';
import type { LiveOrder } from '#libs/trading';
import { orderPrefix, type BotRecord } from './bot-record.js';
import type { NewEvent } from './bot-store.js';

/** Everything the bot believes to be live at the exchange. */
export function liveOrders({ grid }: BotRecord): LiveOrder[] {
  return [grid.startOrder, grid.exitOrder, ...grid.cells.map((cell) => cell.order)].filter((order) => order !== null);
}

/** The number of an order within its bot, from its client order id. */
export function refOf(record: BotRecord, id: string): number {
  return Number.parseInt(id.slice(orderPrefix(record.code).length), 36);
}

export function note(kind: string, text: string, level: NewEvent['level'] = 'info'): NewEvent {
  return { kind, text, level };
}

export function wrongState(state: BotRecord['state'], advice: string): DomainError {
  return new DomainError('WRONG_STATE', { message: `The bot is ${state}. ${advice}`, details: { state } });
}
