import { TenantEntity, tx, type Database } from '#libs/db';
import { readFacts, serving, type FactSettings, type Routes } from '#libs/orchestrator';
import { openOperations } from '#libs/tenants';

/** Brings a stack's route file up to its rows, outside an operation. */
export interface StackRoutes {
  /** False where an operation is open, whose last word on the route is still to come. */
  publish(tenantId: string): Promise<boolean>;
}

export function stackRoutes(deps: {
  dataSource: Database;
  routes: Routes;
  settings: FactSettings;
  now: () => Date;
}): StackRoutes {
  const { dataSource, routes, settings, now } = deps;
  return {
    publish: (tenantId) =>
      // The row's lock is what an order takes too: none can begin between the look and the writing of one small file.
      tx(dataSource, async (db) => {
        const tenant = await db.findOne(TenantEntity, {
          where: { id: tenantId },
          lock: { mode: 'pessimistic_write' },
        });
        const facts = tenant && (await readFacts(db, settings, tenantId));
        if (!facts || facts.desired === 'deleted') {
          return true;
        }
        if ((await openOperations(db, [tenantId], now())).length > 0) {
          return false;
        }
        const is = await routes.read(facts.slug);
        const wanted = routes.render(facts, serving(facts));
        // Where none stands nothing was made yet, and what makes it publishes it.
        if (is !== null && is !== wanted) {
          await routes.write(facts.slug, wanted);
        }
        return true;
      }),
  };
}
