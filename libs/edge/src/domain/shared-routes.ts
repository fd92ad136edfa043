import { BALANCER_PATH, IDENTITY_HEADER, USER_HEADER } from '#libs/contracts';
import { SHARED, type DynamicFile, type RouteFile, type Router, type Service } from './dynamic.js';
import { CANARY_FILE, SHARED_FILE, renderFile } from './render.js';
import {
  AUTH_PATH,
  type EdgeSettings,
  GATE_PRIORITY,
  GATE_RULE,
  PAGE_HEADER,
  SLUG_HEADER,
  TENANT_HEADER,
  TRANSPORT,
  authUrl,
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

const PRIORITY = { nothing: 1, portal: 100, signOn: 100, challenge: 1000, canary: 1000, dots: 2000 };

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
  const signOn: Record<string, Router> = settings.gateUrls.length > 1 ? { 'sign-on': SIGN_ON } : {};
  const nothing = { middlewares: ['nothing-mark', 'again'], service: 'gate' };
  const challenge = {
    rule: `PathPrefix(\`${CHALLENGE_PATH}\`)`,
    priority: PRIORITY.challenge,
    middlewares: ['again'],
    service: 'gate',
  };
  const file: DynamicFile = {
    http: {
      routers: {
        portal: {
          rule: `Host(\`${portal}\`) && ${PRIVATE_PATHS}`,
          priority: PRIORITY.portal,
          middlewares: ['again'],
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
          middlewares: ['gate-mark', 'again'],
          service: 'gate',
        },
        ...signOn,
        nothing: {
          rule: `HostRegexp(\`^([a-z0-9-]+[.])*${[...new Set([portal, tenants])].map(escapeDots).join('$`) || HostRegexp(`^([a-z0-9-]+[.])*')}$\`)`,
          priority: PRIORITY.nothing,
          ...nothing,
        },
      },
      services: {
        ...balanced('portal', { urls: settings.apiUrls, healthPort: settings.apiHealthPort ?? API_PRIVATE_PORT }),
        ...balanced('gate', { urls: settings.gateUrls }),
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
        'sign-on': forwardAuth(authUrl(settings)),
        // What the proxy says itself when nothing answers there; services answer 503 in their own words.
        away: { errors: { status: ['502', '504'], service: SHARED.gate, query: '/away' } },
        // Tried again only what nobody has seen yet: no connection was had, so it may be anything. The balancer takes them
        // in turn, so that of several requests at once one may meet the same again and again. So the tries last longer
        // than the second in which the proxy finds out which of them is gone.
        again: { retry: { attempts: 10, initialInterval: '100ms' } },
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

/** The proxy's names of what says of each api, and of each gate, whether it gets requests. */
export const PORTAL_BALANCER = 'portal-taking@file';
export const GATE_BALANCER = 'gate-taking@file';

const NEAR = 'near';

/** The port of an api on which it answers the platform's own processes. */
const API_PRIVATE_PORT = 8081;

/**
 * Where the proxy asks itself whether somebody may pass, on loopback: a request of its own, which brings no more than what
 * `forwardAuth` takes over, and the host that was asked for in a header believed there (traefik.yml).
 */
const SIGN_ON: Router = {
  entryPoints: ['traefik'],
  rule: `Path(\`${AUTH_PATH}\`)`,
  priority: PRIORITY.signOn,
  middlewares: ['again'],
  service: 'gate',
};

/**
 * Requests go to those of a kind that say they take them, in turn; the proxy forgets at each change of a route what they
 * said, for a second at most. Where none says so they go to any: one that is only slow still answers, and what is wrong
 * with the others is told by their own words. `healthPort` is where they say so, where that is another port.
 */
function balanced(
  kind: 'portal' | 'gate',
  { urls, healthPort }: { urls: readonly string[]; healthPort?: number },
): Record<string, Service> {
  const { loadBalancer } = toServer(...urls.map((url) => serverUrl(kind === 'gate' ? 'a gate' : 'an api', url)));
  const servers = { loadBalancer: { ...loadBalancer, serversTransport: `${NEAR}@file` } };
  if (urls.length === 1) {
    return { [kind]: servers };
  }
  const port = healthPort === undefined ? {} : { port: healthPort };
  const healthCheck = { path: `/${BALANCER_PATH}`, ...port, interval: '1s', timeout: '2s' };
  return {
    [kind]: { failover: { service: `${kind}-taking@file`, fallback: `${kind}-any@file` } },
    [`${kind}-taking`]: { loadBalancer: { ...servers.loadBalancer, healthCheck } },
    [`${kind}-any`]: servers,
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
