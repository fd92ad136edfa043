import { DomainError } from '#libs/contracts';
import type { Database } from '#libs/db';
import { DOMAIN_CERTIFICATES } from '#libs/edge';
import { settleAlarms, type Finding } from '#libs/jobs';
import type { Logger } from '#libs/telemetry';
import type { CertificateWatch } from './certificate-watch.js';
import type { DomainKeeper } from './domains/domain-keeper.js';
import type { ProxyKeeper } from './proxy-keeper.js';
import type { RouteCanary } from './route-canary.js';

interface ProxyLookDeps {
  dataSource: Database;
  engineId: string;
  canary: Pick<RouteCanary, 'sing'>;
  truth: Pick<ProxyKeeper, 'turn'>;
  certificates: { watch: Pick<CertificateWatch, 'findings'>; domains: Pick<DomainKeeper, 'findings'> };
  /** Told after each new route how many milliseconds the proxy took to serve it. */
  wasLive: (milliseconds: number) => void;
  logger: Logger;
  now: () => Date;
}

/** Looks at the edge as a whole: does it follow its folder, does it serve what is wanted, are its certificates good. */
export class ProxyLook {
  /** Milliseconds the proxy last took to serve a new route; null before the first. */
  routeLagMs: number | null = null;
  private looked = false;

  constructor(private readonly deps: ProxyLookDeps) {}

  /** Throws UNAVAILABLE with what is wrong where that keeps visitors out; what is less becomes an alarm only. */
  async turn(): Promise<void> {
    const { truth, certificates, logger } = this.deps;
    const first = !this.looked;
    this.looked = true;
    let sang = true;
    try {
      await this.sing();
    } catch (error) {
      // At the start the proxy may come up beside us, and the first turn waits for it only.
      if (first) {
        throw error;
      }
      logger.warn({ err: error }, 'the proxy does not take over a new route');
      sang = false;
    }
    const wrong = await truth.turn();
    await this.tell('proxy', wrong);
    if (!sang) {
      await this.sing();
    }
    const certificatesWrong = await certificates.watch.findings();
    await this.tell('certificate', certificatesWrong);
    await this.tell('domain', certificates.domains.findings());
    // One customer's domain is an alarm, and no reason to take no more work.
    const ours = certificatesWrong.filter(({ key }) => !key.startsWith(`certificate/${DOMAIN_CERTIFICATES}/`));
    const critical = [...wrong, ...ours].filter(({ severity }) => severity === 'critical');
    if (critical.length > 0) {
      throw new DomainError('UNAVAILABLE', { message: critical.map(({ message }) => message).join(' ') });
    }
  }

  private async sing(): Promise<void> {
    const { canary, wasLive, now } = this.deps;
    // The clock's seconds: each generation is new, also after a restart of the agent.
    this.routeLagMs = await canary.sing(Math.floor(now().getTime() / 1_000));
    wasLive(this.routeLagMs);
  }

  /** Alarms are rows: with the database away there is the log, and the next turn. */
  private async tell(scope: string, findings: readonly Finding[]): Promise<void> {
    const { dataSource, engineId, logger, now } = this.deps;
    // Every engine has a proxy of its own, and what one of them found is not over because another did not.
    const own = `${scope}/${engineId}`;
    const ours = findings.map((finding) => ({ ...finding, key: `${own}${finding.key.slice(scope.length)}` }));
    try {
      const { raised } = await settleAlarms(dataSource, own, { findings: ours }, now());
      raised.forEach(({ key, message }) => logger.error({ alarm: key }, message));
    } catch (error) {
      logger.error({ err: error, findings: findings.map(({ message }) => message) }, 'alarms could not be written');
    }
  }
}
