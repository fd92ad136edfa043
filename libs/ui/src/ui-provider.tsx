import { MantineProvider } from '@mantine/core';
import { Notifications } from '@mantine/notifications';
import type { i18n } from 'i18next';
import { useEffect, type ReactNode } from 'react';
import { I18nextProvider } from 'react-i18next';
import { ShortcutsProvider } from './keyboard/shortcuts.js';
import { cssVariablesResolver, theme } from './theme/theme.js';

/** Everything the components of this library stand on; once, around the whole app. */
export function UiProvider({ i18n: instance, children }: { i18n: i18n; children: ReactNode }) {
  useEffect(() => {
    const follow = (language: string): void => {
      document.documentElement.lang = language;
    };
    follow(instance.language);
    instance.on('languageChanged', follow);
    return () => instance.off('languageChanged', follow);
  }, [instance]);
  return (
    <I18nextProvider i18n={instance}>
      <MantineProvider theme={theme} cssVariablesResolver={cssVariablesResolver} defaultColorScheme="auto">
        <Notifications position="bottom-center" autoClose={8000} />
        <ShortcutsProvider>{children}</ShortcutsProvider>
      </MantineProvider>
    </I18nextProvider>
  );
}
