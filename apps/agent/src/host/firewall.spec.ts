import { firewallUnit } from './firewall.js';

it('loads the rules before the engine starts', () => {
  const unit = firewallUnit('/var/lib/aviary/firewall/load.sh');
  expect(unit).toMatch(/^Before=.*\bdocker\.service\b/m);
  expect(unit).toMatch(/^ExecStart=\/bin\/sh \/var\/lib\/aviary\/firewall\/load\.sh$/m);
  const after = /^After=(.*)$/m.exec(unit)?.[1]?.split(' ');
  expect(after).toEqual(
    expect.arrayContaining(['nftables.service', 'netfilter-persistent.service', 'ufw.service', 'firewalld.service']),
  );
  expect(unit).toMatch(/^WantedBy=.*docker\.service/m);
});
