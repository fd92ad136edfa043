import { AccountEntity, StackWarningEntity, TenantEntity, tx, type Database } from '#libs/db';
import { renderMail } from './notify/layout.js';
import type { OutboxService } from './outbox.service.js';

const SUBJECTS = { disk: 'its disk', memory: 'its memory', ended: 'a service ended' } as const;

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

/** Tells a stack's owner of a warning, in the words its row has by now; nothing is written when it is over. */
export async function mailStackWarning(
  database: Database,
  outbox: OutboxService,
  { stackId, kind, portalUrl }: { stackId: string; kind: StackWarningEntity['kind']; portalUrl: string },
): Promise<void> {
  await tx(database, async (db) => {
    const stack = await db.findOneBy(TenantEntity, { id: stackId });
    const owner = stack && (await db.findOneBy(AccountEntity, { id: stack.accountId }));
    const warning = await db.findOneBy(StackWarningEntity, { tenantId: stackId, kind });
    if (!stack || !owner || !warning) {
      return;
    }
    if (warning.overAt !== null) {
      // Nobody was told of it, so it is news should it come back.
      await db.update(StackWarningEntity, { tenantId: stackId, kind }, { toldLevel: null, toldAt: null });
      return;
    }
    const mail = renderMail({
      subject: `Your stack ${stack.name}: ${SUBJECTS[kind]}`,
      greeting: `Hello ${owner.username},`,
      paragraphs: [`About ${stack.name} (${stack.slug}):`, warning.message],
      button: { label: 'Open its page', url: `${portalUrl}/app/stacks/${stack.slug}` },
      notes: ['You get this once for what is said above, not each time it is measured.'],
      portalUrl,
    });
    await outbox.put(db, owner.email, mail);
  });
}
