import type { MarketPair } from '#libs/contracts';
import {
  applyPreset,
  defaultInvestment,
  draftOf,
  emptyDraft,
  previewForm,
  readField,
  readForm,
  settleField,
  toCreate,
} from './grid-form.js';

const market: MarketPair = {
  pair: 'BTC/USDT',
  base: 'BTC',
  quote: 'USDT',
  price: '64980.4',
  priceAt: '2026-11-21T14:02:11.000Z',
  fresh: true,
  tick: '0.1',
  step: '0.00001',
  minNotional: '5',
  fee: '0.001',
  price24hAgo: null,
};
const typed = { ...emptyDraft('BTC/USDT', '1200'), lower: '60 000', upper: '72.000,0', grids: '12' };

function paramsOf(draft = typed) {
  const { params } = readForm(draft);
  if (params === null) {
    throw new Error('the form should stand for parameters');
  }
  return params;
}

describe('grid form', () => {
  it('reads what people type', () => {
    expect(paramsOf()).toMatchObject({
      lower: '60000',
      upper: '72000.0',
      grids: 12,
      investment: '1200',
      stopLoss: null,
    });
    expect(readField('0060')).toEqual({ value: '60', wrong: false, ambiguous: false });
    expect(readField('0')).toMatchObject({ value: null, wrong: true });
    expect(readField(' ')).toEqual({ value: null, wrong: false, ambiguous: false });
    expect(readField('1,234')).toMatchObject({ value: '1.234', ambiguous: true });
  });

  it('names what is missing apart from what is wrong', () => {
    expect(readForm({ ...typed, upper: '', grids: 'many', stopLoss: '-1' })).toEqual({
      params: null,
      wrong: ['stopLoss', 'grids'],
      missing: ['upper'],
    });
    expect(readForm({ ...typed, stopLoss: '' }).params).not.toBeNull();
  });

  it('settles a price on the tick and says when that moved it', () => {
    expect(settleField('64980.44', '0.1')).toEqual({ text: '64980.4', moved: true });
    expect(settleField('64980,4', '0.1')).toEqual({ text: '64980.4', moved: false });
    expect(settleField('0.00001', '0.1')).toEqual({ text: '0.1', moved: true });
    expect(settleField('abc', '0.1')).toEqual({ text: 'abc', moved: false });
  });

  it.each(['narrow', 'balanced', 'wide'] as const)(
    'preset %s can be started as it is, close to the price',
    (preset) => {
      const draft = applyPreset(preset, market, emptyDraft('BTC/USDT', '1000'));
      const { startable, problems, preview } = previewForm(paramsOf(draft), market, '10000');
      expect(problems).toEqual([]);
      expect(startable).toBe(true);
      const nearest = preview.figures?.ladder.find((level) => level.side === 'buy');
      expect(Number(nearest?.price)).toBeGreaterThan(64980.4 * 0.997);
    },
  );

  it('puts the account that cannot pay after what can never be traded and before warnings', () => {
    const above = previewForm({ ...paramsOf(), lower: '66000' }, market, '100');
    expect(above.problems.map((problem) => problem.code)).toEqual(['insufficient', 'below_range']);
    expect(above.startable).toBe(false);
    const tooSmall = previewForm({ ...paramsOf(), investment: '12' }, market, '10');
    expect(tooSmall.problems.map((problem) => problem.code)).toEqual(['below_minimum', 'insufficient']);
    expect(previewForm(paramsOf(), market, '1200').startable).toBe(true);
  });

  it('does not start on an old price', () => {
    expect(previewForm(paramsOf(), { ...market, fresh: false }, '5000').startable).toBe(false);
  });

  it.each([
    ['250.129', '250.12'],
    ['9.996', '9.99'],
    ['10000', '1000'],
    [undefined, '1000'],
  ])('of %s free gives %s: never more than there is', (free, given) => {
    expect(defaultInvestment(free)).toBe(given);
  });

  it.each(['0', '0.004'])('with %s free shows what the presets are, and that nothing pays for them', (free) => {
    const draft = applyPreset('balanced', market, emptyDraft('BTC/USDT', defaultInvestment(free)));
    const { preview, problems, startable } = previewForm(paramsOf(draft), market, free);
    expect(preview.figures).not.toBeNull();
    expect(problems.map((problem) => problem.code)).toEqual(['insufficient']);
    expect(startable).toBe(false);
  });

  it.each(['0', '0060', '', 'abc', '-5'])('a preset can be chosen while the investment says "%s"', (investment) => {
    const draft = applyPreset('wide', market, { ...typed, investment });
    expect(draft).toMatchObject({ preset: 'wide', investment });
    expect(draft.lower).not.toBe(typed.lower);
  });

  it('sends a name only when there is one, and clones every setting of a bot', () => {
    expect(toCreate({ ...typed, name: '  ' }, paramsOf())).not.toHaveProperty('name');
    expect(toCreate({ ...typed, name: ' my grid ' }, paramsOf())).toMatchObject({ name: 'my grid', start: true });
    const params = { ...paramsOf(), stopLoss: '58500', onExit: 'keep' as const, mode: 'geo' as const };
    expect(readForm(draftOf('BTC/USDT', params)).params).toEqual(params);
  });
});
