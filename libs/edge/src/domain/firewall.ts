import { DomainError } from '#libs/contracts';
import { z } from 'zod';

export interface FirewallSettings {
  /** `platformPrefix(platformId)`: ends the chains' names and is part of the bridges'. */
  prefix: string;
  /** The engine's resolvers (IPv4): a container's DNS leaves from its own address, so a private one needs a hole. */
  resolvers: readonly string[];
  /** Ports of the portal that stacks may reach on this host. */
  portalPorts: readonly number[];
}

export interface FirewallNames {
  input: string;
  forward: string;
  /** Interface patterns: edge bridges and tenants' inner bridges. */
  edge: string;
  tenant: string;
}

function firewallNames(prefix: string): FirewallNames {
  if (!/^[0-9a-f]{4}$/.test(prefix)) {
    throw invalid('the prefix is not four hex digits');
  }
  return {
    input: `AVIARY-INPUT-${prefix}`,
    forward: `AVIARY-FWD-${prefix}`,
    edge: `ave${prefix}+`,
    tenant: `avt${prefix}+`,
  };
}

function invalid(what: string): DomainError {
  return new DomainError('CONFIG_INVALID', { message: `The firewall cannot be written: ${what}.` });
}

const LINK_LOCAL = '169.254.0.0/16';
/** Everything that is not the internet (RFC 6890): private, carrier, link-local (metadata services), benchmark, multicast. */
const NOT_THE_INTERNET = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  LINK_LOCAL,
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '224.0.0.0/3',
];

/** The rules of both chains exactly as iptables-save prints them, so that drift is a comparison of texts. */
function rules(settings: FirewallSettings): string[] {
  const { input, forward, edge } = firewallNames(settings.prefix);
  const resolvers = [...new Set(settings.resolvers)].toSorted();
  const ports = [...new Set(settings.portalPorts)].toSorted((a, b) => a - b);
  if (resolvers.some((address) => !z.ipv4().safeParse(address).success)) {
    throw invalid('a resolver is not an IPv4 address');
  }
  // iptables' multiport match holds fifteen ports.
  if (
    ports.length === 0 ||
    ports.length > 15 ||
    ports.some((port) => !z.int().min(1).max(65_535).safeParse(port).success)
  ) {
    throw invalid('the portal ports are not one to fifteen port numbers');
  }
  const established = '-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN';
  return [
    `-A ${forward} ${established}`,
    ...resolvers.flatMap((address) =>
      ['udp', 'tcp'].map(
        (protocol) => `-A ${forward} -d ${address}/32 -p ${protocol} -m ${protocol} --dport 53 -j RETURN`,
      ),
    ),
    ...NOT_THE_INTERNET.map((network) => `-A ${forward} -d ${network} -j REJECT --reject-with icmp-port-unreachable`),
    `-A ${forward} -j RETURN`,
    `-A ${input} ${established}`,
    // Clouds bind metadata services to addresses of the host itself, on ports that are the portal's elsewhere.
    `-A ${input} -d ${LINK_LOCAL} -j DROP`,
    `-A ${input} -i ${edge} -p tcp -m multiport --dports ${ports.join(',')} -j RETURN`,
    `-A ${input} -j DROP`,
  ];
}

/** The jumps, in the order in which they stand at the top of their chains. */
function jumps(prefix: string): { chain: string; rule: string }[] {
  const { input, forward, edge, tenant } = firewallNames(prefix);
  return [
    { chain: 'INPUT', rule: `-i ${edge} -j ${input}` },
    { chain: 'INPUT', rule: `-i ${tenant} -j ${input}` },
    // Edge bridges only: with bridge-nf a jump for the inner ones would cut a stack from its own database.
    { chain: 'DOCKER-USER', rule: `-i ${edge} -j ${forward}` },
  ];
}

/** Input of `iptables-restore --noflush`: our two chains, replaced whole. The jumps are the loader's part. */
export function renderFirewall(settings: FirewallSettings): string {
  const { input, forward } = firewallNames(settings.prefix);
  return ['*filter', `:${forward} - [0:0]`, `:${input} - [0:0]`, ...rules(settings), 'COMMIT', ''].join('\n');
}

/**
 * Picks the iptables whose tables the engine uses: a rule in the other backend is a rule in a table nobody asks. The
 * legacy one is asked only where its table exists, since asking would make it.
 */
const BACKEND = `tool=iptables
has_chain() { command -v "$1" >/dev/null && "$1" -w 5 -n -L DOCKER-USER >/dev/null 2>&1; }
if has_chain iptables-nft; then tool=iptables-nft
elif grep -qsx filter /proc/net/ip_tables_names && has_chain iptables-legacy; then tool=iptables-legacy
fi`;

/**
 * A POSIX shell script that loads everything: run by a unit before the engine starts and by the agent in a helper
 * container. Chains and jumps change in one iptables-restore transaction, so there is no moment without them, and
 * running it again ends in the same state. It needs no file beside itself.
 */
export function renderFirewallLoader(settings: FirewallSettings): string {
  const { input, forward, edge, tenant } = firewallNames(settings.prefix);
  const body = renderFirewall(settings).replace(/COMMIT\n$/, '');
  // Every copy of a jump goes before it is put back on top; the listing names exactly ours.
  const drop = (chain: string, own: string, pattern: string): string =>
    `  "$tool" -w 5 -S ${chain} | grep -Fx -e '-A ${chain} -i ${pattern} -j ${own}' | sed 's/^-A /-D /' || true`;
  return `#!/bin/sh
# Aviary: what containers of this platform may reach. Written by the platform; edits are replaced.
set -eu
${BACKEND}
# Before the engine's first start its chain is not there yet; it keeps one that is.
"$tool" -w 5 -n -L DOCKER-USER >/dev/null 2>&1 || "$tool" -w 5 -N DOCKER-USER
{
  cat <<'RULES'
${body}RULES
${drop('INPUT', input, edge)}
${drop('INPUT', input, tenant)}
${drop('DOCKER-USER', forward, edge)}
  cat <<'JUMPS'
${jumps(settings.prefix)
  .toReversed()
  .map(({ chain, rule }) => `-I ${chain} 1 ${rule}`)
  .join('\n')}
COMMIT
JUMPS
} | "$tool-restore" -w 5 --noflush
`;
}

/** Prints the filter table as the loader's backend has it: the input of `firewallDrift`. */
export function renderFirewallReader(): string {
  return `#!/bin/sh
set -eu
${BACKEND}
"$tool-save" -t filter
`;
}

/** Takes everything of this platform out again and leaves all else. */
export function renderFirewallRemover(prefix: string): string {
  const { input, forward } = firewallNames(prefix);
  const lines = [`#!/bin/sh`, 'set -eu', BACKEND];
  for (const { chain, rule } of jumps(prefix)) {
    lines.push(`while "$tool" -w 5 -D ${chain} ${rule} 2>/dev/null; do :; done`);
  }
  for (const chain of [input, forward]) {
    lines.push(
      `if "$tool" -w 5 -n -L ${chain} >/dev/null 2>&1; then "$tool" -w 5 -F ${chain}; "$tool" -w 5 -X ${chain}; fi`,
    );
  }
  return `${lines.join('\n')}\n`;
}

/**
 * The part of an `iptables-save` that matters to this platform, as text that is equal exactly when the firewall is:
 * our chains' rules in order, then each of our jumps with `top` where nothing but jumps of Aviary platforms stands
 * before it and `buried` where something else might already have accepted the packet.
 */
export function canonicalFirewall(saveText: string, prefix: string): string {
  const names = firewallNames(prefix);
  const lines = saveText.split('\n').map((line) => line.trim().replace(/^\[\d+:\d+\] /, ''));
  const own = lines.filter((line) => line.startsWith(`-A ${names.forward} `) || line.startsWith(`-A ${names.input} `));
  const hooks = ['INPUT', 'DOCKER-USER'].flatMap((chain) => {
    let foreign = false;
    return lines
      .filter((line) => line.startsWith(`-A ${chain} `))
      .flatMap((line) => {
        const ours = line.endsWith(` -j ${names.input}`) || line.endsWith(` -j ${names.forward}`);
        if (!ours && !/^-A \S+ -i av[et][0-9a-f]{4}[+] -j AVIARY-(INPUT|FWD)-[0-9a-f]{4}$/.test(line)) {
          foreign = true;
        }
        return ours ? [`${foreign ? 'buried' : 'top'} ${line}`] : [];
      });
  });
  const byChain = [names.forward, names.input].flatMap((chain) =>
    own.filter((line) => line.startsWith(`-A ${chain} `)),
  );
  return [...byChain, ...hooks, ''].join('\n');
}

/** The canonical text of a firewall as it should be. */
export function expectedFirewall(settings: FirewallSettings): string {
  return [...rules(settings), ...jumps(settings.prefix).map(({ chain, rule }) => `top -A ${chain} ${rule}`), ''].join(
    '\n',
  );
}
