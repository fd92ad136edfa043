import { lockNetwork } from './network.js';

it('locks by /24 and /64, and treats an IPv4 address inside IPv6 as IPv4', () => {
  expect(lockNetwork('203.0.113.77')).toBe('203.0.113.0/24');
  expect(lockNetwork('::ffff:203.0.113.9')).toBe('203.0.113.0/24');
  expect(lockNetwork('2001:db8:1:2:3:4:5:6')).toBe('2001:db8:1:2::/64');
  expect(lockNetwork(null)).toBe('unknown');
  expect(lockNetwork('not an address')).toBe('unknown');
});
