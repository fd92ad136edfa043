import type { BotState } from '#libs/contracts';

/** How many bots count against the plan: as the runtime counts, stopped ones stay listed but take no place. */
export function usedBots(bots: readonly { state: BotState }[]): number {
  return bots.filter(({ state }) => state !== 'stopped').length;
}
