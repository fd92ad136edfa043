import { useEffect, useEffectEvent, useState } from 'react';
import { useNow } from '../time/use-now.js';
import { livenessOf, type Liveness } from './liveness.js';
import { openLiveStream, type LiveStreamOptions } from './live-stream.js';

export interface UseLiveStreamOptions extends Omit<LiveStreamOptions, 'url'> {
  /** null: no stream is wanted now. */
  url: string | null;
}

export interface LiveState {
  liveness: Liveness;
  /** When anything was last heard, for "as of …". */
  heardAt: number | null;
}

/** Keeps one stream open while the page is: reconnects, asks for what it missed, and says how fresh the page is. */
export function useLiveStream({ url, ...options }: UseLiveStreamOptions): LiveState {
  const [heardAt, setHeardAt] = useState<number | null>(null);
  const [startedAt, setStartedAt] = useState(() => Date.now());
  const online = useOnline();
  const now = useNow(1000);

  const onEvent = useEffectEvent(options.onEvent);
  const onReconnect = useEffectEvent(() => options.onReconnect?.());
  const onRefused = useEffectEvent((status: number) => options.onRefused?.(status));
  const onFailed = useEffectEvent(() => options.onFailed?.());
  const search = useEffectEvent(() => options.search?.() ?? {});
  const onHeard = useEffectEvent(() => options.onHeard?.());
  const headers = useEffectEvent(async () => (await options.headers?.()) ?? {});

  useEffect(() => {
    if (url === null) {
      return undefined;
    }
    const stream = openLiveStream({
      url,
      search: () => search(),
      headers: () => headers(),
      onEvent: (event) => onEvent(event),
      onReconnect: () => onReconnect(),
      onRefused: (status) => onRefused(status),
      onFailed: () => onFailed(),
      onOpening: () => {
        setHeardAt(null);
        setStartedAt(Date.now());
      },
      onHeard: () => {
        setHeardAt(Date.now());
        onHeard();
      },
    });
    // a laptop that wakes, or a network that returns, must not wait out a back-off
    const wake = (): void => stream.wake();
    window.addEventListener('online', wake);
    document.addEventListener('visibilitychange', wake);
    return () => {
      window.removeEventListener('online', wake);
      document.removeEventListener('visibilitychange', wake);
      stream.stop();
    };
  }, [url]);

  return { liveness: livenessOf({ heardAt, startedAt, online }, now), heardAt };
}

export function useOnline(): boolean {
  const [online, setOnline] = useState(() => navigator.onLine);
  useEffect(() => {
    const update = (): void => setOnline(navigator.onLine);
    window.addEventListener('online', update);
    window.addEventListener('offline', update);
    return () => {
      window.removeEventListener('online', update);
      window.removeEventListener('offline', update);
    };
  }, []);
  return online;
}
