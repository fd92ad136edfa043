import type { DataSource } from 'typeorm';
import { DomainError, type Activity } from '#libs/contracts';
import { tx } from '#libs/db';
import { UNTOUCHED } from '#libs/tenants';
import type { StackFacts } from './planner/want.js';

/**
 * Throws BOTS_RUNNING unless the stack said that nothing of it trades; whoever is refused so leads its address back. Of
 * its tokens the error tells nothing.
 */
export function requireIdle(activity: Activity | null): asserts activity is Activity {
  if (activity === null) {
    throw new DomainError('BOTS_RUNNING', {
      message: 'The stack did not say whether a bot runs, so it was left running.',
      details: { why: 'no_answer', ...UNTOUCHED },
    });
  }
  const { runningBots, openOrders } = activity;
  if (runningBots > 0 || openOrders > 0) {
    throw new DomainError('BOTS_RUNNING', {
      message: `${runningBots} bots run and ${openOrders} orders are open, so it was left running.`,
      details: { why: 'bots_running', runningBots, openOrders, ...UNTOUCHED },
    });
  }
}

/**
 * Keeps by which tokens programs may wake the stack, in place of what was kept: asleep, it cannot say. Nothing is kept
 * of one that is not to sleep any more.
 */
export async function keepTokens(
  dataSource: DataSource,
  { tenantId }: Pick<StackFacts, 'tenantId'>,
  tokens: Activity['tokens'],
): Promise<void> {
  await tx(dataSource, async (db) => {
    const [sleeps] = await db.query<unknown[]>(
      `select from tenants where id = $1 and desired = 'hibernated' for update`,
      [tenantId],
    );
    await db.query('delete from sleep_tokens where tenant_id = $1', [tenantId]);
    if (sleeps !== undefined) {
      await db.query(
        `insert into sleep_tokens (tenant_id, digest, expires_at)
         select $1::uuid, digest, max(expires_at) from unnest($2::text[], $3::timestamptz[]) as t (digest, expires_at)
          group by digest`,
        [tenantId, tokens.map(({ digest }) => digest), tokens.map(({ expiresAt }) => expiresAt)],
      );
    }
  });
}
