import { IsNull, Not } from 'typeorm';
import { DOMAIN_AWAY_DAYS } from '#libs/contracts';
import { TenantDomainEntity, tx, type Database } from '#libs/db';
import type { Queue } from '#libs/jobs';
import { isTrusted } from './domain/own-domain.js';
import type { DomainClaim } from './domain-claims.js';

const DAY_MS = 86_400_000;

interface TellingDeps {
  dataSource: Database;
  queue: Pick<Queue, 'enqueue'>;
  /** Origin of the portal, for the link in the mail. */
  portalUrl: string;
}

/**
 * Has the owner told by mail, once, that a domain has been leading elsewhere for days, and once that it is back. One
 * that comes and goes stays below those days and is not told of.
 */
export async function tellOfDomain(deps: TellingDeps, claim: DomainClaim, now: Date): Promise<void> {
  const { id, tenantId, domain, awaySince, toldAwayAt } = claim;
  const isAway = awaySince !== null && now.getTime() - awaySince.getTime() >= DOMAIN_AWAY_DAYS * DAY_MS;
  const what = isAway && toldAwayAt === null ? 'away' : toldAwayAt !== null && isTrusted(claim, now) ? 'back' : null;
  if (what === null) {
    return;
  }
  claim.toldAwayAt = what === 'away' ? now : null;
  await tx(deps.dataSource, async (db) => {
    const { affected } = await db.update(
      TenantDomainEntity,
      { id, removedAt: IsNull(), toldAwayAt: what === 'away' ? IsNull() : Not(IsNull()) },
      { toldAwayAt: claim.toldAwayAt },
    );
    if (affected === 1) {
      await deps.queue.enqueue(db, 'mail.domain', { stackId: tenantId, domain, what, portalUrl: deps.portalUrl });
    }
  });
}
