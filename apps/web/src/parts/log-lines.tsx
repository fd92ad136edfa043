import { useTimeText } from '#libs/ui';
import { Button } from '@mantine/core';
import { memo, useEffect, useRef, useState } from 'react';
import { linesSince, type ShownLine } from '../domain/log-lines.js';
import { useT } from '../i18n/use-text.js';

/** Lines of a log in a box of their own, at its end until its reader scrolls up. */
export function LogLines({ lines, empty }: { lines: readonly ShownLine[]; empty: string | null }) {
  const t = useT();
  const time = useTimeText();
  const box = useRef<HTMLDivElement>(null);
  // the id the next line had when the reader scrolled up
  const [heldFrom, setHeldFrom] = useState<number | null>(null);
  useEffect(() => {
    if (heldFrom === null && box.current !== null) {
      box.current.scrollTop = box.current.scrollHeight;
    }
  }, [lines, heldFrom]);
  if (lines.length === 0) {
    return empty === null ? null : <p className="av-muted">{empty}</p>;
  }
  const nextId = (lines.at(-1)?.id ?? -1) + 1;
  const fresh = heldFrom === null ? 0 : linesSince({ lines }, heldFrom);
  return (
    <div className="aw-log-frame">
      {/* a scrolling region must be reachable by keyboard; its reader's scrolling up holds it */}
      <section
        ref={box}
        className="aw-log"
        // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
        tabIndex={0}
        aria-label={t('logs.title')}
        onScroll={({ currentTarget: { scrollTop, scrollHeight, clientHeight } }) => {
          const away = scrollHeight - scrollTop - clientHeight > 40;
          setHeldFrom((before) => (away ? (before ?? nextId) : null));
        }}
      >
        {lines.map((line) => (
          <Line key={line.id} line={line} time={line.kind === 'line' ? time(line.at, 'seconds') : ''} />
        ))}
      </section>
      {heldFrom === null ? null : (
        <Button
          className="aw-log-end"
          size="compact-sm"
          onClick={() => {
            setHeldFrom(null);
            box.current?.focus();
          }}
        >
          {fresh === 0 ? t('logs.toEnd') : t('logs.toEndNew', { count: fresh })}
        </Button>
      )}
    </div>
  );
}

const Line = memo(function Line({ line, time }: { line: ShownLine; time: string }) {
  const t = useT();
  if (line.kind === 'gap') {
    return <div data-kind="gap">{t('logs.gap', { count: line.dropped })}</div>;
  }
  if (line.kind === 'end') {
    return <div data-kind="end">{t('logs.end')}</div>;
  }
  return (
    <div data-kind={line.stream}>
      <time dateTime={line.at} title={line.at}>
        {time}
      </time>{' '}
      {line.stream === 'err' ? (
        <>
          <span aria-hidden>! </span>
          <span className="av-hidden">{t('logs.error')}: </span>
        </>
      ) : null}
      {line.text}
    </div>
  );
});
