import { candleStart, clusterFills } from './fill-markers.js';

const starts = [60, 120, 180];

describe('fills on a chart', () => {
  it('finds the candle a moment falls into', () => {
    expect([59, 60, 119, 120, 500].map((time) => candleStart(starts, time))).toEqual([null, 60, 60, 120, 180]);
    expect(candleStart([], 60)).toBeNull();
  });

  it('counts fills of one side in one candle as one mark and keeps the sides apart', () => {
    const fills = [
      { time: 130, side: 'sell' as const },
      { time: 61, side: 'buy' as const },
      { time: 62, side: 'buy' as const },
      { time: 63, side: 'sell' as const },
      { time: 10, side: 'buy' as const },
    ];
    expect(clusterFills(fills, starts)).toEqual([
      { time: 60, side: 'buy', count: 2 },
      { time: 60, side: 'sell', count: 1 },
      { time: 120, side: 'sell', count: 1 },
    ]);
  });

  it('puts fills of narrow candles together, so that no count lies on another', () => {
    const narrow = [0, 60, 120, 180, 240, 300];
    const fills = [0, 60, 70, 120, 180, 300].map((time) => ({ time, side: 'buy' as const }));
    expect(clusterFills(fills, narrow, 3)).toEqual([
      { time: 0, side: 'buy', count: 4 },
      { time: 180, side: 'buy', count: 2 },
    ]);
    const late = [...fills, { time: 65, side: 'sell' as const }];
    expect(clusterFills(late, narrow, 3)).toContainEqual({ time: 60, side: 'sell', count: 1 });
  });
});
