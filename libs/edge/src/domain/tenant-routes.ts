import { GATE_PATH, IDENTITY_HEADER, USER_HEADER } from '#libs/contracts';
import type { DynamicFile, Middleware, RouteFile, Router, Service } from './dynamic.js';
import {
  addressUrl,
  hostValue,
  pathValue,
  plainValue,
  routeInvalid,
  serverUrl,
  slugValue,
  uuidValue,
} from './values.js';
import { renderFile } from './render.js';

/** Where the proxy finds the portal's own processes and what the portal is called. */
export interface EdgeSettings {
  portalDomain: string;
  tenantDomain: string;
  /** `http://address:port` of the gate and of the api's public port. */
  gateUrl: string;
  apiUrl: string;
  /** Folder of the certificates as the proxy sees it. */
  certificateDir: string;
  /** Browsers trust the certificate by themselves, so they may be told never to come without TLS again. */
  strictTransport?: boolean;
}

export interface TenantRoute {
  host: 'dashboard' | 'api';
  /** portal: through the gate's sign-on; token: the service checks bearer tokens itself; none: signed webhooks. */
  auth: 'portal' | 'token' | 'none';
  address: { host: string; port: number };
  /** Only paths below this prefix; needed for `none`, which must not open a whole host. */
  path?: string;
}

/** What the gate says in place of a stack that does not answer. */
export type GatePage = 'asleep' | 'starting' | 'stopped' | 'suspended';

export interface TenantRoutes {
  tenantId: string;
  slug: string;
  routes: readonly TenantRoute[];
  /** `tenant`: to its services. Otherwise the gate answers on all its hosts and says why. */
  serving: 'tenant' | GatePage;
  /** Verified names of the owner's own that lead to the dashboard too, each with its certificate in `domains/`. */
  domains?: readonly string[];
}

/** Set by the proxy for the gate, replacing any copy from outside: whose route a request came by, and what to say. */
export const TENANT_HEADER = 'x-aviary-tenant';
export const PAGE_HEADER = 'x-aviary-page';
/** On a host of the owner's own, which does not say it: whose dashboard this is. */
export const SLUG_HEADER = 'x-aviary-slug';
/** Below the certificate folder: `<domain>.crt` and `.key`. */
export const DOMAIN_CERTIFICATES = 'domains';
export const TRANSPORT = 'fast';

/** A `.;` or `..;` segment is a dot segment to servers that cut path parameters (RFC 3986 §3.3) and not to the proxy. */
export const NO_DOT_PARAMETERS = '!PathRegexp(`/[.][.]?;`)';
/** Public routes take no path parameters at all. */
const NO_PARAMETERS = '!PathRegexp(`;`)';

const PRIORITY = { whole: 100, path: 200, gate: 300 };

function tenantHost(slug: string, host: 'dashboard' | 'api', tenantDomain: string): string {
  return `${host === 'api' ? 'api-' : ''}${slugValue(slug)}.${hostValue('TENANT_DOMAIN', tenantDomain)}`;
}

export function tenantFileName(slug: string): string {
  return `${slugValue(slug)}.yml`;
}

/**
 * The dynamic file of one stack. Names in it come from the slug alone. Requests to the gate's own path and the
 * forward-auth question carry the tenant's id from here, so the gate never has to believe a client about it.
 */
export function renderTenantRoutes(tenant: TenantRoutes, settings: EdgeSettings): RouteFile {
  const slug = slugValue(tenant.slug);
  const tenantId = uuidValue('the tenant id', tenant.tenantId);
  const gate = serverUrl('the gate', settings.gateUrl);
  const asleep = tenant.serving !== 'tenant';
  const names = { auth: `${slug}-auth`, mark: `${slug}-mark`, gate: `${slug}-gate`, away: `${slug}-away` };
  const middlewares: Record<string, Middleware> = {
    [names.mark]: {
      headers: { customRequestHeaders: { 'X-Aviary-Tenant': tenantId, 'X-Aviary-Page': asleep ? tenant.serving : '' } },
    },
  };
  const services: Record<string, Service> = { [names.gate]: toServer(gate) };
  const routers: Record<string, Router> = {};

  tenant.routes.forEach((route) => {
    const host = tenantHost(slug, route.host, settings.tenantDomain);
    const own = `${slug}-${route.host}`;
    const name = route.path === undefined ? own : `${own}-path`;
    if (routers[name]) {
      throw routeInvalid('two routes claim the same host');
    }
    if (route.auth === 'none' && route.path === undefined) {
      throw routeInvalid('a public route needs a path');
    }
    const address = addressUrl('the service', route.address);
    if (!asleep) {
      services[name] = toServer(address);
      // What the proxy says itself when nothing answers there; services answer 503 in their own words.
      middlewares[names.away] = { errors: { status: ['502', '504'], service: names.gate, query: '/away' } };
    }
    if (route.auth === 'portal') {
      middlewares[names.auth] = forwardAuth(gate, tenantId);
    }
    routers[name] = {
      entryPoints: ['websecure'],
      rule: rule(host, route),
      priority: route.path === undefined ? PRIORITY.whole : PRIORITY.path,
      middlewares: [...(route.auth === 'portal' ? [names.auth] : []), asleep ? names.mark : names.away],
      service: asleep ? names.gate : name,
      tls: {},
    };
  });

  if (tenant.routes.some((route) => route.host === 'dashboard')) {
    const host = tenantHost(slug, 'dashboard', settings.tenantDomain);
    routers[names.gate] = {
      entryPoints: ['websecure'],
      rule: `Host(\`${host}\`) && PathPrefix(\`${GATE_PATH}\`) && ${NO_DOT_PARAMETERS}`,
      priority: PRIORITY.gate,
      middlewares: [names.mark],
      service: names.gate,
      tls: {},
    };
  }
  const domains = ownDomains(tenant.domains ?? [], settings);
  if (domains.length > 0) {
    addDomains({ routers, middlewares }, domains, { slug, tenantId, gate, page: asleep ? tenant.serving : '' });
  }
  const directory = certificateFolder(settings);
  const file: DynamicFile = {
    http: { routers, services, middlewares },
    ...(domains.length > 0
      ? { tls: { certificates: domains.map((host) => certificate(directory, `${DOMAIN_CERTIFICATES}/${host}`)) } }
      : {}),
  };
  return renderFile(tenantFileName(slug), file);
}

/** In one order whatever order they come in, and never a name of the platform's own. */
function ownDomains(domains: readonly string[], { portalDomain, tenantDomain }: EdgeSettings): string[] {
  return domains.toSorted().map((domain) => {
    const host = hostValue('a domain', domain);
    if ([portalDomain, tenantDomain].some((ours) => host === ours || host.endsWith(`.${ours}`))) {
      throw routeInvalid('a domain is one of the platform’s own');
    }
    return host;
  });
}

/**
 * Each router of the dashboard's own host once more for every domain: the same sign-on, the same service. Whose
 * dashboard it is, the gate cannot read from such a host, so these routes carry it.
 */
function addDomains(
  { routers, middlewares }: { routers: Record<string, Router>; middlewares: Record<string, Middleware> },
  domains: readonly string[],
  { slug, tenantId, gate, page }: { slug: string; tenantId: string; gate: string; page: string },
): void {
  const auth = `${slug}-auth`;
  const mark = `${slug}-mark`;
  const dashboard = Object.entries(routers).filter(([name]) => !name.startsWith(`${slug}-api`));
  middlewares[`${slug}-domain-mark`] = {
    headers: {
      customRequestHeaders: { 'X-Aviary-Tenant': tenantId, 'X-Aviary-Page': page, [headerCase(SLUG_HEADER)]: slug },
    },
  };
  if (middlewares[auth]) {
    middlewares[`${slug}-domain-auth`] = forwardAuth(gate, `${tenantId}&slug=${slug}`);
  }
  const names: Record<string, string> = { [auth]: `${slug}-domain-auth`, [mark]: `${slug}-domain-mark` };
  domains.forEach((domain, index) => {
    for (const [name, router] of dashboard) {
      routers[name.replace(`${slug}-`, `${slug}-domain${index}-`)] = {
        ...router,
        rule: router.rule.replace(/^Host\(`[^`]*`\)/, `Host(\`${domain}\`)`),
        middlewares: (router.middlewares ?? []).map((middleware) => names[middleware] ?? middleware),
      };
    }
  });
}

/** As the proxy sees it. */
export function certificateFolder({ certificateDir }: Pick<EdgeSettings, 'certificateDir'>): string {
  const directory = plainValue('the certificate folder', certificateDir).replace(/\/+$/, '');
  if (!directory.startsWith('/')) {
    throw routeInvalid('the certificate folder must be an absolute path');
  }
  return directory;
}

export const certificate = (directory: string, name: string): { certFile: string; keyFile: string } => ({
  certFile: `${directory}/${name}.crt`,
  keyFile: `${directory}/${name}.key`,
});

function rule(host: string, route: TenantRoute): string {
  const parts = [`Host(\`${host}\`)`];
  if (route.path !== undefined) {
    parts.push(`PathPrefix(\`${pathValue('the path of a route', route.path)}\`)`);
  }
  parts.push(route.auth === 'none' ? NO_PARAMETERS : NO_DOT_PARAMETERS);
  return parts.join(' && ');
}

export function toServer(url: string): Service {
  return { loadBalancer: { servers: [{ url }], serversTransport: `${TRANSPORT}@file` } };
}

function forwardAuth(gate: string, tenant: string): Middleware {
  return {
    forwardAuth: {
      address: `${gate}/auth?tenant=${tenant}`,
      // All the gate needs to tell a signed-in person and a page from a script; nothing else of a request reaches it.
      authRequestHeaders: ['Cookie', 'Accept'],
      authResponseHeaders: [headerCase(IDENTITY_HEADER), headerCase(USER_HEADER)],
      maxResponseBodySize: 65_536,
      trustForwardHeader: false,
    },
  };
}

export function headerCase(header: string): string {
  return header.replace(/(^|-)[a-z]/g, (start) => start.toUpperCase());
}
