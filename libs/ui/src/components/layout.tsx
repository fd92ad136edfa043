import type { Tone } from '#libs/contracts';
import type { ReactNode } from 'react';

export interface PageTitleProps {
  children: ReactNode;
  /** Colours the perch; without a state it is the brand's. */
  tone?: Tone;
  /** Beside the title: state, since, checked. */
  facts?: ReactNode;
  actions?: ReactNode;
  /** Names, slugs and ids are set in the monospaced face. */
  mono?: boolean;
}

/** The page's heading on its perch; sets no document title, routes do. */
export function PageTitle({ children, tone, facts, actions, mono = false }: PageTitleProps) {
  return (
    <header className="av-title">
      <div className="av-title-main">
        <h1 className={mono ? 'av-perch av-mono' : 'av-perch'} data-tone={tone}>
          {children}
        </h1>
        {facts === undefined ? null : <div className="av-title-facts">{facts}</div>}
      </div>
      {actions === undefined ? null : <div className="av-title-actions">{actions}</div>}
    </header>
  );
}

export interface PanelProps {
  title?: ReactNode;
  /** Right of the title. */
  actions?: ReactNode;
  children: ReactNode;
  /** Content touches the borders: tables and lists. */
  flush?: boolean;
  tone?: Tone;
}

export function Panel({ title, actions, children, flush = false, tone }: PanelProps) {
  return (
    <section className="av-panel" data-tone={tone}>
      {title === undefined ? null : (
        <div className="av-panel-head">
          <h2>{title}</h2>
          {actions}
        </div>
      )}
      <div className={flush ? 'av-panel-flush' : 'av-panel-body'}>{children}</div>
    </section>
  );
}

export interface EmptyStateProps {
  /** One sentence: why there is nothing. */
  children: ReactNode;
  title: string;
  /** The page has no other heading. */
  page?: boolean;
  /** One action. */
  action?: ReactNode;
  /** A small real example of what will stand here. */
  example?: ReactNode;
}

export function EmptyState({ title, page = false, children, action, example }: EmptyStateProps) {
  return (
    <div className="av-empty">
      <div className="av-empty-rungs" aria-hidden>
        <i />
        <i />
        <i />
      </div>
      {page ? <h1>{title}</h1> : <h2>{title}</h2>}
      <p>{children}</p>
      {action}
      {example === undefined ? null : <div className="av-empty-example">{example}</div>}
    </div>
  );
}

/** Facts as term and value; columns on wide screens, rows on a phone. */
export function Facts({ items }: { items: readonly { term: ReactNode; value: ReactNode }[] }) {
  return (
    <dl className="av-facts">
      {items.map((item, index) => (
        // facts are a fixed list per page, so their place is their identity
        // oxlint-disable-next-line react/no-array-index-key
        <div key={index}>
          <dt>{item.term}</dt>
          <dd>{item.value}</dd>
        </div>
      ))}
    </dl>
  );
}
