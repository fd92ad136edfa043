import {
  canonicalFirewall,
  expectedFirewall,
  renderFirewall,
  renderFirewallLoader,
  renderFirewallRemover,
} from './firewall.js';

const settings = { prefix: '0af3', resolvers: ['192.168.1.1'], portalPorts: [443, 80] };
const refused = { code: 'CONFIG_INVALID' };

describe('the rules', () => {
  it('are exactly these', () => {
    expect(renderFirewall(settings)).toBe(`*filter
:AVIARY-FWD-0af3 - [0:0]
:AVIARY-INPUT-0af3 - [0:0]
-A AVIARY-FWD-0af3 -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN
-A AVIARY-FWD-0af3 -d 192.168.1.1/32 -p udp -m udp --dport 53 -j RETURN
-A AVIARY-FWD-0af3 -d 192.168.1.1/32 -p tcp -m tcp --dport 53 -j RETURN
-A AVIARY-FWD-0af3 -d 0.0.0.0/8 -j REJECT --reject-with icmp-port-unreachable
-A AVIARY-FWD-0af3 -d 10.0.0.0/8 -j REJECT --reject-with icmp-port-unreachable
-A AVIARY-FWD-0af3 -d 100.64.0.0/10 -j REJECT --reject-with icmp-port-unreachable
-A AVIARY-FWD-0af3 -d 127.0.0.0/8 -j REJECT --reject-with icmp-port-unreachable
-A AVIARY-FWD-0af3 -d 169.254.0.0/16 -j REJECT --reject-with icmp-port-unreachable
-A AVIARY-FWD-0af3 -d 172.16.0.0/12 -j REJECT --reject-with icmp-port-unreachable
-A AVIARY-FWD-0af3 -d 192.0.0.0/24 -j REJECT --reject-with icmp-port-unreachable
-A AVIARY-FWD-0af3 -d 192.168.0.0/16 -j REJECT --reject-with icmp-port-unreachable
-A AVIARY-FWD-0af3 -d 198.18.0.0/15 -j REJECT --reject-with icmp-port-unreachable
-A AVIARY-FWD-0af3 -d 224.0.0.0/3 -j REJECT --reject-with icmp-port-unreachable
-A AVIARY-FWD-0af3 -j RETURN
-A AVIARY-INPUT-0af3 -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN
-A AVIARY-INPUT-0af3 -d 169.254.0.0/16 -j DROP
-A AVIARY-INPUT-0af3 -i ave0af3+ -p tcp -m multiport --dports 80,443 -j RETURN
-A AVIARY-INPUT-0af3 -j DROP
COMMIT
`);
  });

  it('never hook inner bridges into forwarding', () => {
    const script = renderFirewallLoader(settings);
    expect(script).toContain('-I INPUT 1 -i avt0af3+ -j AVIARY-INPUT-0af3');
    expect(script).toContain('-I DOCKER-USER 1 -i ave0af3+ -j AVIARY-FWD-0af3');
    expect(script).not.toMatch(/DOCKER-USER.*avt0af3/);
  });

  it.each([
    { prefix: '0af3; reboot' },
    { prefix: '' },
    { resolvers: ['1.1.1.1\n-A INPUT -j ACCEPT'] },
    { resolvers: ['fe80::1'] },
    { portalPorts: [] },
    { portalPorts: [0] },
    { portalPorts: [70_000] },
    { portalPorts: Array.from({ length: 16 }, (_, index) => index + 1) },
  ])('refuse %j', (change) => {
    expect(() => renderFirewallLoader({ ...settings, ...change })).toThrow(expect.objectContaining(refused));
  });

  it('remover names only its own platform', () => {
    expect(renderFirewallRemover('0af3')).not.toMatch(/av[et](?!0af3)|AVIARY-[A-Z]+-(?!0af3)/);
  });
});

describe('drift', () => {
  const rules = renderFirewall(settings)
    .split('\n')
    .filter((line) => line.startsWith('-A '));
  const jumps = [
    '-A INPUT -i ave0af3+ -j AVIARY-INPUT-0af3',
    '-A INPUT -i avt0af3+ -j AVIARY-INPUT-0af3',
    '-A DOCKER-USER -i ave0af3+ -j AVIARY-FWD-0af3',
  ];
  const saved = (lines: string[]): string => ['*filter', ':INPUT ACCEPT [12:600]', ...lines, 'COMMIT', ''].join('\n');
  const expected = expectedFirewall(settings);
  const canonical = (lines: string[]): string => canonicalFirewall(saved(lines), '0af3');

  it('is none when all is in place, whatever else the host has and however it counts', () => {
    expect(canonical([...jumps, ...rules])).toBe(expected);
    expect(canonical([...jumps.map((line) => `[3:180] ${line}`), ...rules.map((line) => `[0:0] ${line}`)])).toBe(
      expected,
    );
    expect(
      canonical([
        '-A INPUT -i avea000+ -j AVIARY-INPUT-a000',
        ...jumps,
        '-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT',
        '-A DOCKER-USER -j RETURN',
        '-A AVIARY-INPUT-a000 -j DROP',
        ...rules,
      ]),
    ).toBe(expected);
  });

  it('is seen when a jump is missing, buried, doubled or in the wrong order', () => {
    expect(canonical([...jumps.slice(1), ...rules])).not.toBe(expected);
    expect(canonical(['-A INPUT -j ACCEPT', ...jumps, ...rules])).not.toBe(expected);
    expect(canonical(['-A DOCKER-USER -j ACCEPT', ...jumps, ...rules])).not.toBe(expected);
    expect(canonical([...jumps, jumps[0]!, ...rules])).not.toBe(expected);
  });

  it('is seen when a rule is missing, added or moved', () => {
    expect(canonical([...jumps, ...rules.slice(1)])).not.toBe(expected);
    expect(canonical([...jumps, ...rules, '-A AVIARY-INPUT-0af3 -j ACCEPT'])).not.toBe(expected);
    expect(canonical([...jumps, ...rules.toReversed()])).not.toBe(expected);
    expect(canonical([])).not.toBe(expected);
  });
});
