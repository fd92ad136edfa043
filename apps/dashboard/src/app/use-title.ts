import { useEffect } from 'react';
import { useT } from '../i18n/i18n.js';

/** Title of the tab with the mode first, so that a paper tab cannot be taken for another. */
export function useTitle(page: string): void {
  const t = useT();
  const title = t('app.title', { mode: t('app.paper'), page });
  useEffect(() => {
    document.title = title;
  }, [title]);
}
