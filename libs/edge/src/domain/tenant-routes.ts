import { GATE_PATH, IDENTITY_HEADER, USER_HEADER } from '#libs/contracts';
import {
  SHARED,
  type DynamicFile,
  type LoadBalancer,
  type Middleware,
  type RouteFile,
  type Router,
} from './dynamic.js';
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
  /** `http://address:port` of each gate and of each api's public port. */
  gateUrls: readonly string[];
  apiUrls: readonly string[];
  /** The proxy's own port on loopback, by which it chooses between several gates; needed where there is more than one. */
  proxyPort?: number;
  /** Where each api says whether it takes requests; that of production unless told. Asked where there is a choice. */
  apiHealthPort?: number;
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
/** The gate's own path on a dashboard's host: above every other route there. */
export const GATE_RULE = `PathPrefix(\`${GATE_PATH}\`)`;
export const GATE_PRIORITY = 300;

/** Public routes take no path parameters at all. */
const NO_PARAMETERS = '!PathRegexp(`;`)';

/** Spelled out, since the proxy's own choice is the length of the rule, which a long domain would make the highest. */
const PRIORITY = { whole: 100, path: 200 };

function tenantHost(slug: string, host: 'dashboard' | 'api', tenantDomain: string): string {
  return `${host === 'api' ? 'api-' : ''}${slugValue(slug)}.${hostValue('TENANT_DOMAIN', tenantDomain)}`;
}

export function tenantFileName(slug: string): string {
  return `${slugValue(slug)}.yml`;
}

/**
 * The dynamic file of one stack: what no other stack has. Names in it come from the slug alone. Everything the proxy
 * can know from the host (the sign-on, the gate's own path) stands once in the shared file, since the proxy builds
 * everything anew at each change of anything. While the gate answers for a stack, the file carries the tenant's id to it,
 * so the gate never has to believe a client about it.
 */
export function renderTenantRoutes(tenant: TenantRoutes, settings: EdgeSettings): RouteFile {
  const slug = slugValue(tenant.slug);
  const tenantId = uuidValue('the tenant id', tenant.tenantId);
  const asleep = tenant.serving !== 'tenant';
  const mark = `${slug}-mark`;
  const middlewares: Record<string, Middleware> = {};
  const services: Record<string, LoadBalancer> = {};
  const routers: Record<string, Router> = {};
  if (asleep) {
    middlewares[mark] = {
      headers: { customRequestHeaders: { 'X-Aviary-Tenant': tenantId, 'X-Aviary-Page': tenant.serving } },
    };
  }

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
    routers[name] = {
      rule: rule(host, route),
      priority: route.path === undefined ? PRIORITY.whole : PRIORITY.path,
      middlewares: [
        ...(route.auth === 'portal' ? [SHARED.signOn] : []),
        ...(asleep ? [mark, SHARED.again] : [SHARED.away]),
      ],
      service: asleep ? SHARED.gate : serviceAt(address, name, services),
    };
  });

  const domains = ownDomains(tenant.domains ?? [], settings);
  if (domains.length > 0) {
    const auth = forwardAuth(`${authUrl(settings)}?tenant=${tenantId}&slug=${slug}`);
    addDomains({ routers, middlewares }, domains, { slug, tenantId, auth, page: asleep ? tenant.serving : '' });
  }
  const directory = certificateFolder(settings);
  const file: DynamicFile = {
    http: {
      routers,
      ...(asleep ? {} : { services }),
      ...(Object.keys(middlewares).length > 0 ? { middlewares } : {}),
    },
    ...(domains.length > 0
      ? { tls: { certificates: domains.map((host) => certificate(directory, `${DOMAIN_CERTIFICATES}/${host}`)) } }
      : {}),
  };
  return renderFile(tenantFileName(slug), file);
}

/** The name of the service at an address; one for all routes that lead there, called like the first of them. */
function serviceAt(address: string, name: string, services: Record<string, LoadBalancer>): string {
  const known = Object.entries(services).find(([, { loadBalancer }]) => loadBalancer.servers[0]?.url === address);
  services[known?.[0] ?? name] ??= toServer(address);
  return known?.[0] ?? name;
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
 * Each router of the dashboard's own host once more for every domain: the same sign-on, the same service; and the gate's
 * own path, whose shared route knows our hosts alone. Whose dashboard it is, the gate cannot read from such a host, so
 * these routes carry it.
 */
function addDomains(
  { routers, middlewares }: { routers: Record<string, Router>; middlewares: Record<string, Middleware> },
  domains: readonly string[],
  { slug, tenantId, auth, page }: { slug: string; tenantId: string; auth: Middleware; page: string },
): void {
  const mark = `${slug}-domain-mark`;
  const signOn = `${slug}-domain-auth`;
  const dashboard = Object.entries(routers).filter(([name]) => !name.startsWith(`${slug}-api`));
  middlewares[mark] = {
    headers: {
      customRequestHeaders: { 'X-Aviary-Tenant': tenantId, 'X-Aviary-Page': page, [headerCase(SLUG_HEADER)]: slug },
    },
  };
  if (dashboard.some(([, router]) => router.middlewares?.includes(SHARED.signOn))) {
    middlewares[signOn] = auth;
  }
  const names: Record<string, string> = { [SHARED.signOn]: signOn, [`${slug}-mark`]: mark };
  domains.forEach((domain, index) => {
    for (const [name, router] of dashboard) {
      routers[name.replace(`${slug}-`, `${slug}-domain${index}-`)] = {
        ...router,
        rule: router.rule.replace(/^Host\(`[^`]*`\)/, `Host(\`${domain}\`)`),
        middlewares: (router.middlewares ?? []).map((middleware) => names[middleware] ?? middleware),
      };
    }
    routers[`${slug}-domain${index}-gate`] = {
      rule: `Host(\`${domain}\`) && ${GATE_RULE}`,
      priority: GATE_PRIORITY,
      middlewares: [mark, SHARED.again],
      service: SHARED.gate,
    };
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
  if (route.auth === 'none') {
    parts.push(NO_PARAMETERS);
  }
  return parts.join(' && ');
}

export function toServer(...urls: readonly string[]): LoadBalancer {
  return { loadBalancer: { servers: urls.map((url) => ({ url })), serversTransport: `${TRANSPORT}@file` } };
}

/** Below it, on the proxy's own port, its question reaches whichever gate answers. */
export const AUTH_PATH = '/auth';

/**
 * Where the proxy asks whether somebody may pass. It knows one address for that and tries no other, so that where there
 * are several gates the address is its own: there it balances between them as it does between the apis.
 */
export function authUrl({ gateUrls, proxyPort }: Pick<EdgeSettings, 'gateUrls' | 'proxyPort'>): string {
  const [only = '', ...more] = gateUrls;
  if (more.length === 0) {
    return `${serverUrl('the gate', only)}${AUTH_PATH}`;
  }
  if (proxyPort === undefined) {
    throw routeInvalid('without the proxy’s own port nothing chooses between the gates');
  }
  return `${addressUrl('the proxy', { host: '127.0.0.1', port: proxyPort })}${AUTH_PATH}`;
}

export function forwardAuth(address: string): Middleware {
  return {
    forwardAuth: {
      address,
      // All the gate needs to tell a signed-in person and a page from a script; nothing else of a request reaches it.
      authRequestHeaders: ['Cookie', 'Accept'],
      authResponseHeaders: [headerCase(IDENTITY_HEADER), headerCase(USER_HEADER)],
      maxResponseBodySize: 65_536,
      // The proxy says the host itself; by it the gate tells whose dashboard is asked for.
      trustForwardHeader: false,
    },
  };
}

export function headerCase(header: string): string {
  return header.replace(/(^|-)[a-z]/g, (start) => start.toUpperCase());
}
