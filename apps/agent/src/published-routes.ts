import { TenantEntity, type Database } from '#libs/db';
import type { EdgeSettings, RouteFile } from '#libs/edge';
import { readFacts, serving, stackRouteFile, type FactSettings } from '#libs/orchestrator';
import type { Logger } from '#libs/telemetry';

interface PublishedRoutesDeps {
  dataSource: Database;
  facts: FactSettings & { engineId: string };
  edge: EdgeSettings;
  logger: Logger;
}

/**
 * The routes of all stacks that are wanted, also of those still being made: their operation may have written the route
 * already, and goes on after that step. Only a destroy takes one away. A stack whose route cannot be made is logged and
 * left out, since the others must be served.
 */
export async function publishedRoutes({ dataSource, facts, edge, logger }: PublishedRoutesDeps): Promise<RouteFile[]> {
  const files: RouteFile[] = [];
  for (const { id, slug } of await dataSource.manager.findBy(TenantEntity, { engineId: facts.engineId })) {
    const row = await readFacts(dataSource.manager, facts, id);
    if (!row || row.desired === 'deleted') {
      continue;
    }
    try {
      files.push(stackRouteFile(row, serving(row), edge));
    } catch (error) {
      logger.error({ stack: slug, err: error }, 'a stack is without its route');
    }
  }
  return files;
}
