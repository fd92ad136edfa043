import type { CertificateOptions } from '#libs/edge';
import { PLACES } from './stack-world.js';

interface Authority {
  directory: string;
  /** Where its client lies. */
  lego: string;
  /** Address of the name server it asks. */
  dns: string;
}

/** Certificates by ACME from an authority of a test, for the platform whose data lies there. */
export const acmeSettings = (dataDir: string, authority: Authority, now: Date): CertificateOptions => ({
  mode: 'acme',
  dataDir,
  ...PLACES,
  now,
  acme: {
    email: 'ops@example.org',
    directory: authority.directory,
    dnsProvider: 'exec',
    lego: authority.lego,
    dnsServers: [authority.dns],
  },
});
