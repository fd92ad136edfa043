import type { StackLogLine } from '#libs/contracts';
import { logBatchSchema } from '#libs/contracts';
import { Panel, useTimeText } from '#libs/ui';
import { Button, SegmentedControl, TextInput } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useEffect, useRef, useState } from 'react';
import { useApi } from '../api/context.js';
import { useAuthorisedStream } from '../api/live.js';
import { EMPTY_LOG, withBatch, type ShownLine } from '../domain/log-lines.js';
import { useT } from '../i18n/use-text.js';
import { Loaded } from './loaded.js';

const SERVICES = ['runtime', 'postgres', 'redis'] as const;
type Service = (typeof SERVICES)[number];

/** What a stack's services write: live, paused, or searched. */
export function LogPanel({ slug }: { slug: string }) {
  const t = useT();
  const [service, setService] = useState<Service>('runtime');
  const [following, setFollowing] = useState(false);
  const [typed, setTyped] = useState('');
  const [q, setQ] = useState('');
  return (
    <Panel
      title={t('logs.title')}
      actions={
        <SegmentedControl
          size="xs"
          aria-label={t('logs.service')}
          value={service}
          onChange={(value) => setService(value as Service)}
          data={[...SERVICES]}
        />
      }
    >
      <form
        className="aw-log-tools"
        onSubmit={(event) => {
          event.preventDefault();
          setQ(typed.trim());
        }}
      >
        <TextInput
          size="xs"
          aria-label={t('logs.search')}
          placeholder={t('logs.search')}
          value={typed}
          onChange={(event) => setTyped(event.currentTarget.value)}
        />
        <Button type="submit" size="xs" variant="default">
          {t('logs.find')}
        </Button>
        <Button size="xs" variant="default" aria-pressed={following} onClick={() => setFollowing(!following)}>
          {following ? t('logs.pause') : t('logs.follow')}
        </Button>
      </form>
      {following ? (
        <Followed key={`${service} ${q}`} slug={slug} service={service} q={q} />
      ) : (
        <Read slug={slug} service={service} q={q} />
      )}
    </Panel>
  );
}

interface LogProps {
  slug: string;
  service: Service;
  q: string;
}

function Read({ slug, service, q }: LogProps) {
  const t = useT();
  const api = useApi();
  const query = useQuery({
    queryKey: ['logs', slug, service, q],
    queryFn: () => api.logs(slug, { service, q: q === '' ? undefined : q, tail: 200 }),
  });
  return (
    <Loaded query={query} failure={t('logs.loadFailed')}>
      {({ items, searched }) => (
        <>
          {q === '' ? null : <p className="av-muted av-small">{t('logs.found', { count: items.length, searched })}</p>}
          <Lines lines={items.map((line, id) => ({ kind: 'line', id, ...line }))} />
        </>
      )}
    </Loaded>
  );
}

function Followed({ slug, service, q }: LogProps) {
  const [log, setLog] = useState(EMPTY_LOG);
  const search = new URLSearchParams({ service, tail: '200', ...(q === '' ? {} : { q }) });
  useAuthorisedStream(`/stacks/${slug}/logs/events?${search.toString()}`, {
    onEvent: (event) => {
      const batch = event.type === 'lines' ? logBatchSchema.safeParse(JSON.parse(event.data)) : null;
      if (batch?.success) {
        setLog((before) => withBatch(before, batch.data));
      }
    },
    // What is missed meanwhile comes with the last lines the stream begins with.
    onReconnect: () => undefined,
  });
  return <Lines lines={log.lines} />;
}

function Lines({ lines }: { lines: readonly ShownLine[] }) {
  const t = useT();
  const time = useTimeText();
  const box = useRef<HTMLDivElement>(null);
  const [held, setHeld] = useState(false);
  useEffect(() => {
    if (!held && box.current !== null) {
      box.current.scrollTop = box.current.scrollHeight;
    }
  }, [lines, held]);
  if (lines.length === 0) {
    return <p className="av-muted">{t('logs.nothing')}</p>;
  }
  const words = ({ at, stream, text }: StackLogLine): string =>
    `${time(at, 'seconds')} ${stream === 'err' ? '! ' : ''}${text}`;
  return (
    <>
      {/* a scrolling region must be reachable by keyboard; its reader's scrolling up holds it */}
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex */}
      <section
        ref={box}
        className="aw-log"
        tabIndex={0}
        aria-label={t('logs.title')}
        onScroll={({ currentTarget: { scrollTop, scrollHeight, clientHeight } }) =>
          setHeld(scrollHeight - scrollTop - clientHeight > 40)
        }
      >
        {lines.map((line) => (
          <div key={line.id} data-gap={line.kind === 'gap' || undefined}>
            {line.kind === 'gap' ? t('logs.gap', { count: line.dropped }) : words(line)}
          </div>
        ))}
      </section>
      {held ? (
        <Button size="compact-xs" variant="default" onClick={() => setHeld(false)}>
          {t('logs.toEnd')}
        </Button>
      ) : null}
    </>
  );
}
