import { firewallUnit } from './firewall.js';

it('loads the rules before the engine starts', () => {
  const unit = firewallUnit('/var/lib/aviary/firewall/load.sh');
  expect(unit).toMatch(/^Before=.*\bdocker\.service\b/m);
  expect(unit).toMatch(/^ExecStart=\/bin\/sh \/var\/lib\/aviary\/firewall\/load\.sh$/m);
  expect(unit).toMatch(/^WantedBy=.*docker\.service/m);
});
