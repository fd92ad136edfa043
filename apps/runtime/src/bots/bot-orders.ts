import { DomainError, type RuntimeErrorReason } from '#libs/contracts';
import type { LiveOrder } from '#libs/trading';
import { clientOrderId, orderPrefix, type BotRecord } from './bot-record.js';

/** Everything the bot believes to be live at the exchange. */
export function liveOrders({ grid }: Pick<BotRecord, 'grid'>): LiveOrder[] {
  return [grid.startOrder, grid.exitOrder, ...grid.cells.map((cell) => cell.order)].filter((order) => order !== null);
}

/** The number of an order within its bot, from its client order id. */
export function refOf(record: BotRecord, id: string): number {
  return Number.parseInt(id.slice(orderPrefix(record.code).length), 36);
}

export function idsOf({ code }: BotRecord, refs: readonly number[]): string[] {
  return refs.map((ref) => clientOrderId(code, ref));
}

const ADVICE = {
  resume_instead: 'Resume it instead.',
  make_a_new_one: 'Make a new bot from its settings.',
  only_running_pauses: 'Only a running bot can be paused.',
  only_paused_resumes: 'Only a paused bot can be resumed.',
  stop_first: 'Stop it first.',
} as const satisfies Partial<Record<RuntimeErrorReason, string>>;

export function wrongState(state: BotRecord['state'], reason: keyof typeof ADVICE): DomainError {
  return new DomainError('WRONG_STATE', {
    message: `The bot is ${state}. ${ADVICE[reason]}`,
    details: { state, reason },
  });
}
