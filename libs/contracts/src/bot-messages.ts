/**
 * What a runtime says about its bots, by code, with the names of the parameters each code carries. The English text
 * beside a code is for logs and for readers without a dictionary; whoever translates uses code and parameters. Prices
 * come with the digits of the pair's tick, all parameters as text. A code is stable.
 */
export const BOT_MESSAGES = {
  'bot.created': [],
  'bot.started': ['price', 'buys', 'sells'],
  'bot.retried': [],
  'bot.paused': [],
  'bot.resumed': [],
  /** Orders were taken back before the stack restarts, or because its disk is nearly full; it goes on by itself. */
  'bot.held_restart': [],
  'bot.held_disk': ['percent'],
  'bot.released': [],
  'bot.deleted': [],
  /** Waits for the trigger price. */
  'bot.waiting': ['price'],
  'bot.price_stale': [],
  'range.inside': ['price'],
  'range.above': ['price'],
  'range.below': ['price'],
  'ending.user': ['price'],
  'ending.stop_loss': ['price'],
  'ending.take_profit': ['price'],
  'ended.user': ['price'],
  'ended.stop_loss': ['price'],
  'ended.take_profit': ['price'],
  'order.buy': ['quantity', 'base', 'price'],
  'order.sell': ['quantity', 'base', 'price'],
  /** At the present price, at most `limit`. */
  'order.buy_now': ['quantity', 'base', 'limit'],
  'order.sell_now': ['quantity', 'base'],
  'orders.placed': ['count', 'buys', 'sells'],
  'orders.lost': ['count'],
  'fill.buy': ['quantity', 'base', 'price'],
  'fill.sell': ['quantity', 'base', 'price'],
  /** `profit` of the cell, in quote currency, after fees. */
  'fill.sell_cell': ['quantity', 'base', 'price', 'profit'],
  /** `problem` is a code of `gridProblems`; its own values come as further parameters. */
  'error.strategy': ['problem'],
  'error.order_refused': ['why'],
  'refusal.not_positive': [],
  'refusal.off_tick': ['price', 'tick'],
  'refusal.off_step': ['quantity', 'step'],
  'refusal.below_minimum': ['value', 'minimum'],
  'error.trade_unknown': ['trade'],
  /** Under this id the log has what it was. */
  'error.unforeseen': ['errorId'],
  'need.bot_error': ['bot'],
  'need.above_range': ['bot', 'percent'],
  'need.below_range': ['bot', 'percent'],
  'need.price_stale': ['pair'],
  'need.disk_full': ['percent'],
} as const satisfies Record<string, readonly string[]>;
export type BotMessageCode = keyof typeof BOT_MESSAGES;
export const BOT_MESSAGE_CODES = Object.keys(BOT_MESSAGES) as [BotMessageCode, ...BotMessageCode[]];

/**
 * `details.reason` of errors of the runtime whose code alone has more than one meaning. Further details are the
 * figures of the message.
 */
export const RUNTIME_ERROR_REASONS = [
  // WRONG_STATE; details.state says which.
  'resume_instead',
  'make_a_new_one',
  'only_running_pauses',
  'only_paused_resumes',
  'stop_first',
  // NOT_FOUND
  'no_such_bot',
  'no_such_token',
  // FORBIDDEN
  'token_may_only_read',
  'support_may_only_look',
  'tokens_by_people_only',
  'foreign_page',
  // QUOTA_EXCEEDED
  'bots',
  'tokens',
  // RATE_LIMITED
  'streams_of_caller',
  'streams_of_stack',
  // VALIDATION_FAILED
  'content_type',
  'query_given_twice',
  'cursor',
  'idempotency_key',
] as const;
export type RuntimeErrorReason = (typeof RUNTIME_ERROR_REASONS)[number];
