import type { Bot, Need } from '#libs/contracts';

/** The bot whose own reason completes the words of a need: that an error stopped it says nothing of the error. */
export function botToExplain<B extends Pick<Bot, 'id' | 'reason'>>(
  need: Need,
  bots: readonly B[] | undefined,
): B | undefined {
  return need.code === 'need.bot_error' ? bots?.find((bot) => bot.id === need.botId) : undefined;
}
