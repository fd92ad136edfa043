/** IPv4 networks of a host, read from the kernel; pure. */
export interface Network {
  base: number;
  prefix: number;
}

export interface Route extends Network {
  interface: string;
}

export function parseNetwork(cidr: string): Network {
  const [address = '', prefix = ''] = cidr.split('/');
  return { base: address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0), prefix: Number(prefix) };
}

export function networkText({ base, prefix }: Network): string {
  return `${[24, 16, 8, 0].map((shift) => Math.floor(base / 2 ** shift) % 256).join('.')}/${prefix}`;
}

export function overlap(a: Network, b: Network): boolean {
  const size = ({ prefix }: Network): number => 2 ** (32 - prefix);
  return a.base < b.base + size(b) && b.base < a.base + size(a);
}

/** /proc/net/route: hexadecimal words in the host's byte order, which is little-endian on every platform we run on. */
export function parseRoutes(text: string): Route[] {
  const word = (hex: string): number => Buffer.from(hex, 'hex').reverse().readUInt32BE();
  return text
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [name, destination, , , , , , mask] = line.split(/\s+/);
      if (!name || destination?.length !== 8 || mask?.length !== 8) {
        return [];
      }
      const bits = word(mask).toString(2).replaceAll('0', '').length;
      return [{ interface: name, base: word(destination), prefix: bits }];
    });
}

/**
 * Routes that an address pool would take over. The default route leads everywhere and is no one's network; bridges
 * this platform made are its own.
 */
export function conflictingRoutes(pool: Network, routes: readonly Route[], ownPrefix: string): Route[] {
  const own = new RegExp(`^av[etp]${ownPrefix}`);
  return routes.filter((route) => route.prefix > 0 && !own.test(route.interface) && overlap(pool, route));
}
