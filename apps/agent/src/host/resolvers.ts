import { isIPv4 } from 'node:net';
import { loadConfig } from '#libs/config';

/** Texts of the host's own files; empty where one is not there. */
export interface ResolverFiles {
  /** /etc/resolv.conf. */
  resolvConf: string;
  /** /run/systemd/resolve/resolv.conf: those systemd-resolved asks. */
  systemdResolvConf: string;
  /** /etc/docker/daemon.json. */
  daemonJson: string;
}

/** The address at which systemd-resolved serves its own host. */
const SYSTEMD_STUB = '127.0.0.53';

function nameservers(resolvConf: string): string[] {
  return resolvConf.split('\n').flatMap((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? []);
}

function engineSetting(daemonJson: string): string[] {
  if (daemonJson.trim() === '') {
    return [];
  }
  const { dns } = JSON.parse(daemonJson) as { dns?: unknown };
  return Array.isArray(dns) ? dns.filter((address) => typeof address === 'string') : [];
}

/**
 * The resolvers (IPv4) the engine asks for its containers, chosen as it chooses: its own setting; else the host's, and
 * behind systemd-resolved those that it asks. One on loopback is asked from the host itself and needs no hole.
 */
export function engineResolvers({ resolvConf, systemdResolvConf, daemonJson }: ResolverFiles): string[] {
  const own = engineSetting(daemonJson);
  const host = nameservers(resolvConf);
  const stub = host.length === 1 && host[0] === SYSTEMD_STUB;
  const chosen = own.length > 0 ? own : stub ? nameservers(systemdResolvConf) : host;
  return [...new Set(chosen)].filter((address) => isIPv4(address) && !address.startsWith('127.'));
}

/** From what scripts/lib/host.sh handed in: in a container these files say something else. */
export function hostResolvers(): string[] {
  const files = loadConfig('hostCommand');
  return engineResolvers({
    resolvConf: files.HOST_RESOLV_CONF,
    systemdResolvConf: files.HOST_SYSTEMD_RESOLV_CONF,
    daemonJson: files.HOST_DAEMON_JSON,
  });
}
