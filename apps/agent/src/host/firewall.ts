import { join } from 'node:path';
import { renderFirewallLoader } from '#libs/edge';
import { run } from './run-command.js';
import { writeWhole } from './files.js';
import { hostResolvers } from './resolvers.js';
import type { Platform } from './settings.js';

export function unitName(prefix: string): string {
  return `aviary-firewall-${prefix}.service`;
}

/** Services that begin with an empty table: what was loaded before them would be gone. */
const OTHERS = ['nftables.service', 'netfilter-persistent.service', 'ufw.service', 'firewalld.service'];

/**
 * A unit that loads the rules before the engine starts any container, so that a reboot opens no hole. Wanted by the
 * engine and ordered before it; a failure to load keeps nothing else from starting, and the agent loads them again.
 */
export function firewallUnit(loader: string): string {
  return `[Unit]
Description=Aviary: what containers may reach
Documentation=https://www.netfilter.org/
DefaultDependencies=no
After=local-fs.target systemd-modules-load.service ${OTHERS.join(' ')}
Wants=network-pre.target
Before=network-pre.target docker.service
ConditionPathExists=${loader}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh ${loader}

[Install]
WantedBy=multi-user.target docker.service
`;
}

/** Writes loader and unit to the data folder and loads the rules now. scripts/up installs the unit where systemd runs. */
export async function installFirewall(platform: Platform): Promise<void> {
  const { config, prefix } = platform;
  const folder = join(config.DATA_DIR, 'firewall');
  const loader = join(folder, 'load.sh');
  const text = renderFirewallLoader({
    prefix,
    resolvers: hostResolvers(),
    portalPorts: [config.HTTP_PORT, config.HTTPS_PORT],
  });
  await writeWhole(loader, text, { mode: 0o755 });
  await writeWhole(join(folder, unitName(prefix)), firewallUnit(loader), { mode: 0o644 });
  await run('/bin/sh', [loader], { deadlineMs: 30_000 });
}
