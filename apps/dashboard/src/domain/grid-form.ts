import type { CreateBotInput, GridParams, MarketPair, Pair } from '#libs/contracts';
import { GRID_PRESETS, gridPreview, presetParams, type GridPreset, type GridPreview } from '#libs/trading';
import type { GridDraft } from './draft.js';
import { compare, floorToTick, isAmount, parseTyped, signOf, snapToTick } from './money.js';

export type AmountField = 'lower' | 'upper' | 'investment' | 'triggerPrice' | 'stopLoss' | 'takeProfit';
export type FormField = AmountField | 'grids';

const PRICE_FIELDS = ['lower', 'upper', 'triggerPrice', 'stopLoss', 'takeProfit'] as const;
const OPTIONAL_FIELDS: ReadonlySet<AmountField> = new Set(['triggerPrice', 'stopLoss', 'takeProfit']);
/** The cent: what an investment is given in. */
const CENT = '0.01';
const DEFAULT_INVESTMENT = '1000';

export function isPriceField(field: FormField): boolean {
  return (PRICE_FIELDS as readonly string[]).includes(field);
}

/**
 * What to put in at first: a thousand, or all there is to the cent when that is less. With nothing left a thousand too:
 * the figures of a grid are worth seeing, and that it cannot be paid is said beside them.
 */
export function defaultInvestment(free: string | undefined): string {
  if (free === undefined || compare(free, DEFAULT_INVESTMENT) >= 0) {
    return DEFAULT_INVESTMENT;
  }
  const cents = floorToTick(free, CENT);
  return signOf(cents) > 0 ? cents : DEFAULT_INVESTMENT;
}

/** A whole form from a preset at the present price; fields the preset knows nothing of stay as typed. */
export function applyPreset(preset: GridPreset, market: MarketPair, draft: GridDraft): GridDraft {
  // what is typed may be no usable amount yet; bounds and grids do not depend on it
  const investment = readField(draft.investment).value ?? DEFAULT_INVESTMENT;
  const params = presetParams(preset, market, market.price, investment);
  return {
    ...draft,
    preset,
    lower: params.lower,
    upper: params.upper,
    grids: String(params.grids),
    mode: params.mode,
  };
}

export function emptyDraft(pair: Pair, investment: string): GridDraft {
  return {
    pair,
    preset: null,
    name: '',
    lower: '',
    upper: '',
    grids: '',
    mode: 'arith',
    investment,
    triggerPrice: '',
    stopLoss: '',
    takeProfit: '',
    onExit: 'sell',
  };
}

export function isPreset(value: string | null | undefined): value is GridPreset {
  return (GRID_PRESETS as readonly (string | null | undefined)[]).includes(value);
}

/** The settings of an existing bot, to begin another one with. */
export function draftOf(pair: Pair, params: GridParams): GridDraft {
  return {
    ...emptyDraft(pair, params.investment),
    lower: params.lower,
    upper: params.upper,
    grids: String(params.grids),
    mode: params.mode,
    triggerPrice: params.triggerPrice ?? '',
    stopLoss: params.stopLoss ?? '',
    takeProfit: params.takeProfit ?? '',
    onExit: params.onExit,
  };
}

export interface FieldReading {
  /** Null while nothing usable is typed. */
  value: string | null;
  /** True when text is there that is no number. */
  wrong: boolean;
  /** True when a lone comma could have been meant in two ways: the page shows what was read. */
  ambiguous: boolean;
}

export function readField(text: string): FieldReading {
  if (text.trim() === '') {
    return { value: null, wrong: false, ambiguous: false };
  }
  const parsed = parseTyped(text);
  // leading zeros are how people type; the API wants none
  const value = parsed === null ? null : parsed.value.replace(/^0+(?=\d)/, '');
  const usable = value !== null && isAmount(value) && /[1-9]/.test(value);
  return { value: usable ? value : null, wrong: !usable, ambiguous: usable && (parsed?.ambiguous ?? false) };
}

/** What a field becomes when it is left: on the pair's tick, and whether that changed it. */
export function settleField(text: string, tick: string): { text: string; moved: boolean } {
  const { value } = readField(text);
  if (value === null) {
    return { text, moved: false };
  }
  const snapped = snapToTick(value, tick);
  const kept = compare(snapped, '0') > 0 ? snapped : tick;
  return { text: kept, moved: compare(kept, value) !== 0 };
}

export interface FormReading {
  params: GridParams | null;
  wrong: FormField[];
  missing: FormField[];
}

/** The parameters the form stands for, or which fields keep it from standing for any. */
export function readForm(draft: GridDraft): FormReading {
  const values: Partial<Record<AmountField, string | null>> = {};
  const wrong: FormField[] = [];
  const missing: FormField[] = [];
  for (const field of ['upper', 'lower', 'investment', 'triggerPrice', 'stopLoss', 'takeProfit'] as const) {
    const reading = readField(draft[field]);
    values[field] = reading.value;
    if (reading.wrong) {
      wrong.push(field);
    } else if (reading.value === null && !OPTIONAL_FIELDS.has(field)) {
      missing.push(field);
    }
  }
  const grids = /^\d{1,3}$/.test(draft.grids.trim()) ? Number.parseInt(draft.grids, 10) : null;
  if (grids === null) {
    (draft.grids.trim() === '' ? missing : wrong).push('grids');
  }
  const { lower, upper, investment, triggerPrice = null, stopLoss = null, takeProfit = null } = values;
  if (wrong.length > 0 || grids === null || !lower || !upper || !investment) {
    return { params: null, wrong, missing };
  }
  const params: GridParams = {
    lower,
    upper,
    grids,
    mode: draft.mode,
    investment,
    side: 'long',
    triggerPrice,
    stopLoss,
    takeProfit,
    onExit: draft.onExit,
    trailingUp: false,
  };
  return { params, wrong, missing };
}

export interface FormProblem {
  field: FormField | 'side' | 'mode' | 'onExit' | 'trailingUp';
  code: string;
  severity: 'error' | 'warning';
  message: string;
  values: Record<string, string>;
}

export interface FormPreview {
  preview: GridPreview;
  /** Worst first: what can never be traded, what the account cannot pay, then what is only worth knowing. */
  problems: FormProblem[];
  startable: boolean;
}

export function previewForm(params: GridParams, market: MarketPair, free: string | undefined): FormPreview {
  const preview = gridPreview(params, market, market.price);
  const problems: FormProblem[] = [...preview.problems];
  if (free !== undefined && compare(params.investment, free) > 0) {
    const at = problems.findIndex((problem) => problem.severity === 'warning');
    problems.splice(at === -1 ? problems.length : at, 0, {
      field: 'investment',
      code: 'insufficient',
      severity: 'error',
      message: '',
      values: { investment: params.investment, free },
    });
  }
  const startable = preview.tradable && problems.every((problem) => problem.severity !== 'error') && market.fresh;
  return { preview, problems, startable };
}

export function toCreate(draft: GridDraft, params: GridParams): CreateBotInput {
  const name = draft.name.trim();
  return {
    ...(name === '' ? {} : { name }),
    pair: draft.pair as Pair,
    strategy: 'grid',
    params,
    start: true,
  };
}
