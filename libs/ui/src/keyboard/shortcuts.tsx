import { Kbd, Switch } from '@mantine/core';
import {
  createContext,
  Fragment,
  useContext,
  useEffect,
  useEffectEvent,
  useId,
  useMemo,
  useRef,
  useState,
  type ReactNode,
} from 'react';
import { Dialog } from '../components/dialog.js';
import { useUiText } from '../i18n/i18n.js';
import { createPreference, usePreference } from '../preferences.js';
import { pressKey, type Pending } from './match.js';
import { Palette } from './palette.js';

export interface Command {
  label: string;
  run: () => void;
}

export interface Shortcut extends Command {
  /** `?`, `/`, or two keys one after the other: `g s`. */
  keys: string;
}

interface Registry {
  register: (owner: string, commands: readonly (Command | Shortcut)[]) => void;
  remove: (owner: string) => void;
  openSheet: () => void;
}

const RegistryContext = createContext<Registry | null>(null);
const singleKeys = createPreference<'on' | 'off'>('aviary-keys', ['on', 'off'], 'on');

function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))
  );
}

/** Holds the shortcuts of everything on the screen, listens, and shows them on `?`. */
export function ShortcutsProvider({ children }: { children: ReactNode }) {
  const t = useUiText();
  const [owned, setOwned] = useState<ReadonlyMap<string, readonly (Command | Shortcut)[]>>(new Map());
  const [sheet, setSheet] = useState(false);
  const [palette, setPalette] = useState(false);
  const [single, setSingle] = usePreference(singleKeys);
  const pending = useRef<Pending | null>(null);

  const registry = useMemo<Registry>(
    () => ({
      register: (owner, commands) => setOwned((old) => new Map(old).set(owner, commands)),
      remove: (owner) =>
        setOwned((old) => {
          const next = new Map(old);
          next.delete(owner);
          return next;
        }),
      openSheet: () => setSheet(true),
    }),
    [],
  );

  const commands = [...owned.values()].flat();
  const shortcuts = commands.filter((command): command is Shortcut => 'keys' in command);
  const onKey = useEffectEvent((event: KeyboardEvent) => {
    if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === 'k') {
      event.preventDefault();
      setPalette((open) => !open);
      return;
    }
    if (single === 'off') {
      return;
    }
    const all: Shortcut[] = [...shortcuts, { keys: '?', label: t('keys.help'), run: () => setSheet(true) }];
    const press = {
      key: event.key,
      at: event.timeStamp,
      modified: event.ctrlKey || event.altKey || event.metaKey,
      typing: isTyping(event.target),
    };
    const result = pressKey(
      all.map((shortcut) => shortcut.keys),
      pending.current,
      press,
    );
    pending.current = result.pending;
    const found = all.find((shortcut) => shortcut.keys === result.matched);
    if (found !== undefined) {
      event.preventDefault();
      found.run();
    }
  });

  useEffect(() => {
    const listener = (event: KeyboardEvent): void => onKey(event);
    window.addEventListener('keydown', listener);
    return () => window.removeEventListener('keydown', listener);
  }, []);

  return (
    <RegistryContext value={registry}>
      {children}
      <Dialog opened={sheet} onClose={() => setSheet(false)} title={t('keys.title')}>
        <dl className="av-keys">
          {[
            ...shortcuts,
            { keys: '?', label: t('keys.help') },
            { keys: t('palette.keys'), label: t('palette.open') },
          ].map((shortcut) => (
            <div key={`${shortcut.keys} ${shortcut.label}`}>
              <dt>{shortcut.label}</dt>
              <dd>
                {shortcut.keys.split(' ').map((key, index) => (
                  <Fragment key={key}>
                    {index > 0 ? <span className="av-keys-then"> {t('keys.followedBy')} </span> : null}
                    <Kbd>{key}</Kbd>
                  </Fragment>
                ))}
              </dd>
            </div>
          ))}
        </dl>
        <Switch
          withThumbIndicator={false}
          label={t('keys.single')}
          description={t('keys.singleHint')}
          checked={single === 'on'}
          onChange={(event) => setSingle(event.currentTarget.checked ? 'on' : 'off')}
        />
      </Dialog>
      <Palette opened={palette} onClose={() => setPalette(false)} commands={commands} />
    </RegistryContext>
  );
}

function useRegistry(): Registry {
  const registry = useContext(RegistryContext);
  if (registry === null) {
    throw new Error('ShortcutsProvider is missing above this component.');
  }
  return registry;
}

/** Shortcuts that exist while the component does. Labels and keys decide identity; `run` may change freely. */
export function useShortcuts(shortcuts: readonly Shortcut[]): void {
  const owner = useId();
  const registry = useRegistry();
  const run = useEffectEvent((keys: string) => shortcuts.find((shortcut) => shortcut.keys === keys)?.run());
  const identity = shortcuts.map((shortcut) => `${shortcut.keys}\t${shortcut.label}`).join('\n');
  useEffect(() => {
    const lines = identity === '' ? [] : identity.split('\n').map((line) => line.split('\t'));
    registry.register(
      owner,
      lines.map(([keys = '', label = '']) => ({ keys, label, run: () => run(keys) })),
    );
    return () => registry.remove(owner);
  }, [owner, registry, identity]);
}

/** Commands without keys of their own, found by name in the palette (Ctrl or ⌘ and K). Labels decide identity. */
export function useCommands(commands: readonly Command[]): void {
  const owner = useId();
  const registry = useRegistry();
  const run = useEffectEvent((label: string) => commands.find((command) => command.label === label)?.run());
  const identity = commands.map((command) => command.label).join('\n');
  useEffect(() => {
    const labels = identity === '' ? [] : identity.split('\n');
    registry.register(
      owner,
      labels.map((label) => ({ label, run: () => run(label) })),
    );
    return () => registry.remove(owner);
  }, [owner, registry, identity]);
}

/** Opens the `?` sheet from a button, for those who do not know the key yet. */
export function useShortcutSheet(): () => void {
  return useRegistry().openSheet;
}
