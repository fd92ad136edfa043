import { z } from 'zod';
import { appendAudit } from '#libs/audit';
import { tx } from '#libs/db';
import type { PhaseContext } from './phase-context.js';

const AGENT = { kind: 'system', name: 'agent' } as const;
const inputSchema = z.object({ allowTrading: z.literal(true) });

/**
 * What a restart is for that lets a copy trade: from here on its spec says that it may. Not when it was asked for, since
 * one that is cancelled or whose place is taken before would leave a copy that trades from its next start on; and here it
 * is written down, with who asked for it.
 */
export async function allowTrading({ deps, facts, operation, prove }: PhaseContext): Promise<string | null> {
  if (operation.kind !== 'restart' || !inputSchema.safeParse(operation.input).success) {
    return null;
  }
  await tx(deps.dataSource, async (db) => {
    // Whoever takes our place does it behind this lock, and then we are fenced off.
    await db.query('select from tenants where id = $1 for update', [facts.tenantId]);
    await prove();
    const [, changed] = await db.query<[unknown, number]>(
      'update tenants set trading_held_since = null where id = $1 and trading_held_since is not null',
      [facts.tenantId],
    );
    if (changed === 1) {
      await appendAudit(db, {
        actor: AGENT,
        action: 'stack.trading_allowed',
        target: { kind: 'stack', id: facts.tenantId },
        before: { tradingHeldSince: facts.tradingHeldSince },
        after: {
          slug: facts.slug,
          tradingHeldSince: null,
          requestedBy: operation.requestedBy,
          operation: operation.id,
        },
      });
    }
  });
  return 'it may trade';
}
