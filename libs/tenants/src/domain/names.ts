import { platformPrefix } from '#libs/contracts';

/** Names are a function of platform, slug, service and (volumes) epoch, so nothing has to be looked up to be found. */
export interface StackNames {
  tenantNetwork: string;
  tenantBridge: string;
  container(service: string): string;
  volume(volume: string, epoch: number): string;
  secrets(service: string): string;
}

/** In place of a service: a server beside the stack that a backup is loaded into. It carries this role too. */
export const SCRATCH = 'scratch';

export function stackNames(platformId: string, slug: string): StackNames {
  const base = `aviary-${platformPrefix(platformId)}-${slug}`;
  return {
    tenantNetwork: base,
    tenantBridge: `avt${platformPrefix(platformId)}${slug.slice(1)}`,
    container: (service) => `${base}-${service}`,
    volume: (volume, epoch) => `${base}-${volume}-${epoch}`,
    secrets: (service) => `${base}-${service}-secrets`,
  };
}

export function edgeNames(platformId: string, index: number): { network: string; bridge: string } {
  const p = platformPrefix(platformId);
  return { network: `aviary-${p}-edge-${index}`, bridge: `ave${p}${index}` };
}

export type HostKind = 'dashboard' | 'api';

export function stackHost(kind: HostKind, slug: string, tenantDomain: string): string {
  return kind === 'dashboard' ? `${slug}.${tenantDomain}` : `api-${slug}.${tenantDomain}`;
}
