import fc from 'fast-check';
import { MOST_EDGE_PORTS } from '#libs/contracts';
import {
  edgeAddress,
  edgeCount,
  edgeSubnet,
  parsePool,
  portalSubnet,
  tenantAddress,
  tenantSubnet,
  tenantSubnetCount,
} from './addresses.js';

const pool = parsePool('10.128.0.0/14');
const number = (address: string): number => address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
const range = (cidr: string): [number, number] => {
  const [base = '', prefix] = cidr.split('/');
  return [number(base), number(base) + 2 ** (32 - Number(prefix)) - 1];
};

it('slices the default pool as documented', () => {
  expect(tenantSubnetCount(pool)).toBe(3840);
  expect(tenantSubnet(pool, 0)).toEqual({ cidr: '10.128.0.0/26', gateway: '10.128.0.1' });
  expect(tenantSubnet(pool, 3839).cidr).toBe('10.131.191.192/26');
  expect(tenantAddress(pool, 5, 0)).toBe('10.128.1.66');
  expect(edgeSubnet(pool, 0)).toEqual({ cidr: '10.131.192.0/22', gateway: '10.131.192.1', ipRange: '10.131.192.0/26' });
  expect(edgeAddress(pool, 0, 0)).toBe('10.131.192.64');
  expect(portalSubnet(pool)).toMatchObject({
    cidr: '10.131.255.192/26',
    gateway: '10.131.255.193',
    hosts: { api: '10.131.255.194', postgres: '10.131.255.197' },
  });
});

it('never gives two networks that overlap, nor an address outside its network', () => {
  fc.assert(
    fc.property(
      fc.nat(3839),
      fc.nat(3839),
      fc.nat(edgeCount() - 1),
      fc.nat(MOST_EDGE_PORTS - 1),
      (a, b, edge, slot) => {
        const [lowA, highA] = range(tenantSubnet(pool, a).cidr);
        const [lowB] = range(tenantSubnet(pool, b).cidr);
        expect(a === b || lowB > highA || lowB < lowA).toBe(true);
        const [lowE, highE] = range(edgeSubnet(pool, edge).cidr);
        const address = number(edgeAddress(pool, edge, slot));
        expect(address > lowE + 63 && address < highE).toBe(true);
        expect(highA < lowE).toBe(true);
        expect(highE < range(portalSubnet(pool).cidr)[0]).toBe(true);
      },
    ),
  );
});

it.each(['10.128.0.0/24', '8.8.0.0/14', '10.1.0.0/14', '300.0.0.0/14', 'x', '10.128.0.0', '172.32.0.0/16'])(
  'refuses %s',
  (cidr) => {
    expect(() => parsePool(cidr)).toThrow('AVIARY_ADDRESS_POOL');
  },
);
