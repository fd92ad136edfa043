import { clientAddress, networkOf } from './client-address.js';

it('reads a mapped IPv4 address as IPv4', () => {
  expect(clientAddress({ ip: '::ffff:203.0.113.7' })).toBe('203.0.113.7');
  expect(clientAddress({ ip: 'nonsense' })).toBeNull();
  expect(clientAddress({})).toBeNull();
});

it('takes one /64 as one sender and two IPv4 addresses as two', () => {
  expect(networkOf('2001:db8:1:2:3::1')).toBe(networkOf('2001:db8:1:2:ffff::9'));
  expect(networkOf('2001:db8:1:2::1')).not.toBe(networkOf('2001:db8:1:3::1'));
  expect(networkOf('203.0.113.7')).not.toBe(networkOf('203.0.113.8'));
});
