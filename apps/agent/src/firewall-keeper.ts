import { platformPrefix } from '#libs/contracts';
import {
  canonicalFirewall,
  expectedFirewall,
  renderFirewallLoader,
  renderFirewallReader,
  type FirewallSettings,
} from '#libs/edge';
import { DomainError } from '#libs/contracts';
import { LABEL, type Engine } from '#libs/engine';
import type { Logger } from '#libs/telemetry';

const HELPER_MS = 30_000;

interface FirewallDeps {
  engine: Engine;
  platformId: string;
  /** Image with sh and iptables. */
  image: string;
  settings: FirewallSettings;
  logger: Logger;
}

/**
 * Keeps the rules where they belong, position included. The agent itself has no right to change them: a helper
 * container with NET_ADMIN alone does, and lives for that moment only.
 */
export class FirewallKeeper {
  constructor(private readonly deps: FirewallDeps) {}

  /** Looks, and loads the rules when they are not exactly ours. True when it had to. */
  async assert(): Promise<boolean> {
    const { settings, logger } = this.deps;
    const before = canonicalFirewall(await this.helper(renderFirewallReader()), settings.prefix);
    if (before === expectedFirewall(settings)) {
      return false;
    }
    logger.warn({ found: before.split('\n').length }, 'firewall rules differ from ours, loading them');
    await this.helper(renderFirewallLoader(settings));
    const after = canonicalFirewall(await this.helper(renderFirewallReader()), settings.prefix);
    if (after !== expectedFirewall(settings)) {
      throw new DomainError('ENGINE_REFUSED', {
        message: 'The firewall rules do not stay as loaded. Is another tool writing them?',
        details: { after },
      });
    }
    return true;
  }

  private async helper(script: string): Promise<string> {
    const { engine, platformId, image } = this.deps;
    const { exitCode, output } = await engine.runOnce(
      {
        name: `aviary-${platformPrefix(platformId)}-firewall`,
        labels: { [LABEL.platform]: platformId, [LABEL.service]: 'firewall' },
        image,
        command: ['sh', '-s'],
        stdin: script,
        hostNetwork: true,
        capabilities: ['NET_ADMIN'],
        // As another user the capability would not be effective.
        user: '0:0',
      },
      { deadlineMs: HELPER_MS },
    );
    if (exitCode !== 0) {
      throw new DomainError('ENGINE_REFUSED', {
        message: `The firewall helper ended with ${exitCode}: ${output.slice(-400)}`,
        details: { exitCode },
      });
    }
    return output;
  }
}
