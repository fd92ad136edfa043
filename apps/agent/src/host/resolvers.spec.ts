import { engineResolvers } from './resolvers.js';

const files = (given: Partial<Parameters<typeof engineResolvers>[0]>): string[] =>
  engineResolvers({ resolvConf: '', systemdResolvConf: '', daemonJson: '', ...given });

const behindSystemd = {
  resolvConf: '# This is /run/systemd/resolve/stub-resolv.conf\nnameserver 127.0.0.53\noptions edns0 trust-ad\n',
  systemdResolvConf: 'nameserver 192.168.1.1\nnameserver 10.0.0.53\nnameserver fe80::1%2\n',
};

it('reads the IPv4 resolvers of the host', () => {
  const resolvConf =
    '# made by hand\nsearch lan\nnameserver 192.0.2.53\nnameserver 2001:db8::1\n nameserver 198.51.100.7 # second\n';
  expect(files({ resolvConf })).toEqual(['192.0.2.53', '198.51.100.7']);
});

it('behind systemd-resolved takes those that it asks, as the engine does', () => {
  expect(files(behindSystemd)).toEqual(['192.168.1.1', '10.0.0.53']);
});

it('leaves the second file alone where the stub is not in use', () => {
  expect(files({ ...behindSystemd, resolvConf: 'nameserver 10.1.1.1\n' })).toEqual(['10.1.1.1']);
});

it('takes the engine’s own setting before the host’s', () => {
  expect(files({ ...behindSystemd, daemonJson: '{ "live-restore": true, "dns": ["10.9.9.9"] }' })).toEqual([
    '10.9.9.9',
  ]);
  expect(files({ ...behindSystemd, daemonJson: '{ "live-restore": true }' })).toEqual(['192.168.1.1', '10.0.0.53']);
});

it('makes no hole for a resolver on loopback', () => {
  expect(files({ resolvConf: 'nameserver 127.0.0.1\n' })).toEqual([]);
});
