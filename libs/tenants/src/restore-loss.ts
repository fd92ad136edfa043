import { text } from 'node:stream/consumers';
import { presentCountsSchema, restoreLoss, type Actor, type PresentCounts, type RestoreLoss } from '#libs/contracts';
import { BackupEntity, type Database, type TenantEntity } from '#libs/db';
import { backupViews, requireVerified } from './backup.repository.js';
import type { AgentPort } from './logs/agent-port.js';
import { findStack } from './stack.change.js';

/** Later than the agent gives up by itself: one that says nothing until then is away. */
const ANSWER_MS = 5_000;

interface LossDeps {
  database: Database;
  agent: Pick<AgentPort, 'get'>;
  now: () => Date;
}

/** What a restore loses, counted before it is ordered. */
export class RestoreLossQuery {
  constructor(private readonly deps: LossDeps) {}

  /**
   * By what is in the stack's database now; where that cannot be counted (it does not run, its agent is away, it takes
   * too long) by its newest verified backup. Throws NOT_FOUND and WRONG_STATE as the restore itself does.
   */
  async read(actor: Actor, slug: string, id: string): Promise<RestoreLoss> {
    const db = this.deps.database.manager;
    const tenant = await findStack(db, actor, slug);
    const chosen = await requireVerified(db, tenant, id);
    const present = await this.present(tenant);
    const newest = await db.findOne(BackupEntity, {
      where: { tenantId: tenant.id, state: 'verified' },
      order: { takenAt: 'DESC' },
    });
    const now = this.deps.now();
    const [of, last] = await backupViews(db, [chosen, newest ?? chosen], { slugOf: () => slug, now });
    return restoreLoss({ counts: of?.counts ?? null }, present, last);
  }

  /** Null where it cannot be counted now. */
  private async present({ id, engineId }: TenantEntity): Promise<PresentCounts | null> {
    const signal = AbortSignal.timeout(ANSWER_MS);
    try {
      const answer = await this.deps.agent.get(`/counts?stack=${id}`, signal, engineId);
      return presentCountsSchema.parse(JSON.parse(await text(answer)));
    } catch {
      // Away, of a version that has no such answer, or at fault: it is told as not counted, and who restores waits for none of it.
      return null;
    }
  }
}
