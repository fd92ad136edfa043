import { conflictingRoutes, networkText, overlap, parseNetwork, parseRoutes } from './networks.js';

const table = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	010200C0	0003	0	0	0	00000000	0	0	0
eth0	000200C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
tun0	0000820A	00000000	0001	0	0	0	0000FFFF	0	0	0
avebeef1	00C0830A	00000000	0001	0	0	0	00FCFFFF	0	0	0
`;

it('reads the kernel’s table', () => {
  expect(parseRoutes(table).map((route) => `${route.interface} ${networkText(route)}`)).toEqual([
    'eth0 0.0.0.0/0',
    'eth0 192.0.2.0/24',
    'tun0 10.130.0.0/16',
    'avebeef1 10.131.192.0/22',
  ]);
});

it('names a network in the pool, but neither the default route nor our own bridges', () => {
  const found = conflictingRoutes(parseNetwork('10.128.0.0/14'), parseRoutes(table), 'beef');
  expect(found.map(networkText)).toEqual(['10.130.0.0/16']);
  expect(conflictingRoutes(parseNetwork('10.128.0.0/14'), parseRoutes(table), 'cafe')).toHaveLength(2);
});

it.each([
  ['10.0.0.0/8', '10.128.0.0/14', true],
  ['10.128.0.0/14', '10.0.0.0/8', true],
  ['10.132.0.0/16', '10.128.0.0/14', false],
  ['10.131.255.192/26', '10.128.0.0/14', true],
])('%s and %s overlap: %s', (a, b, expected) => {
  expect(overlap(parseNetwork(a), parseNetwork(b))).toBe(expected);
});
