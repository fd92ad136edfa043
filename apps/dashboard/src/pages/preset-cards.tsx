import type { MarketPair } from '#libs/contracts';
import { Amount, Panel, Skeletons } from '#libs/ui';
import { GRID_PRESETS, type GridPreset } from '#libs/trading';
import { useQuery } from '@tanstack/react-query';
import { marketQuery } from '../api/queries.js';
import { ButtonLink } from '../app/button-link.js';
import { applyPreset, defaultInvestment, emptyDraft, previewForm, readForm } from '../domain/grid-form.js';
import { useT } from '../i18n/i18n.js';
import { MONEY_TICK, useFigures } from '../parts/figures.js';
import { QueryState } from '../parts/query-state.js';

/** Three grids around the present price, with the figures that set them apart. A press opens the form, filled in. */
export function PresetCards({ free }: { free: string }) {
  const t = useT();
  const query = useQuery(marketQuery());
  return (
    <QueryState query={query} loading={<Skeletons shape="rows" />}>
      {({ pairs: [pair] }) =>
        pair === undefined ? null : (
          <section className="presets" aria-label={t('grid.presets')}>
            <p className="presets-price">
              {t('home.priceNow', { pair: pair.pair })}{' '}
              <strong>
                <Amount value={pair.price} tick={pair.tick} unit={pair.quote} />
              </strong>
            </p>
            <div className="preset-grid">
              {GRID_PRESETS.map((preset) => (
                <PresetCard key={preset} preset={preset} pair={pair} free={free} />
              ))}
            </div>
          </section>
        )
      }
    </QueryState>
  );
}

function PresetCard({ preset, pair, free }: { preset: GridPreset; pair: MarketPair; free: string }) {
  const t = useT();
  const figures = useFigures();
  const draft = applyPreset(preset, pair, emptyDraft(pair.pair, defaultInvestment(free)));
  const { params } = readForm(draft);
  if (params === null) {
    return null;
  }
  const shown = previewForm(params, pair, free).preview.figures;
  return (
    <Panel title={t(`presets.${preset}.name`)}>
      <p className="av-muted">{t(`presets.${preset}.text`)}</p>
      <dl className="preset-facts">
        <div>
          <dt>{t('fields.range')}</dt>
          <dd>
            {t('home.presetRange', {
              lower: figures.price(params.lower, pair.tick),
              upper: figures.price(params.upper, pair.tick),
            })}
          </dd>
        </div>
        <div>
          <dt>{t('grid.grids')}</dt>
          <dd>{params.grids}</dd>
        </div>
        {shown === null ? null : (
          <>
            <div>
              <dt>{t('grid.profitPerGrid')}</dt>
              <dd>
                <Amount value={shown.profit.low} kind="percent" sign="always" />
              </dd>
            </div>
            <div>
              <dt>{t('grid.fallsTo', { price: figures.price(shown.atLower.price, pair.tick) })}</dt>
              <dd>
                <Amount value={shown.atLower.gain} tick={MONEY_TICK} direction unit={pair.quote} />
              </dd>
            </div>
          </>
        )}
      </dl>
      <ButtonLink
        to="/bots/new"
        search={{ preset, pair: pair.pair }}
        variant={preset === 'balanced' ? 'filled' : 'default'}
        fullWidth
      >
        {t('home.look', { name: t(`presets.${preset}.name`) })}
      </ButtonLink>
    </Panel>
  );
}
