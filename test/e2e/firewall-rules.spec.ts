import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  canonicalFirewall,
  expectedFirewall,
  renderFirewallLoader,
  renderFirewallReader,
  renderFirewallRemover,
} from '#libs/edge';

jest.setTimeout(60_000);

/** The scripts run by a real iptables in an empty network namespace, which ends with its one process. */
describe('the firewall scripts', () => {
  const settings = { prefix: '0af3', resolvers: ['192.168.1.1', '10.0.0.53'], portalPorts: [443, 80] };
  const other = { prefix: 'beef', resolvers: [], portalPorts: [8443] };
  let holder: ChildProcess;

  const inside = (command: string[], input = ''): string =>
    execFileSync('nsenter', [`--net=/proc/${holder.pid}/ns/net`, '--', ...command], { input, encoding: 'utf8' });
  const script = (text: string): string => inside(['sh', '-s'], text);
  const state = (prefix = '0af3'): string => canonicalFirewall(script(renderFirewallReader()), prefix);

  beforeEach(async () => {
    holder = spawn('unshare', ['--net', 'sh', '-c', 'echo ready; exec sleep 120'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(holder.stdout!, 'data');
  });
  afterEach(async () => {
    holder.kill('SIGKILL');
    await once(holder, 'exit');
  });

  it('load before there is an engine, and again with no change', () => {
    expect(script(renderFirewallLoader(settings))).toBe('');
    expect(state()).toBe(expectedFirewall(settings));
    script(renderFirewallLoader(settings));
    expect(state()).toBe(expectedFirewall(settings));
  });

  it('come back to the top when buried, flushed, edited or doubled', () => {
    script(renderFirewallLoader(settings));
    const damage: string[][] = [
      ['-I', 'INPUT', '1', '-j', 'ACCEPT'],
      ['-I', 'DOCKER-USER', '1', '-j', 'ACCEPT'],
      ['-F', 'AVIARY-INPUT-0af3'],
      ['-I', 'AVIARY-FWD-0af3', '1', '-j', 'ACCEPT'],
      ['-A', 'INPUT', '-i', 'ave0af3+', '-j', 'AVIARY-INPUT-0af3'],
      ['-F', 'INPUT'],
    ];
    for (const command of damage) {
      inside(['iptables', ...command]);
      expect(state()).not.toBe(expectedFirewall(settings));
      script(renderFirewallLoader(settings));
      expect(state()).toBe(expectedFirewall(settings));
    }
  });

  it('leave other rules and other platforms alone, and are removed without a trace', () => {
    inside(['iptables', '-N', 'DOCKER-USER']);
    inside(['iptables', '-A', 'DOCKER-USER', '-j', 'RETURN']);
    inside(['iptables', '-A', 'INPUT', '-p', 'tcp', '--dport', '22', '-j', 'ACCEPT']);
    const before = inside(['iptables', '-S']);
    script(renderFirewallLoader(settings));
    script(renderFirewallLoader(other));
    // The later one stands above; both are still effective, so neither has reason to move.
    expect(state()).toBe(expectedFirewall(settings));
    expect(state('beef')).toBe(expectedFirewall(other));
    script(renderFirewallRemover('beef'));
    expect(state()).toBe(expectedFirewall(settings));
    script(renderFirewallRemover('0af3'));
    script(renderFirewallRemover('0af3'));
    expect(inside(['iptables', '-S'])).toBe(before);
  });

  it('an address change replaces the rules whole', () => {
    script(renderFirewallLoader(settings));
    const moved = { ...settings, resolvers: ['10.9.9.9'] };
    script(renderFirewallLoader(moved));
    expect(state()).toBe(expectedFirewall(moved));
  });
});
