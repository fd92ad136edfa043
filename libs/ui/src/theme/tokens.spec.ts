import { contrast, deltaE2000, differenceSeen, type Deficiency } from './colour-science.js';
import { TOKENS, type Scheme, type TokenName } from './tokens.js';

const SCHEMES: Scheme[] = ['light', 'dark'];
const DEFICIENCIES: Deficiency[] = ['protan', 'deutan', 'tritan'];
const TEXTS: TokenName[] = ['text', 'muted', 'primary', 'brand', 'ok', 'bad', 'warn', 'work', 'up', 'down'];
const SERIES: TokenName[] = ['series-1', 'series-2', 'series-3', 'series-4', 'series-5'];

describe('colour science', () => {
  it('knows the published pairs of CIEDE2000', () => {
    expect(deltaE2000([50, 2.6772, -79.7751], [50, 0, -82.7485])).toBeCloseTo(2.0425, 4);
    expect(deltaE2000([50, 2.5, 0], [73, 25, -18])).toBeCloseTo(27.1492, 4);
    expect(deltaE2000([22.7233, 20.0904, -46.694], [23.0331, 14.973, -42.5619])).toBeCloseTo(2.0373, 4);
  });
  it('knows the ends of the contrast scale', () => {
    expect(contrast('#000000', '#FFFFFF')).toBeCloseTo(21, 5);
    expect(contrast('#777777', '#FFFFFF')).toBeCloseTo(4.48, 2);
  });
});

describe.each(SCHEMES)('%s scheme', (scheme) => {
  const token = TOKENS[scheme];

  it.each(TEXTS)('%s reads on page and surface (4.6:1)', (name) => {
    expect(contrast(token[name], token.bg)).toBeGreaterThanOrEqual(4.6);
    expect(contrast(token[name], token.surface)).toBeGreaterThanOrEqual(4.6);
  });

  it('text reads on sunken areas, and on buttons', () => {
    expect(contrast(token.text, token.sunken)).toBeGreaterThanOrEqual(4.6);
    expect(contrast(token.muted, token.sunken)).toBeGreaterThanOrEqual(4.6);
    expect(contrast(token['on-primary'], token.primary)).toBeGreaterThanOrEqual(4.6);
    expect(contrast(token['on-tone'], token.bad)).toBeGreaterThanOrEqual(4.6);
  });

  it('borders of controls are seen (3.3:1)', () => {
    expect(contrast(token.control, token.bg)).toBeGreaterThanOrEqual(3.3);
    expect(contrast(token.control, token.surface)).toBeGreaterThanOrEqual(3.3);
  });

  it.each(DEFICIENCIES)('up and down, and the series, differ under %sopia', (deficiency) => {
    expect(differenceSeen(token.up, token.down, deficiency)).toBeGreaterThanOrEqual(23);
    expect(differenceSeen(token['cb-up'], token['cb-down'], deficiency)).toBeGreaterThanOrEqual(48);
    for (const [index, one] of SERIES.entries()) {
      for (const other of SERIES.slice(index + 1)) {
        expect(differenceSeen(token[one], token[other], deficiency)).toBeGreaterThanOrEqual(14);
      }
    }
  });
});
