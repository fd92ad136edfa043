import { useSyncExternalStore } from 'react';

interface Ticker {
  now: number;
  listeners: Set<() => void>;
  timer: ReturnType<typeof setInterval> | undefined;
}
const tickers = new Map<number, Ticker>();

function tickerOf(intervalMs: number): Ticker {
  let ticker = tickers.get(intervalMs);
  if (ticker === undefined) {
    ticker = { now: Date.now(), listeners: new Set(), timer: undefined };
    tickers.set(intervalMs, ticker);
  }
  return ticker;
}

function subscribe(intervalMs: number, listener: () => void): () => void {
  const ticker = tickerOf(intervalMs);
  ticker.listeners.add(listener);
  ticker.now = Date.now();
  ticker.timer ??= setInterval(() => {
    ticker.now = Date.now();
    ticker.listeners.forEach((tell) => tell());
  }, intervalMs);
  return () => {
    ticker.listeners.delete(listener);
    if (ticker.listeners.size === 0) {
      clearInterval(ticker.timer);
      ticker.timer = undefined;
    }
  };
}

const subscribers = new Map<number, (listener: () => void) => () => void>();

/** The present moment, shared by everything on the page that looks with the same interval: one timer for all. */
export function useNow(intervalMs = 1000): number {
  let subscriber = subscribers.get(intervalMs);
  if (subscriber === undefined) {
    subscriber = (listener) => subscribe(intervalMs, listener);
    subscribers.set(intervalMs, subscriber);
  }
  return useSyncExternalStore(subscriber, () => {
    const ticker = tickerOf(intervalMs);
    // nobody's timer runs yet: a stale moment would show "just now" for what is old
    if (ticker.timer === undefined && Date.now() - ticker.now > intervalMs) {
      ticker.now = Date.now();
    }
    return ticker.now;
  });
}
