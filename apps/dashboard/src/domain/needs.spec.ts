import type { Need } from '#libs/contracts';
import { botToExplain } from './needs.js';

const need: Need = {
  kind: 'bot_error',
  botId: '00000000-0000-4000-8000-000000000001',
  botName: 'Grid',
  text: 'Grid stopped by error: raw',
  code: 'need.bot_error',
  params: { bot: 'Grid' },
  since: '2026-11-21T14:02:11.000Z',
};
const bot = { id: '00000000-0000-4000-8000-000000000001', reason: 'The exchange refused an order' };

describe('botToExplain', () => {
  it('is the bot that an error stopped', () => {
    expect(botToExplain(need, [{ ...bot, id: 'other' }, bot])).toBe(bot);
  });

  it('is none where the need says all there is, or the bot is gone', () => {
    expect(botToExplain({ ...need, kind: 'out_of_range', code: 'need.above_range' }, [bot])).toBeUndefined();
    expect(botToExplain({ ...need, botId: null }, [bot])).toBeUndefined();
    expect(botToExplain(need, undefined)).toBeUndefined();
    // old words without a code end with the reason
    const { code: _code, ...old } = need;
    expect(botToExplain(old, [bot])).toBeUndefined();
  });
});
