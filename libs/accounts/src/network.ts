import ipaddr from 'ipaddr.js';

/**
 * The network an address belongs to for locks: IPv4 /24, IPv6 /64 (what one customer of a provider gets, RFC 6177).
 * Addresses that cannot be read share one network, so that hiding an address gains nothing.
 */
export function lockNetwork(ip: string | null): string {
  if (ip === null || !ipaddr.isValid(ip)) {
    return 'unknown';
  }
  const address = ipaddr.process(ip);
  if (address.kind() === 'ipv4') {
    return `${address.toString().split('.').slice(0, 3).join('.')}.0/24`;
  }
  const parts = (address as ipaddr.IPv6).parts.slice(0, 4).map((part) => part.toString(16));
  return `${parts.join(':')}::/64`;
}
