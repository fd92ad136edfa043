import { Tooltip } from '@mantine/core';
import { useUiText } from '../i18n/i18n.js';
import type { LiveState } from '../live/use-live-stream.js';
import { useTimeText } from './time.js';

/** The dot in the header. A live one is quiet, every other one says its word. */
export function ConnectionDot({ liveness, heardAt }: LiveState) {
  const t = useUiText();
  const time = useTimeText();
  const old = (liveness === 'stale' || liveness === 'offline') && heardAt !== null;
  return (
    <Tooltip label={t(`connection.${liveness}Hint`)} multiline maw={260}>
      <output className="av-dot" data-liveness={liveness}>
        <i aria-hidden />
        <span className="av-dot-word">
          {t(`connection.${liveness}`)}
          {old ? <span className="av-dot-asof"> · {t('asOf', { time: time(heardAt, 'seconds') })}</span> : null}
        </span>
      </output>
    </Tooltip>
  );
}
