import { BALANCER_PATH, IDENTITY_HEADER, USER_HEADER } from '#libs/contracts';
import { SHARED, type DynamicFile, type RouteFile, type Service } from './dynamic.js';
import { CANARY_FILE, SHARED_FILE, renderFile } from './render.js';
import {
  type EdgeSettings,
  GATE_PRIORITY,
  GATE_RULE,
  PAGE_HEADER,
  SLUG_HEADER,
  TENANT_HEADER,
  TRANSPORT,
  certificate,
  certificateFolder,
  forwardAuth,
  headerCase,
  toServer,
} from './tenant-routes.js';
import { hostValue, routeInvalid, serverUrl } from './values.js';

const CHALLENGE_PATH = '/.well-known/acme-challenge/';
export const GENERATION_HEADER = 'x-aviary-routes';

/** Paths of the api that serve the platform itself. Express matches paths in any case, so this does too. */
const PRIVATE_PATHS = '!PathRegexp(`(?i)^/(internal|metrics)(/|$)`)';

/**
 * A `.;` or `..;` segment is a dot segment to servers that cut path parameters (RFC 3986 §3.3) and not to the proxy:
 * whatever host it is for, such a path reaches none of them.
 */
const DOT_PARAMETERS = 'PathRegexp(`/[.][.]?;`)';

/** A year, as the api says of itself and the preload list asks. */
const STRICT_TRANSPORT_SECONDS = 31_536_000;

const PRIORITY = { nothing: 1, portal: 100, challenge: 1000, canary: 1000, dots: 2000 };

/** A reserved host: never a slug, covered by the tenants' wildcard certificate. */
export function canaryHost(tenantDomain: string): string {
  return `canary.${hostValue('TENANT_DOMAIN', tenantDomain)}`;
}

/**
 * Every header that only the proxy or the gate may set, and the spellings of it that a server which folds `_` and
 * `-` together (CGI, WSGI) would read as the same.
 */
export function strippedHeaders(): string[] {
  return [IDENTITY_HEADER, USER_HEADER, TENANT_HEADER, PAGE_HEADER, SLUG_HEADER].flatMap((header) => {
    const [first = '', second = '', third = ''] = headerCase(header).split('-');
    return ['-', '_'].flatMap((a) => ['-', '_'].map((b) => `${first}${a}${second}${b}${third}`));
  });
}

/** What all routes share: stripping, the portal, ACME challenges, certificates, and an answer for unknown hosts. */
export function renderShared(settings: EdgeSettings): RouteFile {
  const portal = hostValue('PORTAL_DOMAIN', settings.portalDomain);
  const tenants = hostValue('TENANT_DOMAIN', settings.tenantDomain);
  const directory = certificateFolder(settings);
  const gate = serverUrl('the gate', settings.gateUrl);
  const nothing = { middlewares: ['nothing-mark'], service: 'gate' };
  const challenge = { rule: `PathPrefix(\`${CHALLENGE_PATH}\`)`, priority: PRIORITY.challenge, service: 'gate' };
  const file: DynamicFile = {
    http: {
      routers: {
        portal: {
          rule: `Host(\`${portal}\`) && ${PRIVATE_PATHS}`,
          priority: PRIORITY.portal,
          middlewares: ['portal-again'],
          service: 'portal',
        },
        // Plain HTTP is where an authority asks; the second router answers it where it was led on to HTTPS.
        challenge: { entryPoints: ['web'], ...challenge },
        'challenge-secure': challenge,
        dots: { rule: DOT_PARAMETERS, priority: PRIORITY.dots, ...nothing },
        // The sign-on below every dashboard's own host. Whose it is, the gate reads from the host.
        'gate-path': {
          rule: `HostRegexp(\`^u[a-z2-7]{6}[.]${escapeDots(tenants)}$\`) && ${GATE_RULE}`,
          priority: GATE_PRIORITY,
          middlewares: ['gate-mark'],
          service: 'gate',
        },
        nothing: {
          rule: `HostRegexp(\`^([a-z0-9-]+[.])*${[...new Set([portal, tenants])].map(escapeDots).join('$`) || HostRegexp(`^([a-z0-9-]+[.])*')}$\`)`,
          priority: PRIORITY.nothing,
          ...nothing,
        },
      },
      services: {
        ...portalServices(settings),
        gate: toServer(gate),
      },
      middlewares: {
        // An empty value removes the header. Bound to the entry point, so no route can be published without it.
        strip: {
          headers: {
            customRequestHeaders: Object.fromEntries(strippedHeaders().map((header) => [header, ''])),
            // Only ever sent over TLS. Of each host for itself: what else lives below the domain is not ours to bind.
            ...(settings.strictTransport === true ? { stsSeconds: STRICT_TRANSPORT_SECONDS } : {}),
          },
        },
        'sign-on': forwardAuth(`${gate}/auth`),
        // What the proxy says itself when nothing answers there; services answer 503 in their own words.
        away: { errors: { status: ['502', '504'], service: SHARED.gate, query: '/away' } },
        // Tried again only what no api has seen yet: no connection was had, so it may be anything. The balancer takes them
        // in turn, so that of several requests at once one may meet the same again and again. So the tries last longer
        // than the second in which the proxy finds out which of them is gone.
        'portal-again': { retry: { attempts: 10, initialInterval: '100ms' } },
        'gate-mark': { headers: { customRequestHeaders: { [headerCase(PAGE_HEADER)]: 'gate' } } },
        'nothing-mark': { headers: { customRequestHeaders: { [headerCase(PAGE_HEADER)]: 'nothing' } } },
      },
      // Nothing answers ARP for a stopped container: without this a request waits three seconds for its 502.
      serversTransports: {
        [TRANSPORT]: { forwardingTimeouts: { dialTimeout: '500ms' } },
        // Of this host, so that its kernel answers at once; where both are gone, who is tried again ten times waits for some seconds.
        [NEAR]: { forwardingTimeouts: { dialTimeout: '250ms' } },
      },
    },
    tls: {
      certificates: [certificate(directory, 'portal'), certificate(directory, 'tenants')],
      stores: { default: { defaultCertificate: certificate(directory, 'portal') } },
      options: { default: { minVersion: 'VersionTLS12' } },
    },
  };
  return renderFile(SHARED_FILE, file);
}

/** The proxy's name of what says of each api whether it gets requests. */
export const PORTAL_BALANCER = 'portal-taking@file';

const NEAR = 'near';

/** The port of an api on which it answers the platform's own processes. */
const API_PRIVATE_PORT = 8081;

/**
 * Requests go to those of the apis that say they take them, in turn; the proxy forgets at each change of a route what
 * they said, for a second at most. Where none says so they go to any: one that is only slow still answers, and what is
 * wrong with the others is told by their own words.
 */
function portalServices({ apiUrls, apiHealthPort = API_PRIVATE_PORT }: EdgeSettings): Record<string, Service> {
  const { loadBalancer } = toServer(...apiUrls.map((url) => serverUrl('an api', url)));
  const servers = { loadBalancer: { ...loadBalancer, serversTransport: `${NEAR}@file` } };
  if (apiUrls.length === 1) {
    return { portal: servers };
  }
  const healthCheck = { path: `/${BALANCER_PATH}`, port: apiHealthPort, interval: '1s', timeout: '2s' };
  return {
    portal: { failover: { service: PORTAL_BALANCER, fallback: 'portal-any@file' } },
    'portal-taking': { loadBalancer: { ...servers.loadBalancer, healthCheck } },
    'portal-any': servers,
  };
}

function escapeDots(host: string): string {
  return host.replaceAll('.', '[.]');
}

/**
 * Proof that the proxy follows its folder: the reserved host answers with the generation written last. The answer
 * (418) comes from the proxy's built-in service, so no other process has a part in it.
 */
export function renderCanary(settings: EdgeSettings, generation: number): RouteFile {
  if (!Number.isSafeInteger(generation) || generation < 0) {
    throw routeInvalid('the generation is not a whole number');
  }
  return renderFile(CANARY_FILE, {
    http: {
      routers: {
        canary: {
          rule: `Host(\`${canaryHost(settings.tenantDomain)}\`)`,
          priority: PRIORITY.canary,
          middlewares: ['canary-generation'],
          service: 'noop@internal',
        },
      },
      middlewares: {
        'canary-generation': {
          headers: { customResponseHeaders: { [headerCase(GENERATION_HEADER)]: String(generation) } },
        },
      },
    },
  });
}
