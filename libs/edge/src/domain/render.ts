import { SHARED, dynamicFileSchema, type DynamicFile, type RouteFile } from './dynamic.js';
import { routeInvalid } from './values.js';

/** JSON is YAML, and unlike YAML it has one way to write a value. Keys keep their order, so equal means equal text. */
export function renderFile(name: string, file: DynamicFile): RouteFile {
  const content = `${JSON.stringify(file, null, 1)}\n`;
  validateRouteFile({ name, content });
  return { name, content };
}

export const SHARED_FILE = 'aviary-shared.yml';
export const CANARY_FILE = 'aviary-canary.yml';
/** What the proxy reads: the one file that is composed of all the others. */
export const SERVED_FILE = 'aviary-served.yml';
const TENANT_FILE = /^(u[a-z2-7]{6})\.yml$/;
export const isTenantFile = (name: string): boolean => TENANT_FILE.test(name);

/**
 * Refuses (ROUTE_INVALID) a file that Traefik could stumble over or that speaks for another than its own name: its
 * schema is ours to the letter, no template expression, and a tenant's file holds that tenant's names and hosts only.
 */
export function validateRouteFile({ name, content }: RouteFile): DynamicFile {
  const tenant = TENANT_FILE.exec(name);
  if (!tenant && name !== SHARED_FILE && name !== CANARY_FILE) {
    throw routeInvalid('the file name is not one of ours');
  }
  if (content.includes('{{')) {
    throw routeInvalid('it holds a template expression');
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(content);
  } catch (cause) {
    throw Object.assign(routeInvalid('it is not JSON'), { cause });
  }
  const result = dynamicFileSchema.safeParse(parsed);
  if (!result.success) {
    const issue = result.error.issues[0];
    throw routeInvalid(`${issue?.path.join('.') ?? 'it'} is not as we render it`);
  }
  if (tenant?.[1] !== undefined) {
    ownNamesOnly(tenant[1], result.data);
  }
  return result.data;
}

/** All files as one. Their names never meet: each stack's begin with its slug, and the shared ones with none. */
export function composeFiles(files: Iterable<DynamicFile>): string {
  const http = { routers: {}, services: {}, middlewares: {}, serversTransports: {} };
  const certificates: NonNullable<DynamicFile['tls']>['certificates'] = [];
  const tls: Partial<DynamicFile['tls']> = {};
  for (const file of files) {
    Object.assign(http.routers, file.http.routers);
    Object.assign(http.services, file.http.services);
    Object.assign(http.middlewares, file.http.middlewares);
    Object.assign(http.serversTransports, file.http.serversTransports);
    certificates.push(...(file.tls?.certificates ?? []));
    Object.assign(tls, file.tls);
  }
  // To the proxy an empty part is a mistake, and one that is not there is none.
  const filled = Object.fromEntries(Object.entries(http).filter(([, part]) => Object.keys(part).length > 0));
  return `${JSON.stringify({
    ...(Object.keys(filled).length > 0 ? { http: filled } : {}),
    ...(certificates.length > 0 || Object.keys(tls).length > 0 ? { tls: { ...tls, certificates } } : {}),
  })}\n`;
}

function ownNamesOnly(slug: string, { http, tls }: DynamicFile): void {
  const names = [http.routers, http.services ?? {}, http.middlewares ?? {}].flatMap((part) => Object.keys(part));
  if (names.some((name) => !name.startsWith(`${slug}-`)) || http.serversTransports || tls?.stores || tls?.options) {
    throw routeInvalid(`${slug} names a thing that is not its own`);
  }
  const hosts = Object.values(http.routers).map(({ rule }) =>
    [...rule.matchAll(/Host\(`([^`]*)`\)/g)].map((found) => found[1] ?? ''),
  );
  const domains = domainsOf(slug, tls?.certificates ?? [], hosts.flat());
  Object.values(http.routers).forEach(({ rule, middlewares = [], service, entryPoints }, index) => {
    const own = (reference: string): boolean => reference.startsWith(`${slug}-`);
    const shared: readonly string[] = [SHARED.signOn, SHARED.away, SHARED.again];
    // Without a mark the gate would take a visitor's request for one of the proxy itself.
    const marked = middlewares.some((name) => name === `${slug}-mark` || name === `${slug}-domain-mark`);
    const foreign =
      // On loopback the gates take a request without a mark for the proxy's own question.
      entryPoints?.[0] === 'traefik' ||
      middlewares.some((name) => !own(name) && !shared.includes(name)) ||
      !(service === SHARED.gate ? marked : own(service));
    const [host = '', ...more] = hosts[index] ?? [];
    const itsOwn = more.length === 0 && (zoneOf(slug, host) !== null || domains.includes(host));
    if (foreign || !itsOwn || !rule.startsWith('Host(`') || rule.includes('||') || rule.includes('HostRegexp')) {
      throw routeInvalid(`${slug} claims a host or service that is not its own`);
    }
  });
}

/** What the stack's own hosts are below: `stacks.example.net` of `api-uabc234.stacks.example.net`. */
const zoneOf = (slug: string, host: string): string | null =>
  new RegExp(`^(?:api-)?${slug}[.](.+)$`).exec(host)?.[1] ?? null;

/**
 * A host of the owner's own is one that the same file brings the certificate for. It is never at or below the zone of
 * the stack's own hosts, where the others' are; elsewhere its first label may be anything, also one like a stack's name.
 */
function domainsOf(slug: string, pairs: readonly { certFile: string; keyFile: string }[], hosts: readonly string[]) {
  const domains = pairs.map(({ certFile, keyFile }) =>
    keyFile === certFile.replace(/crt$/, 'key') ? (/\/domains\/([a-z0-9.-]+)\.crt$/.exec(certFile)?.[1] ?? '') : '',
  );
  const zones = hosts.filter((host) => !domains.includes(host)).flatMap((host) => zoneOf(slug, host) ?? []);
  const ours = (domain: string): boolean => zones.some((zone) => domain === zone || domain.endsWith(`.${zone}`));
  if (domains.some((domain) => domain === '' || ours(domain)) || (domains.length > 0 && zones.length === 0)) {
    throw routeInvalid(`${slug} brings a certificate that is not of a domain of its own`);
  }
  return domains;
}
