import { useEffect, useState } from 'react';

function read<T extends Record<string, string>>(key: string, initial: T): T {
  try {
    const stored: unknown = JSON.parse(globalThis.localStorage?.getItem(key) ?? 'null');
    if (typeof stored !== 'object' || stored === null) {
      return initial;
    }
    // only fields the form still has, and only text
    const known = Object.entries(stored).filter(([name, value]) => name in initial && typeof value === 'string');
    return { ...initial, ...Object.fromEntries(known) };
  } catch {
    return initial; // denied or damaged storage: start with an empty form
  }
}

/**
 * Fields of a form that survive reload, log-out and a failed submit. Never for passwords, tokens or codes: keep
 * those in plain state.
 */
export function useDraft<T extends Record<string, string>>(
  name: string,
  initial: T,
): { values: T; set: (field: keyof T & string, value: string) => void; clear: () => void } {
  const key = `aviary-draft-${name}`;
  const [values, setValues] = useState(() => read(key, initial));
  const [cleared, setCleared] = useState(false);
  useEffect(() => {
    try {
      if (cleared) {
        localStorage.removeItem(key);
      } else {
        localStorage.setItem(key, JSON.stringify(values));
      }
    } catch {
      // denied or full: the draft lives as long as the page
    }
  }, [key, values, cleared]);
  return {
    values,
    set: (field, value) => {
      setCleared(false);
      setValues((old) => ({ ...old, [field]: value }));
    },
    clear: () => setCleared(true),
  };
}
