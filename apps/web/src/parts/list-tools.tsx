import { useShortcuts } from '#libs/ui';
import { Button, NativeSelect, TextInput } from '@mantine/core';
import { IconSearch } from '@tabler/icons-react';
import { useEffect, useEffectEvent, useRef, useState, type ReactNode } from 'react';
import { useT } from '../i18n/use-text.js';

export interface SearchFieldProps {
  value: string;
  onChange: (value: string) => void;
  label: string;
}

/** Search as typed, after a short rest; `/` comes here. The address holds the value, so a reload keeps it. */
export function SearchField({ value, onChange, label }: SearchFieldProps) {
  const t = useT();
  const input = useRef<HTMLInputElement>(null);
  const [typed, setTyped] = useState(value);
  const apply = useEffectEvent(() => {
    if (typed !== value) {
      onChange(typed);
    }
  });
  useEffect(() => {
    const timer = setTimeout(() => apply(), 250);
    return () => clearTimeout(timer);
  }, [typed]);
  useShortcuts([{ keys: '/', label: t('nav.search'), run: () => input.current?.focus() }]);
  return (
    <TextInput
      ref={input}
      type="search"
      aria-label={label}
      placeholder={label}
      leftSection={<IconSearch size={16} aria-hidden />}
      value={typed}
      onChange={(event) => setTyped(event.currentTarget.value)}
      className="aw-search"
    />
  );
}

export interface ChoiceProps<T extends string> {
  label: string;
  any: string;
  value: T | undefined;
  options: readonly { value: T; label: string }[];
  onChange: (value: T | undefined) => void;
}

export function Choice<T extends string>({ label, any, value, options, onChange }: ChoiceProps<T>) {
  return (
    <NativeSelect
      aria-label={label}
      value={value ?? ''}
      data={[{ value: '', label: any }, ...options]}
      onChange={(event) => onChange(options.find((option) => option.value === event.currentTarget.value)?.value)}
      className="aw-choice"
    />
  );
}

export interface MoreProps {
  shown: number;
  hasMore: boolean;
  loading: boolean;
  onMore: () => void;
}

/** Below a list: how many are shown, and the next fifty. */
export function More({ shown, hasMore, loading, onMore }: MoreProps) {
  const t = useT();
  return (
    <div className="aw-more">
      <span className="av-muted av-small">
        {hasMore ? t('list.countMore', { count: shown }) : t('list.count', { count: shown })}
      </span>
      {hasMore ? (
        <Button variant="default" size="xs" onClick={onMore} loading={loading}>
          {t('list.more')}
        </Button>
      ) : null}
    </div>
  );
}

/** `j` and `k` walk the rows of the list inside; Enter opens, as on any link. */
export function Rows({ children }: { children: ReactNode }) {
  const t = useT();
  const box = useRef<HTMLDivElement>(null);
  function move(by: 1 | -1): void {
    const links = [...(box.current?.querySelectorAll<HTMLElement>('[data-row-link]') ?? [])];
    const at = links.findIndex((link) => link === document.activeElement);
    const next = at === -1 ? (by === 1 ? 0 : links.length - 1) : at + by;
    links[Math.max(0, Math.min(links.length - 1, next))]?.focus();
  }
  useShortcuts([
    { keys: 'j', label: t('list.next'), run: () => move(1) },
    { keys: 'k', label: t('list.previous'), run: () => move(-1) },
  ]);
  return <div ref={box}>{children}</div>;
}
