import { BOT_MESSAGES, RUNTIME_ERROR_REASONS, type BotMessageCode } from '#libs/contracts';
import { createI18n } from '#libs/ui';
import { ApiError } from '../api/http.js';
import { en } from './en.js';
import { failureText, messageText, PROBLEM_CODES, problemText } from './messages.js';

const { t } = createI18n(
  { en },
  {
    onMissing: (namespace, key) => {
      throw new Error(`no text for ${namespace}:${key}`);
    },
  },
);
const say = (key: string, values = {}) => t(key, values);
const ui = (key: string, values = {}) => t(key, { ...values, ns: 'ui' });

/** A value for each parameter that can be found again in the text. */
const sample = (names: readonly string[]) => Object.fromEntries(names.map((name, index) => [name, String(index + 3)]));

describe('texts of the runtime', () => {
  const codes = Object.keys(BOT_MESSAGES) as BotMessageCode[];

  it.each(codes.filter((code) => code !== 'error.strategy'))('say %s with all it carries', (code) => {
    const params = sample(BOT_MESSAGES[code]);
    const words = messageText(say, 'en', { text: 'raw', code, params });
    expect(words).not.toMatch(/raw|\{\{/);
    // by whom and at which price a bot ends is known to the person who ended it
    for (const value of Object.values(params)) {
      expect(words).toContain(value);
    }
  });

  it('name the problem that made settings untradable', () => {
    const params = { problem: 'loses_to_fees', width: '0.18', needed: '0.2' };
    expect(messageText(say, 'en', { text: 'raw', code: 'error.strategy', params })).toBe(
      'A cell of 0.18 % loses to fees of 0.2 %. Use fewer grids.',
    );
    expect(messageText(say, 'en', { text: 'in words', code: 'error.strategy', params: { problem: 'new' } })).toBe(
      'in words',
    );
  });

  it('write figures as the page does, and choose the plural', () => {
    const fill = { quantity: '0.00156', base: 'BTC', price: '66000.0', profit: '1.364' };
    expect(messageText(say, 'en', { text: '', code: 'fill.sell_cell', params: fill })).toBe(
      'Sold 0.00156 BTC at 66,000.0, cell +1.36 net',
    );
    expect(messageText(say, 'en', { text: '', code: 'orders.lost', params: { count: '1' } })).toMatch(/ 1 order of /);
  });

  it('keep the words of a code they do not know', () => {
    expect(messageText(say, 'en', { text: 'Something newer.', code: 'bot.of_tomorrow', params: {} })).toBe(
      'Something newer.',
    );
    expect(messageText(say, 'en', { text: 'Something older.' })).toBe('Something older.');
  });

  it.each(PROBLEM_CODES)('have the problem %s', (code) => {
    const values = sample(['upper', 'lower', 'tick', 'width', 'needed', 'order', 'minimum', 'most', 'needs', 'value']);
    const more = { side: 'short', price: '9', stopLoss: '1', takeProfit: '2' };
    const words = problemText(say, 'en', { code, message: 'raw', values: { ...values, ...more } });
    expect(words).not.toMatch(/raw|\{\{/);
  });

  it('write the figures of a refusal as the page does', () => {
    const poor = { needed: '1200', free: '250.5', asset: 'USDT' };
    const refused = new ApiError('INSUFFICIENT_BALANCE', 'The bot needs 1200 USDT; 250.5 are free.', 'e', poor);
    expect(failureText(say, ui, 'en', refused)).toBe('You give 1,200.00, but only 250.50 is free.');
    const problems = [
      { field: 'lower', code: 'below_range', severity: 'warning', message: 'raw', values: { price: '9' } },
      { field: 'grids', code: 'tick', severity: 'error', message: 'raw', values: { tick: '0.1' } },
    ];
    expect(failureText(say, ui, 'en', new ApiError('STRATEGY_INVALID', 'raw', 'e', { problems }))).toBe(
      'The levels are closer than the price tick 0.1. Use fewer grids.',
    );
    // a newer runtime, or none of ours: its words stand
    const unknown = [{ code: 'of_tomorrow', severity: 'error', message: 'In words.', values: {} }];
    expect(failureText(say, ui, 'en', new ApiError('STRATEGY_INVALID', 'raw', 'e', { problems: unknown }))).toBe(
      'In words.',
    );
    expect(failureText(say, ui, 'en', new ApiError('STRATEGY_INVALID', 'Said.', 'e', { problems: 'none' }))).toBe(
      'Said.',
    );
    expect(failureText(say, ui, 'en', new ApiError('INSUFFICIENT_BALANCE', 'Said.', 'e', {}))).toBe('Said.');
  });

  it.each(RUNTIME_ERROR_REASONS)('have the refusal %s', (reason) => {
    const error = new ApiError('WRONG_STATE', 'raw', 'e', { reason, allowed: 5, used: 5 });
    const words = failureText(say, ui, 'en', error);
    expect(words).not.toMatch(/raw|\{\{/);
  });
});
