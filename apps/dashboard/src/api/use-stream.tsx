import type { StreamData, StreamEventType } from '#libs/contracts';
import { useLiveStream, type Liveness } from '#libs/ui';
import { useQueryClient, type QueryClient } from '@tanstack/react-query';
import { createContext, useContext, useEffect, useMemo, useRef, type ReactNode } from 'react';
import { request } from './http.js';
import { HANDLERS } from './live.js';

/** At most four value changes a second: more flickers and costs battery, and nobody reads faster. */
const FLUSH_MS = 250;

export interface Freshness {
  liveness: Liveness;
  /** What values are "as of"; null while they are live. */
  asOf: number | null;
}

const FreshnessContext = createContext<Freshness>({ liveness: 'connecting', asOf: null });
export const useFreshness = (): Freshness => useContext(FreshnessContext);

/** Whether a page may be showing what is no longer so: nothing is changed then on the strength of it. */
export function useUnsure(): boolean {
  const { liveness } = useFreshness();
  return liveness === 'stale' || liveness === 'offline';
}

interface Message {
  type: string;
  data: unknown;
}

function isKnown(type: string): type is StreamEventType {
  return Object.hasOwn(HANDLERS, type);
}

function apply(client: QueryClient, { type, data }: Message): void {
  if (isKnown(type)) {
    const handle = HANDLERS[type] as (client: QueryClient, data: StreamData<StreamEventType>) => void;
    handle(client, data as StreamData<StreamEventType>);
  }
}

/** One event stream a tab. Messages are gathered and patched into the query cache a few times a second. */
export function StreamProvider({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const pending = useRef<Message[]>([]);
  const opened = useRef(false);
  const timer = useRef<ReturnType<typeof setTimeout> | null>(null);

  useEffect(
    () => () => {
      if (timer.current !== null) {
        clearTimeout(timer.current);
      }
    },
    [],
  );

  const { liveness, heardAt } = useLiveStream({
    url: '/api/v1/stream',
    onEvent: ({ type, data }) => {
      pending.current.push({ type, data: JSON.parse(data) as unknown });
      timer.current ??= setTimeout(() => {
        timer.current = null;
        const messages = pending.current;
        pending.current = [];
        messages.forEach((message) => apply(client, message));
      }, FLUSH_MS);
    },
    // what happened meanwhile may be longer ago than the stream repeats
    onReconnect: () => void client.invalidateQueries(),
    headers: async () => {
      // a stream cannot say why it ended; an ordinary request can, and goes to sign in when the session did
      if (opened.current) {
        await request('/me');
      }
      opened.current = true;
      return {};
    },
  });

  // while live this stays null, so that a heartbeat does not draw every page anew
  const asOf = liveness === 'live' ? null : heardAt;
  const freshness = useMemo(() => ({ liveness, asOf }), [liveness, asOf]);
  return <FreshnessContext value={freshness}>{children}</FreshnessContext>;
}
