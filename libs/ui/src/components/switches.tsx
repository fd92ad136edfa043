import { ActionIcon, NativeSelect, Tooltip, useComputedColorScheme, useMantineColorScheme } from '@mantine/core';
import { IconMoon, IconSun } from '@tabler/icons-react';
import { useTranslation } from 'react-i18next';
import { LANGUAGE_NAMES, useUiText } from '../i18n/i18n.js';
import { useZone, zoneLabel } from '../time/zone.js';

/** Follows the system until pressed. */
export function SchemeSwitch() {
  const t = useUiText();
  const { setColorScheme } = useMantineColorScheme();
  const dark = useComputedColorScheme('light') === 'dark';
  const label = dark ? t('scheme.toLight') : t('scheme.toDark');
  return (
    <Tooltip label={label}>
      <ActionIcon variant="subtle" size="lg" aria-label={label} onClick={() => setColorScheme(dark ? 'light' : 'dark')}>
        {dark ? <IconSun size={18} aria-hidden /> : <IconMoon size={18} aria-hidden />}
      </ActionIcon>
    </Tooltip>
  );
}

/** Names the zone all times are shown in; a press moves all of them between local and UTC. */
export function ZoneSwitch() {
  const t = useUiText();
  const zone = useZone();
  const local = zone.choice === 'local';
  const label = local ? t('zone.local', { zone: zone.name }) : t('zone.utc', { zone: zoneLabel('local') });
  return (
    <Tooltip label={label}>
      <button
        type="button"
        className="av-zone"
        aria-label={label}
        onClick={() => zone.setChoice(local ? 'utc' : 'local')}
      >
        {zone.label}
      </button>
    </Tooltip>
  );
}

export function LanguageSwitch() {
  const t = useUiText();
  const { i18n } = useTranslation();
  const languages = Object.keys(i18n.options.resources ?? { en: {} });
  // a choice of one is none
  return languages.length < 2 ? null : (
    <NativeSelect
      aria-label={t('language')}
      className="av-language"
      size="xs"
      value={i18n.resolvedLanguage ?? 'en'}
      data={languages.map((value) => ({ value, label: LANGUAGE_NAMES[value] ?? value }))}
      onChange={(event) => void i18n.changeLanguage(event.currentTarget.value)}
    />
  );
}
