import { DomainError } from '#libs/contracts';
import type { ContainerSpec } from './port.js';

/** The first network's static address: the host reaches every bridge it holds, internal ones too. */
export function endpointOf(container: ContainerSpec, port: number): { host: string; port: number } {
  const host = container.networks[0]?.address;
  if (host === undefined) {
    throw new DomainError('ENGINE_REFUSED', { message: `${container.name} is on no network, so nobody can reach it.` });
  }
  return { host, port };
}
