import type { ReactNode } from 'react';
import { useMe } from '../api/context.js';
import { LinkButton } from './link-button.js';

/** Leads to the backups of a stack: an operator's way in the console, an owner's in their own pages. */
export function ToBackups({ slug, quiet = false, children }: { slug: string; quiet?: boolean; children: ReactNode }) {
  const operator = useMe()?.role === 'operator';
  return (
    <LinkButton
      to={operator ? '/console/stacks/$slug/backups' : '/app/stacks/$slug/backups'}
      params={{ slug }}
      {...(quiet ? { variant: 'default' } : {})}
      size="xs"
    >
      {children}
    </LinkButton>
  );
}
