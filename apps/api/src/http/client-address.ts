import ipaddr from 'ipaddr.js';
import type { Client } from '#libs/accounts';
import type { ApiRequest } from './request.js';

/** The address of the other end, IPv4 also where the socket is dual-stack; null when the socket is gone already. */
export function clientAddress(request: { ip?: string | undefined }): string | null {
  return request.ip !== undefined && ipaddr.isValid(request.ip) ? ipaddr.process(request.ip).toString() : null;
}

/** Where a request comes from, as what counts failed sign-ins wants it. */
export const clientOf = (request: ApiRequest): Client => ({
  ip: clientAddress(request),
  userAgent: request.headers['user-agent'] ?? null,
});

/**
 * What counts as one sender for limits: an IPv4 address, or an IPv6 /64, which is what one customer of a provider
 * gets (RFC 6177) and could otherwise walk through.
 */
export function networkOf(address: string | null): string {
  if (address === null) {
    return 'unknown';
  }
  const parsed = ipaddr.process(address);
  if (parsed.kind() === 'ipv4') {
    return parsed.toString();
  }
  return `${(parsed as ipaddr.IPv6).parts
    .slice(0, 4)
    .map((part) => part.toString(16))
    .join(':')}::/64`;
}
