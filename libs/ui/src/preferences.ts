import { useSyncExternalStore } from 'react';

/** A choice kept in this browser; a denied or full storage leaves it in memory. */
export interface Preference<T extends string> {
  get: () => T;
  set: (value: T) => void;
  subscribe: (listener: () => void) => () => void;
}

function read(key: string): string | null {
  try {
    return globalThis.localStorage?.getItem(key) ?? null;
  } catch {
    return null; // denied storage: the default is used
  }
}

function write(key: string, value: string): void {
  try {
    globalThis.localStorage?.setItem(key, value);
  } catch {
    // denied or full: the choice lasts as long as the page
  }
}

export function createPreference<T extends string>(key: string, allowed: readonly T[], fallback: T): Preference<T> {
  const listeners = new Set<() => void>();
  const parse = (text: string | null): T => allowed.find((value) => value === text) ?? fallback;
  let current = parse(read(key));
  const tell = (): void => listeners.forEach((listener) => listener());
  // another tab's change moves this one too
  globalThis.addEventListener?.('storage', (event: StorageEvent) => {
    if (event.key === key) {
      current = parse(event.newValue);
      tell();
    }
  });
  return {
    get: () => current,
    set: (value) => {
      current = value;
      write(key, value);
      tell();
    },
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

export function usePreference<T extends string>(preference: Preference<T>): [T, (value: T) => void] {
  const value = useSyncExternalStore(preference.subscribe, preference.get, preference.get);
  return [value, preference.set];
}
