import { useEffect, type ReactNode } from 'react';
import { useTranslation } from 'react-i18next';

/** Title in the tab with the mode first, so that a paper tab cannot be taken for another. */
export function useTitle(page: string): void {
  const { t } = useTranslation();
  useEffect(() => {
    document.title = t('app.title', { mode: t('app.paper'), page });
  }, [page, t]);
}

export interface PageHeadProps {
  title: ReactNode;
  /** Colour of the perch: a tone of the status vocabulary. */
  tone?: string;
  aside?: ReactNode;
  children?: ReactNode;
}

/** The perch ▌, the title, and what can be done here. */
export function PageHead({ title, tone = 'work', aside, children }: PageHeadProps) {
  return (
    <header className="page-head">
      <div className="page-head-line">
        <h1 className="perch" style={{ '--perch': `var(--aviary-${tone})` } as React.CSSProperties}>
          {title}
        </h1>
        {children}
      </div>
      {aside === undefined ? null : <div className="page-head-aside">{aside}</div>}
    </header>
  );
}
