import type { MarketPair } from '#libs/contracts';
import { Amount } from '#libs/ui';
import { SegmentedControl, TextInput } from '@mantine/core';
import { useState } from 'react';
import type { GridDraft } from '../domain/draft.js';
import { isPriceField, readField, settleField, type AmountField } from '../domain/grid-form.js';
import { distance } from '../domain/money.js';
import { useT } from '../i18n/i18n.js';
import { MONEY_TICK, useFigures } from '../parts/figures.js';

export interface GridFieldsProps {
  draft: GridDraft;
  market: MarketPair;
  free: string | undefined;
  onChange: (change: Partial<GridDraft>) => void;
  /** Problem text by field, from the preview. */
  problems: Readonly<Record<string, string>>;
}

interface AmountInputProps extends GridFieldsProps {
  field: AmountField;
  label: string;
  optional?: boolean;
}

/** A field for one amount: text as typed, `.` and `,` alike; on leaving it snaps to the tick and says so. */
function AmountInput({ draft, market, onChange, problems, field, label, optional = false }: AmountInputProps) {
  const t = useT();
  const figures = useFigures();
  const [moved, setMoved] = useState(false);
  const tick = isPriceField(field) ? market.tick : MONEY_TICK;
  const reading = readField(draft[field]);
  const away = isPriceField(field) && reading.value !== null ? distance(reading.value, market.price) : null;
  const hint = reading.ambiguous
    ? t('grid.readAs', { value: figures.price(reading.value ?? '', tick) })
    : moved
      ? t('grid.snapped', { value: draft[field], tick })
      : undefined;
  const error = reading.wrong ? t('grid.notANumber', { example: market.price }) : problems[field];
  return (
    <TextInput
      label={
        away === null ? (
          label
        ) : (
          <span className="label-line">
            {label}
            <span className="label-aside">
              <Amount value={away} kind="percent" sign="always" />
            </span>
          </span>
        )
      }
      labelProps={{ className: 'wide-label' }}
      value={draft[field]}
      inputMode="decimal"
      autoComplete="off"
      placeholder={optional ? t('grid.optional') : undefined}
      description={hint}
      error={error}
      inputWrapperOrder={['label', 'input', 'description', 'error']}
      rightSectionWidth={52}
      rightSectionPointerEvents="none"
      rightSection={<span className="field-unit">{market.quote}</span>}
      onChange={(event) => {
        setMoved(false);
        onChange({ [field]: event.currentTarget.value, ...(isPriceField(field) ? { preset: null } : {}) });
      }}
      onBlur={() => {
        const settled = settleField(draft[field], tick);
        setMoved(settled.moved);
        if (settled.text !== draft[field]) {
          onChange({ [field]: settled.text });
        }
      }}
    />
  );
}

export function GridFields(props: GridFieldsProps) {
  const t = useT();
  const { draft, market, onChange, problems } = props;
  return (
    <div className="grid-fields">
      <div className="field-pair">
        <AmountInput {...props} field="upper" label={t('grid.upper')} />
        <AmountInput {...props} field="lower" label={t('grid.lower')} />
      </div>
      <div className="field-pair">
        <TextInput
          label={t('grid.grids')}
          value={draft.grids}
          inputMode="numeric"
          autoComplete="off"
          rightSection={<span className="field-unit">{t('grid.gridsHint')}</span>}
          rightSectionWidth={64}
          rightSectionPointerEvents="none"
          error={
            draft.grids.trim() !== '' && !/^\d{1,3}$/.test(draft.grids.trim())
              ? t('grid.wholeNumber')
              : problems['grids']
          }
          onChange={(event) => onChange({ grids: event.currentTarget.value, preset: null })}
        />
        <AmountInput {...props} field="investment" label={t('grid.investment')} />
      </div>
      <div>
        <span className="field-label" id="grid-mode">
          {t('grid.spacing')}
        </span>
        <SegmentedControl
          aria-labelledby="grid-mode"
          fullWidth
          value={draft.mode}
          onChange={(mode) => onChange({ mode: mode === 'geo' ? 'geo' : 'arith', preset: null })}
          data={[
            { value: 'arith', label: t('grid.arith') },
            { value: 'geo', label: t('grid.geo') },
          ]}
        />
      </div>
      <MoreFields {...props} market={market} />
    </div>
  );
}

/** What most grids do without. Opens by itself when something in it is set. */
function MoreFields(props: GridFieldsProps) {
  const t = useT();
  const { draft, market, onChange } = props;
  const [initiallyOpen] = useState(draft.stopLoss !== '' || draft.takeProfit !== '' || draft.triggerPrice !== '');
  return (
    <details className="fold" open={initiallyOpen}>
      <summary>{t('grid.more')}</summary>
      <div className="grid-fields">
        <div className="field-pair">
          <AmountInput {...props} field="stopLoss" label={t('grid.stopLoss')} optional />
          <AmountInput {...props} field="takeProfit" label={t('grid.takeProfit')} optional />
        </div>
        <AmountInput {...props} field="triggerPrice" label={t('grid.triggerPrice')} optional />
        <div>
          <span className="field-label" id="grid-on-exit">
            {t('grid.onExit')}
          </span>
          <SegmentedControl
            aria-labelledby="grid-on-exit"
            fullWidth
            value={draft.onExit}
            onChange={(onExit) => onChange({ onExit: onExit === 'keep' ? 'keep' : 'sell' })}
            data={[
              { value: 'sell', label: t('grid.sell', { base: market.base }) },
              { value: 'keep', label: t('grid.keep', { base: market.base }) },
            ]}
          />
        </div>
        <TextInput
          label={t('grid.name')}
          placeholder={t('grid.optional')}
          value={draft.name}
          maxLength={60}
          onChange={(event) => onChange({ name: event.currentTarget.value })}
        />
      </div>
    </details>
  );
}
