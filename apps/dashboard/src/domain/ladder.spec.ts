import type { BotLevel } from '#libs/contracts';
import { chartLevels, nextLevels } from './ladder.js';

const level = (price: string, side: BotLevel['side']): BotLevel => ({ price, side, quantity: '1' });
// 9.5 would come after 10 and 11 as text
const levels = [level('9.5', 'buy'), level('10', 'empty'), level('11', 'sell'), level('8', 'buy'), level('12', 'sell')];
const placing = { place: Number, words: (price: string) => `@${price}` };

describe('levels on the chart', () => {
  it('finds the next level of each side by value', () => {
    expect(nextLevels(levels, '10.2')).toEqual({ buy: '9.5', sell: '11' });
    expect(nextLevels(levels, '11.5')).toEqual({ buy: '9.5', sell: '12' });
    expect(nextLevels(levels, null)).toEqual({ buy: '9.5', sell: '11' });
    expect(nextLevels([], '10')).toEqual({ buy: null, sell: null });
  });

  it('labels bounds and next levels only, and draws every level', () => {
    const drawn = chartLevels(levels, { price: '10.2', stopLoss: null, takeProfit: null }, placing);
    expect(drawn.map((line) => [line.at, line.kind, line.label])).toEqual([
      [12, 'sell', '@12'],
      [11, 'sell', '@11'],
      [10, 'empty', undefined],
      [9.5, 'buy', '@9.5'],
      [8, 'buy', '@8'],
    ]);
  });

  it('adds the exits', () => {
    const drawn = chartLevels(levels, { price: null, stopLoss: '7', takeProfit: '13' }, placing);
    expect(drawn.slice(-2).map((line) => [line.id, line.kind, line.at])).toEqual([
      ['stopLoss', 'stop', 7],
      ['takeProfit', 'target', 13],
    ]);
  });
});
