import { IsNull } from 'typeorm';
import { DOMAIN_FORGOTTEN_DAYS, type JobPayload } from '#libs/contracts';
import { AccountEntity, TenantDomainEntity, TenantEntity, tx, type Database } from '#libs/db';
import { domainMessage } from '#libs/tenants';
import { renderMail } from './notify/layout.js';
import type { OutboxService } from './outbox.service.js';

/**
 * Tells the owner of a domain that it leads elsewhere, or here again, in the words its row has by now. Nothing is
 * written where that is not so any more, or where the domain was removed.
 */
export async function mailDomain(
  database: Database,
  outbox: OutboxService,
  { stackId, domain, what, portalUrl }: JobPayload<'mail.domain'>,
): Promise<void> {
  await tx(database, async (db) => {
    const stack = await db.findOneBy(TenantEntity, { id: stackId });
    const owner = stack && (await db.findOneBy(AccountEntity, { id: stack.accountId }));
    const claim = await db.findOneBy(TenantDomainEntity, { tenantId: stackId, domain, removedAt: IsNull() });
    if (!stack || !owner || !claim || (what === 'away') !== (claim.awaySince !== null)) {
      return;
    }
    const name = `${stack.name} (${stack.slug})`;
    const common = {
      greeting: `Hello ${owner.username},`,
      button: { label: 'Open its page', url: `${portalUrl}/app/stacks/${stack.slug}` },
      portalUrl,
    };
    const mail =
      claim.awaySince === null
        ? renderMail({
            ...common,
            subject: `Your domain ${domain} leads to your dashboard again`,
            paragraphs: [`The dashboard of ${name} is at ${domain} again.`],
            notes: [],
          })
        : renderMail({
            ...common,
            subject: `Your domain ${domain} does not lead to your dashboard`,
            paragraphs: [
              `Since ${claim.awaySince.toISOString().slice(0, 10)} nobody can open the dashboard of ${name} at ${domain}. The stack runs on, and its own address works.`,
              domainMessage(claim.problem, claim.problemParams) ?? 'Its DNS was not seen to be right.',
              `After ${DOMAIN_FORGOTTEN_DAYS} days its proof counts no more, and a new TXT record is asked for. If the domain is not yours any more, remove it from the stack.`,
            ],
            notes: ['You get this once, and one more mail when it is back.'],
          });
    await outbox.put(db, owner.email, mail);
  });
}
