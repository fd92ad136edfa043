import { LanguageSwitch, SchemeSwitch } from '#libs/ui';
import type { ReactNode } from 'react';
import { useT } from '../i18n/use-text.js';
import { Brand } from '../shell/brand.js';

export interface AuthFrameProps {
  title: string;
  lead?: ReactNode;
  children: ReactNode;
  /** Below the form: the way to the other page. */
  footer?: ReactNode;
}

/** The pages before signing in: one column, no navigation. */
export function AuthFrame({ title, lead, children, footer }: AuthFrameProps) {
  const t = useT();
  return (
    <div className="aw-auth">
      <header className="aw-auth-head">
        <Brand label={t('brand')} />
        <div className="aw-auth-tools">
          <LanguageSwitch />
          <SchemeSwitch />
        </div>
      </header>
      <main id="content" className="aw-auth-main">
        <h1 className="av-perch">{title}</h1>
        {lead === undefined ? null : <p className="aw-lead">{lead}</p>}
        {children}
        {footer === undefined ? null : <footer className="aw-auth-foot">{footer}</footer>}
      </main>
    </div>
  );
}
