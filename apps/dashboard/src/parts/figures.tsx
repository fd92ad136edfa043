import { formatDecimal, formatTime, useLocale, useZone, type ChartZone } from '#libs/ui';
import { useMemo } from 'react';
import { durationParts } from '../domain/duration.js';
import { useT } from '../i18n/i18n.js';

/** Figures of the account are shown to the cent; a figure that is smaller than that shows its first digit. */
export const MONEY_TICK = '0.01';

export interface Figures {
  price: (value: string, tick: string) => string;
  amount: (value: string, options?: { tick?: string; unit?: string; signed?: boolean }) => string;
  /** From a fraction, two decimals. */
  percent: (fraction: string, options?: { signed?: boolean }) => string;
  time: (iso: string, style?: 'datetime' | 'date' | 'time' | 'seconds') => string;
  zone: ChartZone;
}

/** The same words for a figure wherever it stands: in a sentence, on a chart, in a label. */
export function useFigures(): Figures {
  const locale = useLocale();
  const { name: timeZone } = useZone();
  return useMemo(
    () => ({
      amount: (value, { tick = MONEY_TICK, unit, signed } = {}) => {
        const words = formatDecimal(value, { locale, tick, sign: signed ? 'always' : 'auto' });
        return unit === undefined ? words : `${words} ${unit}`;
      },
      price: (value, tick) => formatDecimal(value, { locale, tick }),
      percent: (fraction, { signed } = {}) =>
        formatDecimal(fraction, { locale, kind: 'percent', sign: signed ? 'always' : 'auto' }),
      time: (iso, style = 'datetime') =>
        formatTime(Date.parse(iso), { locale, zone: timeZone, style, now: Date.now() }),
      zone: { timeZone, locale: locale === 'en' ? 'en-GB' : locale },
    }),
    [locale, timeZone],
  );
}

/** `3 d 2 h`, in the language of the page. */
export function useDuration(): (milliseconds: number) => string {
  const t = useT();
  return (milliseconds) =>
    durationParts(milliseconds)
      .map((part) => t(`duration.${part.unit}`, { count: part.count }))
      .join(' ');
}
