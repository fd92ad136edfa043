import { useT } from '../i18n/i18n.js';

/** The mode as a word: beside every bot and in every dialog about one. */
export function ModeTag() {
  const t = useT();
  return <span className="mode-tag">{t('app.paper')}</span>;
}
