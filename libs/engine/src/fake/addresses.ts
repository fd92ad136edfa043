/** IPv4 arithmetic for the in-memory engine; specs are checked against the plan's own pool long before. */
export function toNumber(address: string): number {
  return address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
}

function range(subnet: string): [number, number] {
  const [base = '', bits = '32'] = subnet.split('/');
  const size = 2 ** (32 - Number(bits));
  const first = Math.floor(toNumber(base) / size) * size;
  return [first, first + size - 1];
}

export function contains(subnet: string, address: string): boolean {
  const [first, last] = range(subnet);
  const value = toNumber(address);
  return value >= first && value <= last;
}

export function overlaps(a: string, b: string): boolean {
  const [aFirst, aLast] = range(a);
  const [bFirst, bLast] = range(b);
  return aFirst <= bLast && bFirst <= aLast;
}
