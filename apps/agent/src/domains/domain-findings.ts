import { DOMAIN_AWAY_DAYS } from '#libs/contracts';
import type { Finding } from '#libs/jobs';
import { domainMessage, type DomainClaim } from '#libs/tenants';

const DAY_MS = 86_400_000;

/** Domains that have led elsewhere for days: their owners may not know, and nobody is served there. */
export function awayFindings(proven: readonly DomainClaim[], now: Date): Finding[] {
  const limit = now.getTime() - DOMAIN_AWAY_DAYS * DAY_MS;
  return proven.flatMap(({ domain, slug, awaySince, problem, problemParams }) =>
    awaySince !== null && awaySince.getTime() <= limit
      ? [
          {
            key: `domain/${slug}/${domain}`,
            code: 'DOMAIN_AWAY' as const,
            severity: 'warning' as const,
            message:
              `${domain} of ${slug} has not led here since ${awaySince.toISOString().slice(0, 10)}, so its certificate is not renewed. ${domainMessage(problem, problemParams) ?? ''}`.trim(),
            params: { domain, slug, since: awaySince.toISOString() },
          },
        ]
      : [],
  );
}

/** Domains that no route file may carry, such as one below a zone that became the platform's own. */
export function unroutedFindings(claims: readonly DomainClaim[]): Finding[] {
  return claims.map(({ domain, slug }) => ({
    key: `domain/${slug}/${domain}/route`,
    code: 'DOMAIN_UNROUTED' as const,
    severity: 'warning' as const,
    message: `${domain} of ${slug} is left out of the stack's route, because no route may carry it: it may have become a name of the platform's own. The stack itself is served. Remove the domain, or tell its owner to.`,
    params: { domain, slug },
  }));
}
