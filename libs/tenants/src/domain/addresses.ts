import { DomainError } from '#libs/contracts';

/** One tenant gets a /26; a bot may be a container, so 60 of its addresses are for services. */
const TENANT_PREFIX = 26;
/** Edge bridges: /22 each, from the last /18 of the pool, whose own last /26 is the portal's network. */
const EDGE_ZONE_PREFIX = 18;
const EDGE_PREFIX = 22;
/** Addresses of an edge the engine may hand out by itself; ours begin behind them. */
const EDGE_DYNAMIC_PREFIX = 26;

export interface Subnet {
  cidr: string;
  gateway: string;
}

const toNumber = (address: string): number => address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
const toAddress = (value: number): string =>
  [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');

export interface AddressPool {
  base: number;
  prefix: number;
}

/** Parses `a.b.c.d/n`. Throws CONFIG_INVALID for what is no network, public, or too small to be useful. */
export function parsePool(cidr: string): AddressPool {
  const match = /^(\d{1,3}(?:\.\d{1,3}){3})\/(\d{1,2})$/.exec(cidr);
  const base = match ? toNumber(match[1] ?? '') : Number.NaN;
  const prefix = Number(match?.[2]);
  const octets = match?.[1]?.split('.').map(Number) ?? [];
  const isPrivate =
    octets[0] === 10 ||
    (octets[0] === 172 && (octets[1] ?? 0) >= 16 && (octets[1] ?? 0) <= 31) ||
    (octets[0] === 192 && octets[1] === 168);
  if (
    !match ||
    octets.some((octet) => octet > 255) ||
    prefix < 8 ||
    prefix > 17 ||
    base % 2 ** (32 - prefix) !== 0 ||
    !isPrivate
  ) {
    throw new DomainError('CONFIG_INVALID', {
      message: 'AVIARY_ADDRESS_POOL must be a private IPv4 network between /8 and /17, such as 10.128.0.0/14.',
    });
  }
  return { base, prefix };
}

const poolSize = (pool: AddressPool): number => 2 ** (32 - pool.prefix);
const edgeZone = (pool: AddressPool): number => pool.base + poolSize(pool) - 2 ** (32 - EDGE_ZONE_PREFIX);

/** How many tenants the pool can address. */
export function tenantSubnetCount(pool: AddressPool): number {
  return (edgeZone(pool) - pool.base) / 2 ** (32 - TENANT_PREFIX);
}

/** The n-th tenant network, counted from 0. */
export function tenantSubnet(pool: AddressPool, index: number): Subnet {
  const base = pool.base + index * 2 ** (32 - TENANT_PREFIX);
  return { cidr: `${toAddress(base)}/${TENANT_PREFIX}`, gateway: toAddress(base + 1) };
}

/** Address of the n-th service of a tenant, counted from 0; .1 is the gateway. */
export function tenantAddress(pool: AddressPool, index: number, service: number): string {
  return toAddress(pool.base + index * 2 ** (32 - TENANT_PREFIX) + 2 + service);
}

/** Edge bridges fit below the portal's own /26, so the last /22 is not used. */
export function edgeCount(): number {
  return 2 ** (EDGE_PREFIX - EDGE_ZONE_PREFIX) - 1;
}

export function edgeSubnet(pool: AddressPool, index: number): Subnet & { ipRange: string } {
  const base = edgeZone(pool) + index * 2 ** (32 - EDGE_PREFIX);
  return {
    cidr: `${toAddress(base)}/${EDGE_PREFIX}`,
    gateway: toAddress(base + 1),
    ipRange: `${toAddress(base)}/${EDGE_DYNAMIC_PREFIX}`,
  };
}

/** The n-th address of an edge that is ours to give, counted from 0. */
export function edgeAddress(pool: AddressPool, edge: number, slot: number): string {
  return toAddress(edgeZone(pool) + edge * 2 ** (32 - EDGE_PREFIX) + 2 ** (32 - EDGE_DYNAMIC_PREFIX) + slot);
}

/** The portal's own bridge: the last /26 of the pool. */
export function portalSubnet(
  pool: AddressPool,
): Subnet & { hosts: Record<'api' | 'api2' | 'gate' | 'gate2' | 'worker' | 'postgres' | 'redis', string> } {
  const base = pool.base + poolSize(pool) - 64;
  return {
    cidr: `${toAddress(base)}/26`,
    gateway: toAddress(base + 1),
    hosts: {
      api: toAddress(base + 2),
      gate: toAddress(base + 3),
      worker: toAddress(base + 4),
      postgres: toAddress(base + 5),
      redis: toAddress(base + 6),
      api2: toAddress(base + 7),
      gate2: toAddress(base + 8),
    },
  };
}
