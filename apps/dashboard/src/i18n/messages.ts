import { BOT_MESSAGES, RUNTIME_ERROR_REASONS, type BotMessageCode, type RuntimeErrorReason } from '#libs/contracts';
import type { GridProblem } from '#libs/trading';
import {
  errorText,
  formatDecimal,
  useLocale,
  useUiText,
  type Translate,
  type UiResources,
  type Values,
} from '#libs/ui';
import { ApiError } from '../api/http.js';
import { MONEY_TICK } from '../parts/figures.js';
import { useT, type AppResources } from './i18n.js';

/** A text of the runtime: English words, and what they say by code. */
export interface Message {
  text: string;
  code?: string | undefined;
  params?: Readonly<Record<string, string>> | undefined;
}

/** A problem of a grid as `gridProblems` finds it, or one of the form itself. */
export interface Problem {
  code: string;
  message: string;
  values: Readonly<Record<string, string>>;
}

type Text = Translate<AppResources>;

/** Shown to the cent, like every figure of the account. */
const MONEY = new Set(['investment', 'free', 'profit']);

/** The figures of a text as they are written here; `count` stays a number, for it chooses the plural. */
function written(values: Readonly<Record<string, unknown>>, locale: string): Values {
  const words: Values = {};
  for (const [name, value] of Object.entries(values)) {
    if (name === 'count') {
      words[name] = typeof value === 'number' ? value : Number.parseInt(String(value), 10);
    } else if (typeof value === 'string') {
      words[name] = formatDecimal(value, {
        locale,
        sign: name === 'profit' ? 'always' : 'auto',
        ...(MONEY.has(name) ? { tick: MONEY_TICK } : {}),
      });
    } else if (typeof value === 'number') {
      words[name] = value;
    }
  }
  return words;
}

function isBotMessage(code: string | undefined): code is BotMessageCode {
  return code !== undefined && Object.hasOwn(BOT_MESSAGES, code);
}

/** Checked by the compiler to be all there are. */
const PROBLEMS = {
  bounds: true,
  too_many_grids: true,
  tick: true,
  loses_to_fees: true,
  below_minimum: true,
  stop_loss: true,
  take_profit: true,
  side: true,
  trailing: true,
  off_tick: true,
  start_at_stop_loss: true,
  start_at_take_profit: true,
  above_range: true,
  below_range: true,
} as const satisfies Record<GridProblem['code'], true>;

export const PROBLEM_CODES = Object.keys(PROBLEMS) as (keyof typeof PROBLEMS)[];

function isGridProblem(code: string | undefined): code is GridProblem['code'] {
  return code !== undefined && Object.hasOwn(PROBLEMS, code);
}

/** Two problems have two meanings each, told apart by the figures they carry. */
function problemKey(code: GridProblem['code'], values: Readonly<Record<string, unknown>>) {
  if ((code === 'stop_loss' || code === 'take_profit') && 'price' in values) {
    return `${code}_reached` as const;
  }
  return code === 'below_minimum' && values['most'] === '0' ? 'below_minimum_alone' : code;
}

export function problemText(t: Text, locale: string, problem: Problem): string {
  const { code, values } = problem;
  if (code === 'insufficient') {
    return t('grid.insufficient', written(values, locale));
  }
  return isGridProblem(code) ? t(`problems.${problemKey(code, values)}`, written(values, locale)) : problem.message;
}

/** A message of the runtime in the person's language; one with a code of a newer runtime keeps its words. */
export function messageText(t: Text, locale: string, message: Message): string {
  const { code, params = {}, text } = message;
  if (!isBotMessage(code)) {
    return text;
  }
  if (code === 'error.strategy') {
    return problemText(t, locale, { code: params['problem'] ?? '', message: text, values: params });
  }
  return t(`messages.${code}`, written(params, locale));
}

function reasonOf(error: ApiError): RuntimeErrorReason | undefined {
  return RUNTIME_ERROR_REASONS.find((known) => known === error.details['reason']);
}

/** The worst of the problems a refused grid has; null where the answer names none. */
function worstProblem({ details }: ApiError): Problem | null {
  const { problems } = details;
  if (!Array.isArray(problems)) {
    return null;
  }
  return (problems as (Problem & { severity: string })[]).find(({ severity }) => severity === 'error') ?? null;
}

/** A refusal whose figures say more than its code; null for the others. */
function figuresText(t: Text, locale: string, error: ApiError): string | null {
  if (error.code === 'STRATEGY_INVALID') {
    const problem = worstProblem(error);
    return problem === null ? null : problemText(t, locale, problem);
  }
  const { needed, free } = error.details;
  return error.code === 'INSUFFICIENT_BALANCE' && typeof needed === 'string' && typeof free === 'string'
    ? t('grid.insufficient', written({ investment: needed, free }, locale))
    : null;
}

/** Why a request failed: by the reason within the code, else by the code. */
export function failureText(t: Text, ui: Translate<UiResources>, locale: string, error: Error): string {
  if (!(error instanceof ApiError)) {
    return error.message;
  }
  const reason = reasonOf(error);
  if (reason === undefined) {
    return figuresText(t, locale, error) ?? errorText(ui, locale, error);
  }
  return t(`reasons.${reason}`, written({ ...error.details, count: error.details['allowed'] ?? 0 }, locale));
}

export function useMessageText(): (message: Message) => string {
  const t = useT();
  const locale = useLocale();
  return (message) => messageText(t, locale, message);
}

/** Of a bot: why it is as it is. */
export function useReasonText(): (bot: {
  reason: string | null;
  reasonCode?: string | undefined;
  reasonParams?: Readonly<Record<string, string>> | undefined;
}) => string | null {
  const text = useMessageText();
  return ({ reason, reasonCode, reasonParams }) =>
    reason === null ? null : text({ text: reason, code: reasonCode, params: reasonParams });
}

export function useProblemText(): (problem: Problem) => string {
  const t = useT();
  const locale = useLocale();
  return (problem) => problemText(t, locale, problem);
}

export function useFailureText(): (error: Error) => string {
  const t = useT();
  const ui = useUiText();
  const locale = useLocale();
  return (error) => failureText(t, ui, locale, error);
}
