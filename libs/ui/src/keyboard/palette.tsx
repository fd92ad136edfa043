/* oxlint-disable jsx-a11y/prefer-tag-over-role -- no element of HTML is a list that a field searches */
import { Kbd, Modal, TextInput } from '@mantine/core';
import { useId, useState, type KeyboardEvent } from 'react';
import { useUiText } from '../i18n/i18n.js';
import { findCommands } from './find.js';

interface Entry {
  label: string;
  keys?: string;
  run: () => void;
}

export interface PaletteProps {
  opened: boolean;
  onClose: () => void;
  commands: readonly Entry[];
}

/** As many as are read at a glance; typing brings the others. */
const SHOWN = 10;

/** Every page and action of the moment by name: type, choose with the arrows, Enter. */
export function Palette({ opened, onClose, commands }: PaletteProps) {
  const t = useUiText();
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      title={t('palette.open')}
      size={520}
      yOffset="12vh"
      className="av-dialog av-palette"
      closeButtonProps={{ 'aria-label': t('close') }}
    >
      <Search commands={commands} onClose={onClose} />
    </Modal>
  );
}

function Search({ commands, onClose }: Omit<PaletteProps, 'opened'>) {
  const t = useUiText();
  const list = useId();
  const [typed, setTyped] = useState('');
  const [chosen, setChosen] = useState(0);
  const found = findCommands(commands, typed).slice(0, SHOWN);
  const at = Math.min(chosen, found.length - 1);

  function run(entry: Entry | undefined): void {
    if (entry !== undefined) {
      onClose();
      entry.run();
    }
  }
  function onKey(event: KeyboardEvent): void {
    const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
    if (step !== 0 && found.length > 0) {
      event.preventDefault();
      setChosen((at + step + found.length) % found.length);
    } else if (event.key === 'Enter') {
      event.preventDefault();
      run(found[at]);
    }
  }
  return (
    <>
      <TextInput
        data-autofocus
        label={t('palette.label')}
        role="combobox"
        aria-expanded
        aria-controls={list}
        aria-activedescendant={found.length === 0 ? undefined : `${list}-${at}`}
        autoComplete="off"
        spellCheck={false}
        value={typed}
        onChange={(event) => {
          setTyped(event.currentTarget.value);
          setChosen(0);
        }}
        onKeyDown={onKey}
      />
      {/* a listbox of a combobox: the field keeps the focus, so options are no buttons */}
      <div id={list} role="listbox" aria-label={t('palette.results')} className="av-palette-list">
        {found.map((entry, index) => (
          // oxlint-disable-next-line jsx-a11y/click-events-have-key-events, jsx-a11y/interactive-supports-focus
          <div
            key={`${entry.label} ${entry.keys ?? ''}`}
            id={`${list}-${index}`}
            role="option"
            aria-selected={index === at}
            className="av-palette-entry"
            onMouseMove={() => setChosen(index)}
            onClick={() => run(entry)}
          >
            <span>{entry.label}</span>
            {entry.keys === undefined ? null : (
              <span className="av-palette-keys" aria-hidden>
                {entry.keys.split(' ').map((key, place) => (
                  <Kbd key={`${key} ${place === 0 ? 'first' : 'second'}`}>{key}</Kbd>
                ))}
              </span>
            )}
          </div>
        ))}
      </div>
      {found.length === 0 ? <p className="av-muted">{t('palette.none')}</p> : null}
    </>
  );
}
