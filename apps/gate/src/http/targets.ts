import { SLUG_PATTERN, signOnRequestSchema } from '#libs/contracts';

const nextSchema = signOnRequestSchema.shape.next;

/** A path on the same host, or `/`. Whatever could lead to another host (`//x`, `/\x`, a scheme) is not a path. */
export function safeNext(value: string | null): string {
  const result = nextSchema.safeParse(value ?? '/');
  return result.success && !result.data.startsWith('/.aviary') ? result.data : '/';
}

/** As it may stand in a Location header: anything outside ASCII percent-encoded. */
export function locationPath(path: string): string {
  return path.replace(/[^\x21-\x7e]/gu, (char) => encodeURIComponent(char));
}

/** Where somebody stands: whose dashboard, and on which host; `domain` where that is one of the owner's own. */
export interface Place {
  slug: string;
  host: string;
  domain: string | null;
}

/**
 * The stack's own host says whose it is. Any other is a stack's only by a route that says so: the proxy publishes one for
 * proven domains alone, and puts that in place of whatever a client says.
 */
export function placeOf(host: string | undefined, routeSlug: string | undefined, tenantDomain: string): Place | null {
  const name = hostName(host);
  if (name === null) {
    return null;
  }
  if (routeSlug === undefined) {
    const slug = dashboardSlug(host, tenantDomain);
    return slug === null ? null : { slug, host: name, domain: null };
  }
  const ours = name === tenantDomain || name.endsWith(`.${tenantDomain}`);
  return ours || !SLUG_PATTERN.test(routeSlug) ? null : { slug: routeSlug, host: name, domain: name };
}

/** The same of a stack's API: one label `api-u……`. Tokens are for there. */
export function apiSlug(host: string | undefined, tenantDomain: string): string | null {
  const name = hostName(host);
  return name?.startsWith('api-') === true ? dashboardSlug(name.slice('api-'.length), tenantDomain) : null;
}

/** The stack a host name belongs to: exactly one label `u……` before the tenants' domain; any port is ignored. */
export function dashboardSlug(host: string | undefined, tenantDomain: string): string | null {
  const name = hostName(host);
  const suffix = `.${tenantDomain}`;
  if (name === null || !name.endsWith(suffix)) {
    return null;
  }
  const label = name.slice(0, -suffix.length);
  return SLUG_PATTERN.test(label) ? label : null;
}

function hostName(host: string | undefined): string | null {
  const found = /^([a-z0-9.-]{1,253})(:\d{1,5})?$/i.exec(host ?? '');
  return found?.[1]?.toLowerCase() ?? null;
}
