import { logBatchSchema, type StackView } from '#libs/contracts';
import { Panel } from '#libs/ui';
import { Button, SegmentedControl, TextInput } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { useApi } from '../api/context.js';
import { useAuthorisedStream } from '../api/live.js';
import { EMPTY_LOG, MOST_LINES, withBatch } from '../domain/log-lines.js';
import type { Look } from '../domain/stack-look.js';
import { useT } from '../i18n/use-text.js';
import { Loaded } from './loaded.js';
import { LogLines } from './log-lines.js';

/** Lines shown at first. */
const TAIL = 200;

/** What a stack's services write: read, searched, followed live. */
export function LogPanel({ stack: { slug, services }, look, onLook }: { stack: StackView } & Look) {
  const t = useT();
  // one that this stack does not have is no filter
  const service = services.find((name) => name === look.service) ?? services[0];
  const q = look.q ?? '';
  // still: the last lines as they were; paused: what was followed stays, and goes on behind it
  const [mode, setMode] = useState<'still' | 'following' | 'paused'>('still');
  const [typed, setTyped] = useState(q);
  const search = (words: string): void => {
    setTyped(words);
    const wanted = words.trim();
    onLook({ q: wanted === '' ? undefined : wanted });
  };
  if (service === undefined) {
    return null;
  }
  return (
    <Panel
      title={t('logs.title')}
      actions={
        <SegmentedControl
          size="xs"
          aria-label={t('logs.service')}
          value={service}
          onChange={(value) => onLook({ service: value === services[0] ? undefined : value })}
          data={services}
        />
      }
    >
      <form
        className="aw-log-tools"
        onSubmit={(event) => {
          event.preventDefault();
          search(typed);
        }}
      >
        <TextInput
          size="xs"
          className="aw-log-search"
          aria-label={t('logs.search')}
          placeholder={t('logs.search')}
          maxLength={200}
          value={typed}
          onChange={(event) => setTyped(event.currentTarget.value)}
        />
        <Button type="submit" size="xs" variant="default">
          {t('logs.find')}
        </Button>
        {q === '' ? null : (
          <Button size="xs" variant="subtle" onClick={() => search('')}>
            {t('logs.clear')}
          </Button>
        )}
        <Button size="xs" variant="default" onClick={() => setMode(mode === 'following' ? 'paused' : 'following')}>
          {mode === 'following' ? t('logs.pause') : t('logs.follow')}
        </Button>
      </form>
      {mode === 'still' ? (
        <Still slug={slug} service={service} q={q} />
      ) : (
        <Followed key={`${service} ${q}`} slug={slug} service={service} q={q} paused={mode === 'paused'} />
      )}
    </Panel>
  );
}

interface LogProps {
  slug: string;
  service: string;
  q: string;
}

function Still({ slug, service, q }: LogProps) {
  const t = useT();
  const api = useApi();
  const query = useQuery({
    queryKey: ['logs', slug, service, q],
    queryFn: () => api.logs(slug, { service, q: q === '' ? undefined : q, tail: TAIL }),
  });
  return (
    <Loaded query={query} failure={t('logs.loadFailed')} missing={<p className="av-muted">{t('logs.noService')}</p>}>
      {({ items, searched }) => (
        <>
          {q === '' || items.length === 0 ? null : (
            <output className="av-small aw-log-note">{t('logs.found', { count: items.length, searched })}</output>
          )}
          <LogLines
            lines={items.map((line, id) => ({ kind: 'line', id, ...line }))}
            empty={q === '' ? t('logs.nothing') : t('logs.noMatch', { searched })}
          />
        </>
      )}
    </Loaded>
  );
}

type Connection = 'opening' | 'live' | 'away' | 'refused';

function Followed({ slug, service, q, paused }: LogProps & { paused: boolean }) {
  const t = useT();
  const [log, setLog] = useState(EMPTY_LOG);
  const [connection, setConnection] = useState<Connection>('opening');
  useAuthorisedStream(paused ? null : `/stacks/${slug}/logs/events`, {
    search: () => ({
      service,
      ...(q === '' ? {} : { q }),
      // behind what is shown: what was written while the stream or its reader paused is not lost
      ...(log.after === null ? { tail: String(TAIL) } : { tail: String(MOST_LINES), after: log.after }),
    }),
    onEvent: (event) => {
      const batch = event.type === 'lines' ? logBatchSchema.safeParse(JSON.parse(event.data)) : null;
      if (batch?.success) {
        setLog((before) => withBatch(before, batch.data));
      }
    },
    onHeard: () => setConnection('live'),
    onFailed: () => setConnection('away'),
    onRefused: () => setConnection('refused'),
  });
  const live = connection === 'live' && !paused;
  const words = {
    opening: t('logs.opening'),
    live: q === '' ? t('logs.waiting') : t('logs.waitingMatch'),
    away: t('logs.away'),
    refused: t('logs.noService'),
  };
  return (
    <>
      <output className="av-small aw-log-note" data-tone={live ? 'ok' : 'warn'}>
        {paused ? t('logs.paused') : live ? t('logs.live') : words[connection]}
      </output>
      <LogLines lines={log.lines} empty={live ? words.live : null} />
    </>
  );
}
