import { join } from 'node:path';
import { Semaphore } from '#libs/async';
import type { Config } from '#libs/config';
import type { AcmeBudget } from '#libs/contracts';
import {
  acmeBudget,
  canaryHost,
  certificateExpiries,
  ensureCertificates,
  readDomainRecords,
  type CertificateOptions,
  type RouteFolder,
} from '#libs/edge';
import type { Database } from '#libs/db';
import type { Queue } from '#libs/jobs';
import type { FactSettings, Routes } from '#libs/orchestrator';
import type { Logger } from '#libs/telemetry';
import { CertificateKeeper } from './certificate-keeper.js';
import { CertificateWatch } from './certificate-watch.js';
import { DomainKeeper } from './domains/domain-keeper.js';
import { stackRoutes } from './domains/stack-routes.js';

/** How CAA records name the authority that is asked where no other is set (its RFC 8659 identity). */
const LETS_ENCRYPT = 'letsencrypt.org';

interface CertificateParts {
  config: Config<'agent'>;
  dataSource: Database;
  queue: Pick<Queue, 'enqueue'>;
  portalUrl: string;
  folder: RouteFolder;
  routes: Routes;
  facts: FactSettings;
  proxy: { host: string; port: number };
  /** Resolves once the proxy follows its folder: then an authority's question is answered here. */
  live: Promise<void>;
  /** Throws when this agent may change nothing any more. */
  prove: () => Promise<void>;
  logger: Logger;
  now: () => Date;
}

/** All that has to do with certificates: the platform's own, those of owners' domains, and whether they are shown. */
export function keepCertificates({
  config,
  dataSource,
  queue,
  portalUrl,
  folder,
  routes,
  facts,
  proxy,
  live,
  ...parts
}: CertificateParts): {
  keeper: CertificateKeeper;
  domains: DomainKeeper;
  watch: CertificateWatch;
  /** What may still be ordered; null where no authority is asked. */
  budget: () => Promise<AcmeBudget | null>;
} {
  const { prove, logger, now } = parts;
  const acme = {
    email: config.ACME_EMAIL,
    directory: config.ACME_DIRECTORY,
    dnsProvider: config.ACME_DNS_PROVIDER,
    publicAddresses: config.PUBLIC_ADDRESSES,
  };
  const options = (): CertificateOptions => ({
    mode: config.TLS_MODE,
    dataDir: config.DATA_DIR,
    portalDomain: config.PORTAL_DOMAIN,
    tenantDomain: config.TENANT_DOMAIN,
    now: now(),
    acme,
  });
  // They share one account and one count on disk.
  const ordering = new Semaphore(1);
  const touch = (): Promise<void> => folder.touch();
  const domains = new DomainKeeper({
    dataSource,
    queue,
    portalUrl,
    engineId: config.ENGINE_ID,
    tenantDomain: config.TENANT_DOMAIN,
    folder,
    routes: stackRoutes({ dataSource, routes, settings: facts, now }),
    read: (names) => readDomainRecords(names),
    certificates: options,
    // Another authority may go by any name, so CAA records are for it alone to judge.
    authority: config.ACME_DIRECTORY === '' || config.ACME_DIRECTORY.includes(LETS_ENCRYPT) ? LETS_ENCRYPT : null,
    ordering,
    ready: () => live,
    prove,
    logger,
    now,
  });
  const keeper = new CertificateKeeper({
    ready: async () => {
      await (config.TLS_MODE === 'acme' ? live : Promise.resolve());
      await prove();
    },
    ensure: () => ordering.run(() => ensureCertificates(options())),
    touch,
    logger,
    now,
  });
  const watch = new CertificateWatch({
    mode: config.TLS_MODE,
    expiries: () => certificateExpiries(config.DATA_DIR),
    directory: join(config.DATA_DIR, 'certs'),
    hosts: { portal: config.PORTAL_DOMAIN, tenants: canaryHost(config.TENANT_DOMAIN) },
    domains: () => domains.served(),
    proxy,
    touch,
    now,
  });
  return { keeper, domains, watch, budget: () => acmeBudget(options()) };
}
