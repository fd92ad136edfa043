import { AccountEntity, TenantEntity, tx, type Database } from '#libs/db';
import { renderMail } from './notify/layout.js';
import type { OutboxService } from './outbox.service.js';

/**
 * Tells a stack's owner that it needs them, in the words its row has by now. Nothing is written when the stack is gone
 * or well again: what is not so any more needs nobody. `portalUrl` is an origin such as `https://aviary.example`.
 */
export async function mailStackTrouble(
  database: Database,
  outbox: OutboxService,
  { stackId, portalUrl }: { stackId: string; portalUrl: string },
): Promise<void> {
  await tx(database, async (db) => {
    const stack = await db.findOneBy(TenantEntity, { id: stackId });
    const owner = stack && (await db.findOneBy(AccountEntity, { id: stack.accountId }));
    if (!stack || !owner || stack.reason === null) {
      return;
    }
    const mail = renderMail({
      subject: `Your stack ${stack.name} needs attention`,
      greeting: `Hello ${owner.username},`,
      paragraphs: [`${stack.name} (${stack.slug}) does not run, and will not start by itself:`, stack.reason],
      button: { label: 'Open its page', url: `${portalUrl}/app/stacks/${stack.slug}` },
      notes: ['You get this once for what is said above, not each time it is looked at.'],
      portalUrl,
    });
    await outbox.put(db, owner.email, mail);
  });
}
