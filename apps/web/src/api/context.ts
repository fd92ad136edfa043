import { createContext, useContext, useSyncExternalStore } from 'react';
import type { Me } from '#libs/contracts';
import { useNow } from '#libs/ui';
import type { ApiClient, Session } from './client.js';
import type { Endpoints } from './endpoints.js';

export interface Portal {
  client: ApiClient;
  api: Endpoints;
}

export const PortalContext = createContext<Portal | null>(null);

export function usePortal(): Portal {
  const portal = useContext(PortalContext);
  if (portal === null) {
    throw new Error('PortalContext is missing above this component.');
  }
  return portal;
}

export function useApi(): Endpoints {
  return usePortal().api;
}

export function useSession(): Session {
  const { client } = usePortal();
  return useSyncExternalStore(client.subscribe, client.getSession);
}

export function useMe(): Me | null {
  const session = useSession();
  return session.phase === 'in' ? session.me : null;
}

/** The present moment by the portal's clock, for what is compared with its times and must not depend on this machine's. */
export function usePortalNow(intervalMs: number): number {
  return usePortal().client.portalTime(useNow(intervalMs));
}
