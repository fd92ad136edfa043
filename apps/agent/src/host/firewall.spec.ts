import { firewallUnit, resolvers } from './firewall.js';

it('reads the IPv4 resolvers of the host', () => {
  const text = '# made by hand\nsearch lan\nnameserver 192.0.2.53\nnameserver 2001:db8::1\n nameserver 198.51.100.7\n';
  expect(resolvers(text)).toEqual(['192.0.2.53', '198.51.100.7']);
});

it('loads the rules before the engine starts', () => {
  const unit = firewallUnit('/var/lib/aviary/firewall/load.sh');
  expect(unit).toMatch(/^Before=.*\bdocker\.service\b/m);
  expect(unit).toMatch(/^ExecStart=\/bin\/sh \/var\/lib\/aviary\/firewall\/load\.sh$/m);
  expect(unit).toMatch(/^WantedBy=.*docker\.service/m);
});
