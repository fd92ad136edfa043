import { DomainError, stackLimitsSchema, type Actor, type PlanList } from '#libs/contracts';
import { PlanEntity, type Database } from '#libs/db';
import { requireActor } from './authorise.js';

export class PlanQuery {
  constructor(private readonly database: Database) {}

  /** All plans, cheapest first. Throws FORBIDDEN for anybody but an operator. */
  async list(actor: Actor): Promise<PlanList> {
    if (requireActor(actor).kind !== 'operator') {
      throw new DomainError('FORBIDDEN');
    }
    const plans = await this.database.getRepository(PlanEntity).find({ order: { position: 'ASC', code: 'ASC' } });
    return {
      items: plans.map(({ code, name, stacks, limits, keepDaily, keepWeekly, keepMonthly, backupMaxAgeHours }) => ({
        code,
        name,
        stacks,
        limits: stackLimitsSchema.parse(limits),
        backups: { daily: keepDaily, weekly: keepWeekly, monthly: keepMonthly, maxAgeHours: backupMaxAgeHours },
      })),
      next: null,
    };
  }
}
