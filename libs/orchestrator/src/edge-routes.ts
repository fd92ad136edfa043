import { isDomainError } from '#libs/contracts';
import { renderTenantRoutes, tenantFileName, type EdgeSettings, type RouteFile, type RouteFolder } from '#libs/edge';
import { edgeAddress } from '#libs/tenants';
import type { StackFacts } from './planner/want.js';
import type { Routes, Serving } from './ports.js';

/**
 * The stack's file in the proxy's folder, by address from our own table: so it may be there before the container is.
 * A domain that no file may carry is left out, since with it the stack could be neither stopped nor held back.
 */
export function stackRouteFile(facts: StackFacts, serving: Serving, settings: EdgeSettings): RouteFile {
  try {
    return withDomains(facts, facts.domains, serving, settings);
  } catch (error) {
    if (!isDomainError(error, 'ROUTE_INVALID') || facts.domains.length === 0) {
      throw error;
    }
    const fit = facts.domains.filter((domain) => isFit(() => withDomains(facts, [domain], serving, settings)));
    return withDomains(facts, fit, serving, settings);
  }
}

function isFit(render: () => RouteFile): boolean {
  try {
    render();
    return true;
  } catch (error) {
    if (!isDomainError(error, 'ROUTE_INVALID')) {
      throw error;
    }
    return false;
  }
}

function withDomains(
  facts: StackFacts,
  domains: readonly string[],
  serving: Serving,
  settings: EdgeSettings,
): RouteFile {
  return renderTenantRoutes(
    {
      tenantId: facts.tenantId,
      slug: facts.slug,
      serving,
      domains,
      routes: facts.template.aviary.routes.map(({ host, service, port, auth }) => {
        const slot = facts.edges[service];
        if (!slot) {
          throw new Error(`${facts.slug}: ${service} serves a route but has no edge address`);
        }
        return { host, auth, address: { host: edgeAddress(facts.pool, slot.edge, slot.slot), port } };
      }),
    },
    settings,
  );
}

export class EdgeRoutes implements Routes {
  constructor(
    private readonly folder: RouteFolder,
    private readonly settings: EdgeSettings,
  ) {}

  read(slug: string): Promise<string | null> {
    return this.folder.read(tenantFileName(slug));
  }

  write(slug: string, text: string): Promise<void> {
    return this.folder.publish({ name: tenantFileName(slug), content: text });
  }

  serveAgain(): Promise<void> {
    return this.folder.serveAgain();
  }

  remove(slug: string): Promise<void> {
    return this.folder.remove(tenantFileName(slug));
  }

  render(facts: StackFacts, serving: Serving): string {
    return stackRouteFile(facts, serving, this.settings).content;
  }
}
