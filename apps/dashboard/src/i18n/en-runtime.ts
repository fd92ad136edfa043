/** What a stack's runtime says, by its codes; the figures come with the code. */
export const runtimeEn = {
  /** What the runtime says about bots, by the codes of BOT_MESSAGES. */
  messages: {
    bot: {
      created: 'Created',
      started: 'Started at {{price}}: {{buys}} cells wait to buy, {{sells}} begin with base currency',
      retried: 'Started again after an error',
      paused: 'Paused; open orders stay',
      resumed: 'Resumed',
      deleted: 'Deleted',
      waiting: 'Waits until the price reaches {{price}}',
      price_stale: 'There is no fresh price; the bot waits for one',
    },
    range: {
      inside: 'The price {{price}} is back in the range',
      above: 'The price {{price}} is above the range; nothing is traded until it returns',
      below: 'The price {{price}} is below the range; nothing is traded until it returns',
    },
    ending: {
      user: 'You stop it at {{price}}',
      stop_loss: 'Stop-loss: ends at {{price}}',
      take_profit: 'Take-profit: ends at {{price}}',
    },
    ended: {
      user: 'Stopped by you at {{price}}',
      stop_loss: 'Finished: stop-loss at {{price}}',
      take_profit: 'Finished: take-profit at {{price}}',
    },
    order: {
      buy: 'Order to buy {{quantity}} {{base}} at {{price}} placed',
      sell: 'Order to sell {{quantity}} {{base}} at {{price}} placed',
      buy_now: 'Order to buy {{quantity}} {{base}} at the market price placed, at most {{limit}}',
      sell_now: 'Order to sell {{quantity}} {{base}} at the market price placed',
    },
    orders: {
      placed_one: 'Placed {{count}} order: {{buys}} to buy, {{sells}} to sell',
      placed_other: 'Placed {{count}} orders: {{buys}} to buy, {{sells}} to sell',
      lost_one: 'The exchange no longer had {{count}} order of this bot; it is placed again when the bot trades',
      lost_other: 'The exchange no longer had {{count}} orders of this bot; they are placed again when the bot trades',
    },
    fill: {
      buy: 'Bought {{quantity}} {{base}} at {{price}}',
      sell: 'Sold {{quantity}} {{base}} at {{price}}',
      sell_cell: 'Sold {{quantity}} {{base}} at {{price}}, cell {{profit}} net',
    },
    error: {
      order_refused: 'The exchange refused an order: {{why}}',
      trade_unknown: 'The exchange reported trade {{trade}} of an order this bot never placed',
      unforeseen: 'Something unforeseen stopped the bot. The log has the details under {{errorId}}.',
    },
    need: {
      bot_error: '{{bot}} was stopped by an error',
      above_range: '{{bot}} waits: the price is {{percent}} % above its range',
      below_range: '{{bot}} waits: the price is {{percent}} % below its range',
      price_stale: 'The price of {{pair}} is old; its bots wait',
    },
  },
  /** What keeps a grid from being traded, by the codes of libs/trading. */
  problems: {
    bounds: 'The upper price {{upper}} must be above the lower price {{lower}}.',
    too_many_grids: 'Use 2 to 200 grids: an exchange takes at most 200 orders of one bot.',
    tick: 'The levels are closer than the price tick {{tick}}. Use fewer grids.',
    loses_to_fees: 'A cell of {{width}} % loses to fees of {{needed}} %. Use fewer grids.',
    below_minimum:
      'An order of {{order}} is below the minimum {{minimum}}. Use at most {{most}} grids, or invest {{needs}}.',
    below_minimum_alone: 'An order of {{order}} is below the minimum {{minimum}}. Invest at least {{needs}}.',
    stop_loss: 'The stop-loss {{stopLoss}} must be below the lower price {{lower}}.',
    stop_loss_reached: 'The price {{price}} is already at or below the stop-loss {{stopLoss}}.',
    take_profit: 'The take-profit {{takeProfit}} must be above the upper price {{upper}}.',
    take_profit_reached: 'The price {{price}} already reached the take-profit {{takeProfit}}.',
    side: 'A {{side}} grid needs borrowed base currency; on a spot market choose long.',
    trailing: 'Trailing up is not offered yet. Switch it off.',
    off_tick: '{{value}} is not a multiple of the price tick {{tick}}.',
    start_at_stop_loss: 'The start price {{price}} must be above the stop-loss {{stopLoss}}.',
    start_at_take_profit: 'The start price {{price}} must be below the take-profit {{takeProfit}}.',
    above_range: 'At {{price}} the price is above the range: the bot waits until it comes back.',
    below_range:
      'At {{price}} the price is below the range: the bot buys all of its base currency at once and waits to sell it.',
  },
  /** Why the runtime refused, where the error code alone says too little. */
  reasons: {
    resume_instead: 'The bot is paused. Resume it instead.',
    make_a_new_one: 'A stopped bot stays stopped. Clone it to go on with the same settings.',
    only_running_pauses: 'Only a running bot can be paused.',
    only_paused_resumes: 'Only a paused bot can be resumed.',
    stop_first: 'Stop the bot first.',
    no_such_bot: 'There is no such bot. It may have been deleted.',
    no_such_token: 'There is no such token. It may have been removed.',
    token_may_only_read: 'This token may read only.',
    support_may_only_look: 'Support may look, not change anything.',
    tokens_by_people_only: 'Only a signed-in person may create and revoke tokens.',
    foreign_page: 'Another page tried to change something here. It was refused.',
    bots_one: 'Your plan allows {{count}} bot at a time. Stop or delete one, or change the plan in the portal.',
    bots_other: 'Your plan allows {{count}} bots at a time. Stop or delete one, or change the plan in the portal.',
    tokens: 'There are as many tokens as there may be. Revoke one first.',
    streams_of_caller: 'Too many pages of yours are open. Close some of them.',
    streams_of_stack: 'Too many pages of this stack are open. Close some of them.',
    content_type: 'The request was not sent as JSON.',
    query_given_twice: 'A part of the address is given twice.',
    cursor: 'This place in the list is not known. Load the page again.',
    idempotency_key: 'The key of this request is not valid. Load the page again.',
  },
};
