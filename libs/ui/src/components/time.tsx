import { ago, agoChangesIn } from '../domain/ago.js';
import { useLocale, useUiText } from '../i18n/i18n.js';
import { formatTime, utcTitle, type TimeStyle } from '../time/format-time.js';
import { useNow } from '../time/use-now.js';
import { useZone } from '../time/zone.js';

export interface TimeProps {
  /** ISO 8601, as the API sends it. */
  value: string;
  style?: TimeStyle;
}

/** The text of a moment in the chosen zone, for sentences; pages use `Time` where they can. */
export function useTimeText(): (value: string | number, style?: TimeStyle) => string {
  const locale = useLocale();
  const zone = useZone();
  const now = useNow(60_000);
  return (value, style) =>
    formatTime(new Date(value).getTime(), { locale, zone: zone.name, now, ...(style === undefined ? {} : { style }) });
}

/** A moment in the chosen zone; hover and focus show UTC. */
export function Time({ value, style }: TimeProps) {
  const text = useTimeText();
  return (
    <time dateTime={value} title={utcTitle(Date.parse(value))} className="av-time">
      {text(value, style)}
    </time>
  );
}

/** How long ago: relative under an hour, the clock time after that. */
export function Since({ value }: { value: string }) {
  const t = useUiText();
  const text = useTimeText();
  const at = Date.parse(value);
  // what is minutes old need not be looked at every second
  const coarse = useNow(15_000);
  const now = useNow(agoChangesIn(at, coarse) > 1000 ? 15_000 : 1000);
  const passed = ago(at, now);
  return (
    <time dateTime={value} title={utcTitle(at)} className="av-time">
      {passed.unit === 'now'
        ? t('ago.now')
        : passed.unit === 'clock'
          ? text(at)
          : t(`ago.${passed.unit}`, { count: passed.count })}
    </time>
  );
}
